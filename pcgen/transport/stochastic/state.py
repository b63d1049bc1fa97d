"""The state of the stochastic solver, and its serialisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_type_hints

from torch import Tensor

from pcgen.checkpoint import Schema

# Annealing levels before the first test: no problem was ready sooner.
FIRST_LOOK = 3


@dataclass(frozen=True, eq=False, kw_only=True)
class SemidualState:
    """The state of the iteration; with problem and solver it determines all later steps.

    Attributes:
        step: iterations completed; samples: points drawn for them; looks: number of tests.
        batch: points per step.
        averaging: the phase; level: levels annealed so far; pace: steps per level.
        age: steps of this level or average; goal: age of the average at the next test.
        epsilon: smoothing at the start of this level or average, in units of a score.
        potential: (n,) float64, the iterate; average: (n,) float64, the result; both, and
            epsilon, in units of the workspace's scale.
        weight: total weight of the average; averaged: number of samples in it.
        noise: Σ_i Var(c_i) / ν_i for one sample; the χ² of their masses is noise / averaged.
        seed: of the streams of samples and of tests.
        beam: width of the search for cells; 0 scores all atoms. least: its minimum.
        seconds: working time until here, of a solve with a time limit.
    """

    step: int = 0
    samples: int = 0
    looks: int = 0
    batch: int
    averaging: bool = False
    level: int = 0
    pace: int
    age: int = 0
    goal: int = 0
    epsilon: float
    potential: Tensor
    average: Tensor
    weight: float = 0.0
    averaged: int = 0
    noise: float
    seed: int
    beam: int = 0
    least: int = 0
    seconds: float = 0.0

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, float | int]]:
        """For :mod:`pcgen.checkpoint`: tensors, and everything else as JSON values."""
        tensors = {name: value for name, value in vars(self).items() if name in SCHEMA.tensors}
        rest = {name: value for name, value in vars(self).items() if name not in tensors}
        return tensors, rest

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, Tensor], rest: dict[str, float | int]
    ) -> SemidualState:
        """The inverse of :meth:`to_tensors`."""
        return cls(**tensors, **rest)  # type: ignore[arg-type]


# Of the file of a state, which also has the key of its problem and settings.
SCHEMA = Schema(
    meta={"key": str} | {k: v for k, v in get_type_hints(SemidualState).items() if v is not Tensor},
    tensors={"potential": ("f", 1), "average": ("f", 1)},
)
