"""Base measures by family name: fitted to latents, or restored from a checkpoint.

The families are a plain dict: name, settings, the minimum number of different latents, and the
function that fits them. A new family is one row and one module. Rich families, which can memorise
the training latents, must pass the collapse guard.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from pcgen import checkpoint, config
from pcgen.base.collapse_guard import GuardReport, check_collapse
from pcgen.base.conjugate import (
    ConjugateMomentBase,
    ConjugateMomentSettings,
    fit_conjugate,
)
from pcgen.base.gaussian import GaussianBase, GaussianSettings, StandardBase, fit_gaussian
from pcgen.base.measure import BaseMeasure, ConstantCoordinates, check_latents
from pcgen.base.mixture import MixtureBase, MixtureSettings, fit_mixture
from pcgen.base.network import NetworkBase, NetworkSettings, fit_network
from pcgen.base.selection import AutoSettings, ChosenBase, select_base
from pcgen.base.transported import TransportedBase, TransportedSettings, fit_transported
from pcgen.base.uniform import UniformBase, UniformSettings, fit_uniform
from pcgen.errors import DataError, InputError
from pcgen.processes import ALONE, Group

if TYPE_CHECKING:
    from torch import Generator, Tensor


Guard = Literal["off", "say", "refuse", "regularise"]
GUARDS = ("off", "say", "refuse", "regularise")


@dataclass(frozen=True)
class NoSettings:
    """Settings of the standard base, which has none."""


@dataclass(frozen=True)
class Family:
    """One row of the table of families.

    ``fit(latents, settings, generator, validation)`` only gets checked latents whose coordinates
    all vary; ``least`` is the required number of different latents; ``rich`` families are guarded.
    """

    measure: type[Any]
    settings: type[Any]
    least: int
    fit: Callable[[Tensor, Any, Generator, Tensor | None, Group], BaseMeasure]
    rich: bool = False
    shared: bool = False

    @property
    def relaxed(self) -> bool:
        """Whether the family can be relaxed towards N(0, I)."""
        return "relaxation" in {field.name for field in dataclasses.fields(self.settings)}


FAMILIES: dict[str, Family] = {
    "standard": Family(StandardBase, NoSettings, 1, lambda x, *_: StandardBase(dim=x.shape[1])),
    "gaussian": Family(GaussianBase, GaussianSettings, 2, lambda x, s, *_: fit_gaussian(x, s)),
    "gmm": Family(MixtureBase, MixtureSettings, 2, lambda x, s, g, v, _: fit_mixture(x, s, g, v)),
    "uniform": Family(UniformBase, UniformSettings, 2, lambda x, s, *_: fit_uniform(x, s)),
    "ae-ot": Family(
        TransportedBase,
        TransportedSettings,
        2,
        lambda x, s, g, v, group: fit_transported(x, s, g, group),
        rich=True,
        shared=True,
    ),
    "conjugate-moment": Family(
        ConjugateMomentBase,
        ConjugateMomentSettings,
        8,
        lambda x, s, g, *_: fit_conjugate(x, s, g),
        rich=True,
    ),
    "network": Family(
        NetworkBase,
        NetworkSettings,
        8,
        lambda x, s, g, v, _: fit_network(x, s, g, v),
        rich=True,
    ),
    "auto": Family(
        ChosenBase,
        AutoSettings,
        2,
        lambda x, s, g, v, _: select_base(x, s, g, v, _candidate(g), frozenset(RELAXED)),
    ),
}
# Bases that wrap another base, whose checkpoint is part of theirs.
WRAPPERS: dict[str, Any] = {"constants-kept": ConstantCoordinates, "auto": ChosenBase}
RELAXED: list[str] = [name for name, family in FAMILIES.items() if family.relaxed]
LADDER = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""The λ that ``guard="regularise"`` tries until the guard passes."""
_DAMAGE = (
    LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError,
    AssertionError, MemoryError, InputError,
)  # fmt: skip
"""Exceptions raised by tensors and numbers that do not match each other."""
LEAST_GUARDED = 16
"""With fewer different latents the guard's shares are meaningless."""


