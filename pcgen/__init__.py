"""pcgen generates 3D shapes by transport from a better base measure.

For programs and notebooks, loaded on first use::

    import pcgen

    data = pcgen.prepare("starter", "furniture", points=6000)
    model = pcgen.train(data, "runs/seats", categories=["seat"], minutes=3)
    shapes = model.sample(12, seed=0, points=16_000)

:mod:`pcgen.api` has these functions and objects, :mod:`pcgen.ot` optimal transport.

The pipeline, with one function per arrow in :mod:`pcgen.pipeline`::

    mesh files --prepare--> point clouds --encode--> latents ν --fit--> base ω, potential h
    ω --latent flow--> latent z --base points of z--> --point flow--> cloud --> mesh

The packages and modules, lowest first; each imports only from earlier ones:

=====================  =====================================================================
errors                 every error a user can cause
config, cores,         frozen settings; the number of cores; batches and protocols;
datatypes, files,      safe writing and locks; progress lines; random numbers of a batch that
progress, batch_random processes share; files at a URL
remote
checkpoint, runtime,   tensors on disk without pickle; threads, memory, devices; the content of
runfile, processes,    a run directory; the processes that torchrun started; work divided over
jobs                   worker processes, on this machine or a Ray cluster
kernels                nearest neighbours, affine argmax, Chamfer, likelihoods, by several backends
shapes                 mesh and cloud files, data-set layouts, surface sampling, the data store
transport, distances   optimal transport: exact and stochastic semi-discrete, extended map, ...;
                       distances between clouds, and the nearest training shapes
latent, base, flow     autoencoder; base measures; paths, velocities, characteristics
reconstruct, render    points to meshes; pictures without a display
model, generate,       a trained run: sample, encode, decode; with several processes;
editing, overview      vary, mix, interpolate; one picture of how a shape is generated
children               new shapes by optimal transport between two training shapes
train, evaluate        the training stages; evaluation metrics
viewer, gallery,       the Open3D window; the static page; benchmarks
bench
pipeline               one function per stage, from files to files: read this file first
api, ot                the same for programs and notebooks, with objects
cli                    thin wrappers around both
=====================  =====================================================================
"""

from __future__ import annotations

import importlib
import os
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
        save_gallery,
        save_meshes,
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
    "save_gallery",
    "save_meshes",
    "train",
    "view",
]

renamed.install()

# Threads that wait by spinning occupy cores that other processes need: beside busy processes,
# training took 42 steps in the time of 209 with these, and sampling seven times the processor
# time. OpenMP reads them when torch loads, so `import pcgen` comes before `import torch`.
PASSIVE_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
if not PASSIVE_WAITING.keys() & os.environ.keys():  # a value that the user set stays
    os.environ.update(PASSIVE_WAITING)


class _PcgenModule(ModuleType):
    """The package. Python sets each imported subpackage as an attribute, and ``train`` and
    ``evaluate`` would replace the functions of these names. ``from pcgen.train import ...`` still
    imports from the subpackage."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("train", "evaluate") and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _PcgenModule


def __getattr__(name: str) -> Any:
    if name == "ot":
        return importlib.import_module("pcgen.ot")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("pcgen.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
