"""Old module names, for scripts written before: they import with a DeprecationWarning.

:data:`MODULES` names the new place of each module, :data:`NAMES` the new name of what a package
or module gave out. Importing :mod:`pcgen` installs a finder for the modules; a package hands its
old names out by ``__getattr__ = renamed.names(__name__)``.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_TRANSPORT = {
    "discrete": "assignment",
    "choose": "auto",
    "blocks": "chunking",
    "line": "exact.univariate",
    "newton": "exact.newton",
    "cells": "exact.power_diagram",
    "walls": "exact.facets",
    "domain": "exact.densities",
    "ball": "exact.radial_densities",
    "normal": "exact.radial_densities",
    "measurable": "exact.measures",
    "starts": "exact.measures",
    "raising": "exact.newton",
    "extended": "maps.extended",
    "mapped": "maps.extended",
    "modes": "maps.local_scale",
    "visits": "maps.stratified",
    "pictures": "maps.plots",
    "semidual": "stochastic.semidual",
    "state": "stochastic.state",
    "reach": "stochastic.semidual",
    "workspace": "stochastic.workspace",
    "schedule": "stochastic.schedule",
    "tally": "stochastic.cell_masses",
    "redraw": "stochastic.lattice_sampling",
    "coarse": "stochastic.group_corrections",
    "repairs": "stochastic.cell_corrections",
    "kept": "stochastic.solve_checkpoint",
    "search": "stochastic.search.tree",
    "beam": "stochastic.search.beam_width",
    "unmet": "stochastic.search.empty_cells",
    "refine": "stochastic.search.multiscale",
    "conjugate.line": "conjugate.univariate",
}

_OTHERS = {
    "base.guard": "base.collapse_guard",
    "base.choice": "base.selection",
    "base.dual": "base.dual_ascent",
    "kernels.choice": "kernels.backends",
    "viewer.jobs": "viewer.background",
    "draws": "batch_random",
    "explained": "overview",
    "reconstruct.quiet": "reconstruct.denoise",
    "reconstruct.solid": "reconstruct.watertight",
    "reconstruct.skin": "reconstruct.boundary_surface",
    "reconstruct.space": "reconstruct.cell_complex",
    "reconstruct.crossings": "reconstruct.self_intersections",
    "reconstruct.rays": "shapes.ray_scene",
    "reconstruct.ray_scene": "shapes.ray_scene",
    "reconstruct.classic": "reconstruct.open3d_methods",
    "reconstruct.volume": "reconstruct.inside_cells",
    "reconstruct.embed": "reconstruct.embedding",
}

MODULES = {
    **{f"pcgen.transport.{old}": f"pcgen.transport.{new}" for old, new in _TRANSPORT.items()},
    **{f"pcgen.{old}": f"pcgen.{new}" for old, new in _OTHERS.items()},
}

_UNIVARIATE = "pcgen.transport.exact.univariate"
_EXTENDED = "pcgen.transport.maps.extended"
_STRATIFIED = "pcgen.transport.maps.stratified"
_ESTIMATES = "pcgen.transport.stochastic.mass_estimates"
_CONJUGATE = "pcgen.transport.conjugate.univariate"
_ITERATION = "pcgen.transport.conjugate.iteration"

# Of each module, by its new name: its old names, and where they are now.
NAMES: dict[str, dict[str, tuple[str, str]]] = {
    "pcgen.transport": {
        "LineSolver": (_UNIVARIATE, "UnivariateSolver"),
        "Mapped": (_EXTENDED, "PushForward"),
        "EvenVisits": (_STRATIFIED, "StratifiedSampler"),
    },
    "pcgen.transport.evidence": {
        "Census": (_ESTIMATES, "MassEstimate"),
        "take_census": (_ESTIMATES, "estimate_masses"),
    },
    "pcgen.transport.conjugate": {
        "LineConjugate": (_CONJUGATE, "UnivariateConjugate"),
        "conjugate_line": (_CONJUGATE, "conjugate_univariate"),
        "Status": (_ITERATION, "IterationStatus"),
    },
    _UNIVARIATE: {"LineSolver": (_UNIVARIATE, "UnivariateSolver")},
    _EXTENDED: {"Mapped": (_EXTENDED, "PushForward")},
    _STRATIFIED: {"EvenVisits": (_STRATIFIED, "StratifiedSampler")},
    _CONJUGATE: {
        "LineConjugate": (_CONJUGATE, "UnivariateConjugate"),
        "conjugate_line": (_CONJUGATE, "conjugate_univariate"),
    },
}


def names(module: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module, which hands out its old names."""

    def of(name: str) -> Any:
        if name not in NAMES.get(module, {}):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        place, new = NAMES[module][name]
        _warn(f"{module}.{name}", f"{place}.{new}")
        return getattr(importlib.import_module(place), new)

    return of


def install() -> None:
    """Let old modules be imported."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


class _Finder(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        new = MODULES[module.__name__]
        _warn(module.__name__, new)
        old = names(new)

        def of(name: str) -> Any:
            there = importlib.import_module(new)
            return getattr(there, name) if hasattr(there, name) else old(name)

        module.__getattr__ = of  # type: ignore[method-assign]


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=3)
