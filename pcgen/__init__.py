"""pcgen generates 3D shapes by transport from a better base measure.

The way of the data, one function per arrow in :mod:`pcgen.pipeline`::

    mesh files --prepare--> point clouds --encode--> latents ν --fit--> base ω, potential h
    ω --latent flow--> latent z --base points of z--> --point flow--> cloud --> mesh

Rooms, from the ground up; each imports only from those before it:

=====================  =====================================================================
errors                 every error a user can cause
config, datatypes,     frozen settings; batches and protocols; safe writing and locks;
files, progress,       progress lines; random numbers of a batch that processes share
batch_random
checkpoint, runtime,   tensors on disk without pickle; threads, memory, devices; what a run
runfile, processes,    directory is; the processes that torchrun started; work over processes that
jobs                   may die, here or on a Ray cluster
kernels                nearest neighbours, affine argmax, Chamfer: dense, KeOps, KD-tree, PyTorch3D
shapes                 mesh and cloud files, data-set layouts, surface sampling, the data store
transport              optimal transport: exact and stochastic semi-discrete, extended map, ...
latent, base, flow     autoencoder; base measures; paths, velocities, characteristics
reconstruct, render    points to meshes; pictures without a screen
model, generate,       a trained run, assembled: sample, decode, interpolate; by many processes;
overview               one picture of how a shape came to be
children               new shapes by optimal transport between two training shapes
train, evaluate        the five training stages; the metrics of the field
viewer, gallery,       the Open3D window; the static page; benchmarks
bench
pipeline               one function per stage: the file to read first
cli                    thin shells over the pipeline
=====================  =====================================================================
"""

from pcgen import renamed

__version__ = "0.1.0"

renamed.install()
