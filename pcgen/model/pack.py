"""Packed runs: a run reduced to what sampling needs, and the runs that come with the package.

A packed run is a run directory without training state, teachers and learning curves. It stores the
median frames of its categories, so that meshes get their size even without the data set.
"""

from __future__ import annotations

import dataclasses
from importlib import resources
from pathlib import Path

import torch

from pcgen import checkpoint
from pcgen.errors import DataError
from pcgen.files import atomic_folder, write_json
from pcgen.runfile import NAME, STAGES, is_run, read_run
from pcgen.shapes.category_frames import PLACES, frames_of_run

FLOWS = ("latent-flow/student/weights.safetensors", "point-flow/student/weights.safetensors")
# The autoencoder and the base are small, and the latents already have half precision.
COPIED = (
    "autoencoder/weights.safetensors",
    "base/latents.safetensors",
    "base/base.safetensors",
    "base/map.npz",
)


def packaged() -> tuple[str, ...]:
    """The names of the runs that come with the package."""
    folder = _trained()
    return tuple(sorted(child.name for child in folder.iterdir() if is_run(child)))


def find_run(run: Path | str) -> Path:
    """The folder of a run, given its path or the name of one that comes with the package."""
    path = Path(run)
    if str(run) in packaged() and not is_run(path):
        return _trained() / str(run)
    return path


def pack(run: Path | str, out: Path | str, *, half: bool = True) -> Path:
    """Pack a run into a new folder and return its path.

    Args:
        half: store the weights of the flows in half precision.
    Raises:
        DataError: there is no finished run. StorageError: ``out`` exists already.
    """
    run, out = find_run(run), Path(out)
    config = read_run(run)
    missing = [name for name in (*FLOWS, *COPIED) if not (run / name).is_file()]
    if missing:
        raise DataError(f"{run} is not fully trained: {missing[0]} is missing")
    places = frames_of_run(run)
    config["dataset"] = Path(str(config["dataset"])).name  # without its location on this machine
    with atomic_folder(out) as folder:
        write_json(folder / NAME, config)
        for stage in STAGES:
            write_json(folder / stage / "done.json", {"packed": True})
        for name in FLOWS:
            tensors, meta = checkpoint.load(run / name)
            if half:
                tensors = {key: _halved(tensor) for key, tensor in tensors.items()}
            checkpoint.save(folder / name, tensors, meta)
        field = ("field/weights.safetensors",)
        for name in (*COPIED, *(name for name in field if (run / name).is_file())):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes((run / name).read_bytes())
        plain = {name: dataclasses.asdict(place) for name, place in places.items()}
        write_json(folder / PLACES, plain)
    return out


def _halved(tensor: torch.Tensor) -> torch.Tensor:
    """In half precision, if its numbers are within range."""
    fits = tensor.is_floating_point() and float(tensor.abs().max() if len(tensor) else 0) < 6e4
    return tensor.half() if fits else tensor


def _trained() -> Path:
    return Path(str(resources.files("pcgen") / "trained"))
