"""From a family's name and latents to a base measure, and from a checkpoint back to it.

The families are a plain dict: a name, the settings it takes, how many different latents it needs,
and the function that fits it. To add a family is to add a line here and its module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from pcgen import config
from pcgen.base.conjugate import (
    ConjugateMomentBase,
    ConjugateMomentSettings,
    fit_conjugate,
)
from pcgen.base.gaussian import GaussianBase, GaussianSettings, StandardBase, fit_gaussian
from pcgen.base.measure import BaseMeasure, ConstantsKept, check_latents
from pcgen.base.mixture import MixtureBase, MixtureSettings, fit_mixture
from pcgen.base.transported import TransportedBase, TransportedSettings, fit_transported
from pcgen.base.uniform import UniformBase, UniformSettings, fit_uniform
from pcgen.errors import DataError, InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True)
class NoSettings:
    """For the standard base, which has nothing to set."""


@dataclass(frozen=True)
class Family:
    """One row of the table of families.

    ``fit(latents, settings, generator, validation)`` sees only checked latents whose coordinates
    all vary; ``least`` is the number of different latents it needs.
    """

    measure: type[Any]
    settings: type[Any]
    least: int
    fit: Callable[[Tensor, Any, Generator, Tensor | None], BaseMeasure]


FAMILIES: dict[str, Family] = {
    "standard": Family(
        StandardBase, NoSettings, 1, lambda x, s, g, v: StandardBase(dim=x.shape[1])
    ),
    "gaussian": Family(GaussianBase, GaussianSettings, 2, lambda x, s, g, v: fit_gaussian(x, s)),
    "gmm": Family(MixtureBase, MixtureSettings, 2, fit_mixture),
    "uniform": Family(UniformBase, UniformSettings, 2, lambda x, s, g, v: fit_uniform(x, s)),
    "ae-ot": Family(
        TransportedBase, TransportedSettings, 2, lambda x, s, g, v: fit_transported(x, s, g)
    ),
    "conjugate-moment": Family(
        ConjugateMomentBase,
        ConjugateMomentSettings,
        8,
        lambda x, s, g, v: fit_conjugate(x, s, g),
    ),
}


def fit(
    name: str,
    latents: Tensor,
    *,
    generator: Generator,
    settings: Any = None,
    validation: Tensor | None = None,
) -> BaseMeasure:
    """Fit one family of base measures to latents.

    Args:
        name: a key of :data:`FAMILIES`.
        latents: (N, dim) numbers; fitted as float32. Coordinates that never vary stay constant.
        generator: every random choice draws from it.
        settings: the family's settings dataclass, the same as a plain dict, or None for defaults.
        validation: (M, dim) latents held out from the fit, for families that choose on them.
    Raises:
        InputError: an unknown name or setting, NaN, or too few different latents.
    """
    if name not in FAMILIES:
        raise InputError(f"base must be one of {', '.join(FAMILIES)}, got {name!r}")
    family = FAMILIES[name]
    settings = _settings(family, name, settings)
    x = check_latents(latents, family.least, f"base {name}")
    held = None if validation is None else check_latents(validation)
    if held is not None and held.shape[1] != x.shape[1]:
        raise InputError(
            f"validation latents have {held.shape[1]} dimensions, the latents {x.shape[1]}"
        )
    if name == "standard":
        return family.fit(x, settings, generator, held)
    varying = (x != x[0]).any(0)
    if bool(varying.all()):
        return family.fit(x, settings, generator, held)
    inner = family.fit(
        x[:, varying], settings, generator, None if held is None else held[:, varying]
    )
    return ConstantsKept(inner, torch.where(varying, 0.0, x[0]), varying)


def from_checkpoint(tensors: dict[str, Tensor], meta: dict[str, Any]) -> BaseMeasure:
    """Restore any base from what its ``to_checkpoint`` gave.

    Raises:
        DataError: not a base's checkpoint, or one of a newer pcgen.
    """
    family = meta.get("family")
    if family == "constants-kept":
        return ConstantsKept.from_checkpoint(tensors, meta)
    if family not in FAMILIES:
        raise DataError(
            f"the checkpoint holds base {family!r}; this pcgen knows {', '.join(FAMILIES)}"
        )
    return FAMILIES[family].measure.from_checkpoint(tensors, meta)


def _settings(family: Family, name: str, settings: Any) -> Any:
    if settings is None:
        return family.settings()
    if isinstance(settings, dict):
        return config.from_plain(family.settings, settings, f"settings of base {name}")
    if not isinstance(settings, family.settings):
        raise InputError(
            f"base {name} takes {family.settings.__name__}, got {type(settings).__name__}"
        )
    return settings
