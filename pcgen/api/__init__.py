"""The interface of ``import pcgen``: functions and frozen objects for programs and notebooks.

Every function accepts a path (text or :class:`~pathlib.Path`) or the object itself, has explicit
keywords, prints nothing unless ``progress=True``, and returns a frozen object with ``save``,
``summary()``, and a text and an HTML representation. The commands call these functions.

* :mod:`data` - :func:`prepare` and :class:`Data`, a data set.
* :mod:`training` - :func:`train`; :mod:`model` - :func:`load` and :class:`Model`, a trained run.
* :mod:`shapes` - :class:`Shape`, :class:`Shapes`, :func:`mesh`, :func:`save_meshes`;
  :mod:`meshes` - :class:`SurfaceMesh`.
* :mod:`looking` - :func:`view`, :func:`save_gallery`.
* :mod:`score` - :func:`evaluate`, :class:`Score`.
* :mod:`bases` - :func:`fit_base`, :class:`Base`.
* :mod:`pcgen.ot` offers semi-discrete optimal transport in the same style.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pcgen.api.bases import Base, fit_base
    from pcgen.api.data import Data, prepare
    from pcgen.api.looking import save_gallery, view
    from pcgen.api.meshes import SurfaceMesh
    from pcgen.api.model import Model, load
    from pcgen.api.score import Comparison, Figure, Score, evaluate
    from pcgen.api.shapes import Shape, Shapes, mesh, read_shapes, save_meshes
    from pcgen.api.training import train

__all__ = [
    "Base",
    "Comparison",
    "Data",
    "Figure",
    "Model",
    "Score",
    "Shape",
    "Shapes",
    "SurfaceMesh",
    "evaluate",
    "fit_base",
    "load",
    "mesh",
    "prepare",
    "read_shapes",
    "save_gallery",
    "save_meshes",
    "train",
    "view",
]

# A name is loaded when it is first used: a mesh of points needs no network.
_MODULES = {
    "bases": ("Base", "fit_base"),
    "data": ("Data", "prepare"),
    "looking": ("save_gallery", "view"),
    "meshes": ("SurfaceMesh",),
    "model": ("Model", "load"),
    "score": ("Comparison", "Figure", "Score", "evaluate"),
    "shapes": ("Shape", "Shapes", "mesh", "read_shapes", "save_meshes"),
    "training": ("train",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
