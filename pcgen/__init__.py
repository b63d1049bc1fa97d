"""pcgen generates 3D shapes by transport from a better base measure.

For programs and notebooks, all loaded when first used::

    import pcgen

    data = pcgen.prepare("starter", "furniture", points=6000)
    model = pcgen.train(data, "runs/seats", categories=["seat"], minutes=3)
    shapes = model.sample(12, seed=0, points=16_000)

:mod:`pcgen.api` has these functions and objects, :mod:`pcgen.ot` optimal transport.

The way of the data, one function per arrow in :mod:`pcgen.pipeline`::

    mesh files --prepare--> point clouds --encode--> latents ν --fit--> base ω, potential h
    ω --latent flow--> latent z --base points of z--> --point flow--> cloud --> mesh

Rooms, from the ground up; each imports only from those before it:

=====================  =====================================================================
errors                 every error a user can cause
config, cores,         frozen settings; how many cores there are; batches and protocols;
datatypes, files,      safe writing and locks; progress lines; random numbers of a batch that
progress, batch_random processes share; files behind a URL
remote
checkpoint, runtime,   tensors on disk without pickle; threads, memory, devices; what a run
runfile, processes,    directory is; the processes that torchrun started; work over processes that
jobs                   may die, here or on a Ray cluster
kernels                nearest neighbours, affine argmax, Chamfer: dense, KeOps, KD-tree, PyTorch3D
shapes                 mesh and cloud files, data-set layouts, surface sampling, the data store
transport, distances   optimal transport: exact and stochastic semi-discrete, extended map, ...;
                       distances between clouds, and the nearest training shapes
latent, base, flow     autoencoder; base measures; paths, velocities, characteristics
reconstruct, render    points to meshes; pictures without a screen
model, generate,       a trained run, assembled: sample, encode, decode; by many processes;
editing, overview      vary, mix, interpolate; one picture of how a shape came to be
children               new shapes by optimal transport between two training shapes
train, evaluate        the five training stages; the metrics of the field
viewer, gallery,       the Open3D window; the static page; benchmarks
bench
pipeline               one function per stage, from files to files: the file to read first
api, ot                the same for programs and notebooks, with objects
cli                    thin shells over both
=====================  =====================================================================
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pcgen import renamed

if TYPE_CHECKING:
    from pcgen import ot
    from pcgen.api import (
        Base,
        Comparison,
        Data,
        Figure,
        Model,
        Score,
        Shape,
        Shapes,
        SurfaceMesh,
        evaluate,
        fit_base,
        load,
        mesh,
        prepare,
        train,
        view,
    )

__version__ = "0.1.0"

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
    "__version__",
    "evaluate",
    "fit_base",
    "load",
    "mesh",
    "ot",
    "prepare",
    "train",
    "view",
]

renamed.install()


class _Package(ModuleType):
    """The package. Python sets each imported room as an attribute; the rooms ``train`` and
    ``evaluate`` would replace the functions of these names. ``from pcgen.train import ...`` still
    gives what is in the room."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("train", "evaluate") and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name == "ot":
        return importlib.import_module("pcgen.ot")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("pcgen.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
