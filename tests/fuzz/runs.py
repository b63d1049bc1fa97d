"""A run of tiny untrained networks, and readers of its files one at a time.

Each file is read as sampling reads it and, if training resumes from it, as training does.
"""

import dataclasses
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from pcgen import base, checkpoint, progress
from pcgen.config import to_plain
from pcgen.flow.networks import LatentFlowNetwork, PointFlowNetwork
from pcgen.latent.autoencoder import Autoencoder
from pcgen.model import ShapeModel
from pcgen.model.coupling import Latents
from pcgen.runfile import STAGES
from pcgen.train.latents import couple
from pcgen.train.loop import LoopSettings
from pcgen.train.presets import Settings, preset
from pcgen.train.run import RunConfig
from pcgen.train.training import train
from pcgen.transport import SemidualSolver
from tests.boxes import boxes
from tests.datasets import write_dataset

#: Coordinates of latents; levels, code and so numbers of a latent; latents.
DIM, LEVELS, CODE, ATOMS = 3, 1, 2, 5
LATENT_DIM = 2**LEVELS * (3 + CODE) + 3
#: Loaders by name: the stage that begins with a file, or none where generating does.
READ = {
    "sample.run": ("", "run.json"),
    "sample.autoencoder": ("", "autoencoder/weights.safetensors"),
    "sample.latents": ("", "base/latents.safetensors"),
    "sample.base": ("", "base/base.safetensors"),
    "sample.map": ("", "base/map.npz"),
    "sample.latent-flow": ("", "latent-flow/student/weights.safetensors"),
    "sample.point-flow": ("", "point-flow/student/weights.safetensors"),
    "train.latents": ("latent-flow", "base/latents.safetensors"),
    "train.base": ("latent-flow", "base/base.safetensors"),
    "train.map": ("latent-flow", "base/map.npz"),
    "train.teacher": ("latent-flow", "latent-flow/teacher/weights.safetensors"),
    "train.autoencoder": ("point-flow", "autoencoder/weights.safetensors"),
}


def settings() -> Settings:
    """``cpu-tiny`` with the smallest networks and one training step."""
    loop = LoopSettings(steps=1, batch=2)
    tiny = preset("cpu-tiny")
    sizes = {"width": 4, "blocks": 1, "teacher": loop, "student": loop}
    return dataclasses.replace(
        tiny,
        autoencoder=dataclasses.replace(
            tiny.autoencoder, levels=LEVELS, code=CODE, patch_width=4, points=32, scored=16
        ),
        autoencoder_loop=loop,
        latent_flow=dataclasses.replace(tiny.latent_flow, pool=8, **sizes),
        point_flow=dataclasses.replace(tiny.point_flow, pairs=2, points=32, **sizes),
        cloud_points=64,
    )


@cache
def dataset_files() -> dict[str, bytes]:
    """The files of a data set of four boxes."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "set"
        write_dataset(path, boxes(4, 100)[0], splits=["train"] * 4)
        return {file.name: file.read_bytes() for file in path.iterdir()}


@cache
def run_files() -> dict[str, bytes]:
    """The files of a finished run, by path."""
    chosen = settings()
    clouds = torch.from_numpy(boxes(4, 100)[0])
    draw = torch.Generator().manual_seed(0)
    with TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        run = Path(folder)
        networks = {"autoencoder": Autoencoder.untrained(chosen.autoencoder, clouds, 0)}
        for part in ("teacher", "student"):
            networks[f"latent-flow/{part}"] = LatentFlowNetwork(DIM, 4, 1)
            networks[f"point-flow/{part}"] = PointFlowNetwork(3, CODE, 4, 1)
        for name, network in networks.items():
            meta = {"step": 1, "settings": {}}
            checkpoint.save(run / name / "weights.safetensors", network.state_dict(), meta)
        parent = (torch.arange(ATOMS) % 4)[:, None].expand(-1, 2)
        latents = Latents.of(
            torch.randn(ATOMS, LATENT_DIM, generator=draw),
            parent.contiguous(),
            torch.zeros(ATOMS, 2, dtype=torch.bool),
            torch.zeros(ATOMS, 3, dtype=torch.bool),
            torch.zeros(ATOMS, dtype=torch.int64),
            DIM,
        )
        latents.save(run / "base" / "latents.safetensors")
        omega = base.fit("gaussian", latents.y, generator=draw)
        checkpoint.save(run / "base" / "base.safetensors", *omega.to_checkpoint())
        couple(omega, latents.y, SemidualSolver(tolerance=0.5, max_samples=4096), 0).save(
            run / "base" / "map.npz"
        )
        files = {p.relative_to(run).as_posix(): p.read_bytes() for p in run.rglob("*.*")}
        return files | {f"{stage}/done.json": b"{}\n" for stage in STAGES} | {"run.json": _config()}


def _config() -> bytes:
    """The files of the run, with its data set in the folder ``set``."""
    described = json.loads(dataset_files()["dataset.json"])
    config = RunConfig(
        dataset="/nowhere/set", dataset_hash=described["content_hash"],
        categories=tuple(described["categories"]), conditional=False, preset="cpu-tiny", seed=0,
        threads=1, budget_minutes=None, settings=settings(),
    )  # fmt: skip
    return json.dumps(to_plain(config)).encode()


def lay(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def generates_from(name: str) -> Callable[[Path], object]:
    """A reader that draws a shape from the run with one file of it replaced."""

    def read(path: Path) -> None:
        run = path.parent / "run"
        lay(run, {**run_files(), name: path.read_bytes()})
        ShapeModel.load(run).sample(2, seed=0, points=8)

    return read


def goes_on_from(name: str, stage: str) -> Callable[[Path], object]:
    """A reader that trains a stage of the run with one file of an earlier one replaced."""

    def read(path: Path) -> None:
        run, data = path.parent / "run", path.parent / "set"
        begun = {
            name: data
            for name, data in run_files().items()
            if not name.startswith(f"{stage}/") or name.endswith("teacher/weights.safetensors")
        }
        lay(data, dataset_files())
        for left in run.glob(f"{stage}/**/*.*"):
            left.unlink()
        lay(run, {**begun, name: path.read_bytes()})
        with progress.shown(False):
            train(data, run, resume=True, stage=stage, threads=1)

    return read