def fit(
    name: str,
    latents: Tensor,
    *,
    generator: Generator,
    settings: Any = None,
    validation: Tensor | None = None,
    guard: Guard = "say",
    group: Group = ALONE,
) -> BaseMeasure:
    """Fit a base measure of one family to latents.

    Args:
        name: a key of :data:`FAMILIES`.
        latents: (N, dim) numbers, converted to float32. Coordinates that never vary stay constant.
        generator: source of all random choices.
        settings: the family's settings dataclass, or the same as a plain dict; None for defaults.
        validation: (M, dim) latents held out from the fit, for families that select on them.
        guard: what to do with a rich base that replays its latents or collapses: ``say`` so in its
            notes, ``refuse`` it, ``regularise`` it by a larger relaxation, or ``off``.
        group: processes with the same latents and equally seeded generators. They share the
            samples of ``ae-ot``; any other family is fitted by the first of them for all.
    Raises:
        InputError: unknown name or setting, NaN, or too few different latents.
        TrainingError: the guard refused the base, or no relaxation helped.
    """
    if name not in FAMILIES:
        raise InputError(f"base must be one of {', '.join(FAMILIES)}, got {name!r}")
    if guard not in GUARDS:
        raise InputError(f"guard must be one of {', '.join(GUARDS)}, got {guard!r}")
    family = FAMILIES[name]
    settings = _settings(family, name, settings)
    x = check_latents(latents, family.least, f"base {name}")
    held = None if validation is None else check_latents(validation)
    if held is not None and held.shape[1] != x.shape[1]:
        raise InputError(
            f"validation latents have {held.shape[1]} dimensions, the latents {x.shape[1]}"
        )
    if group.size > 1 and not family.shared:

        def fitted() -> tuple[dict[str, Tensor], dict[str, Any]]:
            options = {"generator": generator, "settings": settings, "validation": held}
            return fit(name, x, guard=guard, **options).to_checkpoint()

        return on_device(from_checkpoint(*group.tensors(fitted)), str(x.device))
    if name == "standard":
        return family.fit(x, settings, generator, held, group)
    varying = (x != x[0]).any(0)
    if bool(varying.all()):
        return _guarded(name, x, settings, generator, held, guard, group)
    inner = _guarded(
        name,
        x[:, varying],
        settings,
        generator,
        None if held is None else held[:, varying],
        guard,
        group,
    )
    return ConstantCoordinates(inner, torch.where(varying, 0.0, x[0]), varying)


def _guarded(
    name: str,
    x: Tensor,
    settings: Any,
    generator: Generator,
    held: Tensor | None,
    guard: Guard,
    group: Group,
) -> BaseMeasure:
    """Fit and test a base; if it copies or collapses, do what ``guard`` says."""
    family = FAMILIES[name]
    omega = family.fit(x, settings, generator, held, group)
    pushed = getattr(settings, "pushed", True)  # P_w itself is log-concave and cannot copy
    if guard == "off" or not family.rich or not pushed:
        return omega
    if len(torch.unique(x, dim=0)) < LEAST_GUARDED:
        return omega

    def look(candidate: BaseMeasure) -> GuardReport:
        return check_collapse(candidate, x, generator=generator, validation=held)

    report = look(omega)
    if report.ok:
        return omega
    if guard == "refuse" or (guard == "regularise" and not family.relaxed):
        report.require_ok(name)
    if guard == "regularise":
        for pull in LADDER:
            if pull <= settings.relaxation:
                continue
            stronger = dataclasses.replace(settings, relaxation=pull)
            omega = family.fit(x, stronger, generator, held, group)
            if look(omega).ok:
                note = f"λ raised to {pull:g}, because {'; '.join(report.faults)}"
                return _noted(omega, note)
        look(omega).require_ok(name)
    return _noted(omega, f"collapse guard: {'; '.join(report.faults)}")


def _noted(omega: Any, note: str) -> BaseMeasure:
    result: BaseMeasure = dataclasses.replace(omega, notes=(*omega.notes, note))
    return result


def _candidate(generator: Generator) -> Callable[..., BaseMeasure]:
    """The function with which ``auto`` fits a candidate: unguarded, as ``auto`` runs the guard."""

    def fit_one(
        name: str, latents: Tensor, settings: dict[str, Any], validation: Tensor | None
    ) -> BaseMeasure:
        return fit(
            name,
            latents,
            generator=generator,
            settings=settings,
            validation=validation,
            guard="off",
        )

    return fit_one


def from_checkpoint(tensors: dict[str, Tensor], meta: dict[str, Any]) -> BaseMeasure:
    """Restore any base from the result of its ``to_checkpoint``.

    Mismatched tensors only fail when sampling, so one sample is drawn and discarded, of a size
    that none of them has.

    Raises:
        DataError: not the checkpoint of a base, a damaged one, or one of a newer pcgen.
    """
    family = meta.get("family")
    if not isinstance(family, str) or family not in {**FAMILIES, **WRAPPERS}:
        raise DataError(
            f"the checkpoint has base {family!r}; this pcgen supports {', '.join(FAMILIES)}"
        )
    try:
        omega: BaseMeasure
        if family in WRAPPERS:
            inner = from_checkpoint(checkpoint.strip(tensors, "inner"), meta["inner"])
            omega = WRAPPERS[family].around(inner, tensors, meta)
        else:
            omega = FAMILIES[family].measure.from_checkpoint(tensors, meta)
        sizes = {size for tensor in tensors.values() for size in tensor.shape}
        count = next(k for k in range(2, 3 + len(sizes)) if k not in sizes)
        drawn = omega.sample(count, torch.Generator().manual_seed(0))
        fits = drawn.shape == (count, omega.dim) and bool(drawn.isfinite().all())
    except _DAMAGE as error:
        raise DataError(f"the base is damaged ({error!r}); fit it again") from None
    if not fits:
        raise DataError("the base is damaged: its samples are not finite latents; fit it again")
    return omega


def on_device(omega: BaseMeasure, device: str) -> BaseMeasure:
    """A copy of the base with tensors on ``device``; samples stay on their generator's device."""
    if device == "cpu":
        return omega
    tensors, meta = omega.to_checkpoint()
    return from_checkpoint({name: tensor.to(device) for name, tensor in tensors.items()}, meta)


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
