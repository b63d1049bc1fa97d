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
    "ball": "exact.ball_density",
    "normal": "exact.gaussian_density",
    "measurable": "exact.measures",
    "starts": "exact.initial_potentials",
    "raising": "exact.cell_recovery",
    "extended": "maps.extended",
    "mapped": "maps.pushforward",
    "modes": "maps.local_scale",
    "visits": "maps.stratified",
    "pictures": "maps.plots",
    "semidual": "stochastic.semidual",
    "state": "stochastic.state",
    "reach": "stochastic.source_checks",
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

MODULES = {
    **{f"pcgen.transport.{old}": f"pcgen.transport.{new}" for old, new in _TRANSPORT.items()},
}

# Of each module, by its new name: old names, and module and name they have now.
NAMES: dict[str, dict[str, tuple[str, str]]] = {
    "pcgen.transport.evidence": {
        "Census": ("pcgen.transport.stochastic.mass_estimates", "Census"),
        "take_census": ("pcgen.transport.stochastic.mass_estimates", "take_census"),
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
