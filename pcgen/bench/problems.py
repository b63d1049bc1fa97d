"""The data sets of ``bench base``: 2D densities, and latents of digits, of a run or of a file."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from pcgen.errors import InputError
from pcgen.runfile import is_run

if TYPE_CHECKING:
    from torch import Generator, Tensor

DIGITS = "digits"
TRAIN, TEST = 2000, 1000


def problem_names(densities: str, latents: Path | None) -> list[str]:
    """The problems of the options: names of densities, or the path of latents.

    Raises:
        InputError: an unknown density.
    """
    from pcgen.bench.densities import DENSITIES

    if latents is not None:
        return [str(latents)]
    known = [*DENSITIES, DIGITS]
    if densities == "all":
        return known
    names = [name.strip() for name in densities.split(",") if name.strip()]
    if not names or set(names) - set(known):
        raise InputError(f"--densities must be among {', '.join(known)}, got {densities!r}")
    return names


def problem_data(problem: str, generator: Generator) -> tuple[Tensor, Tensor]:
    """Training and held-out data, (n, dim) each, of unit variance on average."""
    from pcgen.bench.densities import DENSITIES

    if problem in DENSITIES:
        train, test = DENSITIES[problem](TRAIN + 3 * TEST, generator).tensor_split([TRAIN])
    elif problem == DIGITS:
        train, test = _digit_latents()
    elif is_run(Path(problem)):
        train, test = _run_latents(problem)
    else:
        train, test = _latents(Path(problem), generator)
    centre, scale = train.mean(0), train.std(0).square().mean().sqrt()
    return (train - centre) / scale, (test - centre) / scale


@functools.cache
def _digit_latents() -> tuple[Tensor, Tensor]:
    """The latents of digits, equal for all seeds; seeds affect only the flow and its batches."""
    import torch

    from pcgen.bench.digits import digit_latents

    return digit_latents(torch.Generator().manual_seed(0))


@functools.cache
def _run_latents(run: str) -> tuple[Tensor, Tensor]:
    """Coordinates of the latents of the training and the test shapes of a run.

    The base of a run and its transports are in these coordinates.
    """
    import torch

    from pcgen.model import ShapeModel
    from pcgen.shapes.store import Dataset

    model = ShapeModel.load(run)
    dataset = Dataset.open(model.dataset_path)
    count = min(2048, dataset.points_per_shape)

    def encoded(split: str) -> Tensor:
        rows = dataset.select(split=split, categories=model.categories)
        clouds = torch.from_numpy(dataset.points(rows, count, part="first"))
        return model.known.coordinates(model.encode(clouds))

    return encoded("train"), encoded("test")


def _latents(path: Path, generator: Generator) -> tuple[Tensor, Tensor]:
    import torch

    from pcgen.base.measure import check_latents
    from pcgen.shapes.arrays import read_npy

    values = read_npy(path)
    if values.dtype.kind not in "fiub":
        raise InputError(f"{path} must hold numbers, got {values.dtype}")
    latents = check_latents(values, least=64, family="this benchmark")
    order = torch.randperm(len(latents), generator=generator)
    return latents[order[: len(order) // 2]], latents[order[len(order) // 2 :]]
