"""Every reader of files in the project, with small files that it reads.

A loader gets the path of a file that stands alone in its folder, and must either read it or raise
a known error. Loaders of folders put the other files beside it.
"""

import base64
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import torch
from torch import nn

from pcgen import base, checkpoint
from pcgen.bench.problems import _latents
from pcgen.cli.transport import _read as read_atoms
from pcgen.config import to_plain
from pcgen.distances.tables import _read_finished
from pcgen.files import write_json
from pcgen.gallery.curves import read_curves
from pcgen.gallery.meshes import find_meshes
from pcgen.reconstruct.batch import _finished
from pcgen.runfile import learned_from, training_command
from pcgen.shapes.cloud_files import read_clouds
from pcgen.shapes.items import SourceItem, cloud_size, open_item
from pcgen.shapes.layouts import find_items
from pcgen.shapes.layouts.hdf5 import list_arrays
from pcgen.shapes.listing import Entry, scan
from pcgen.shapes.plan import Plan, make_plan
from pcgen.shapes.prepare import _finish, _open_part
from pcgen.shapes.reading import read_mesh
from pcgen.shapes.samples import Samples
from pcgen.shapes.shards import Shard, convert, read_record, write_shard
from pcgen.shapes.splits import read_table
from pcgen.shapes.store import Dataset, _remedy
from pcgen.shapes.threemf import write_3mf
from pcgen.train.budget import Budget, plan_loop
from pcgen.train.loop import LoopSettings, Trainer, read_metrics
from pcgen.train.presets import preset
from pcgen.train.run import Run, RunConfig
from pcgen.transport import (
    GaussianSource,
    SemidiscreteProblem,
    SemidiscreteSolution,
    SemidualSolver,
)
from pcgen.transport.stochastic.solve_checkpoint import SolveCheckpoint
from pcgen.transport.stochastic.state import SemidualState
from tests.benchmarks import scale
from tests.benchmarks.curve_examples import PREPARE, TRANSPORT
from tests.datasets import write_dataset
from tests.fuzz import runs
from tests.shapes.small_shapes import box_mesh, every_format

CLOUDS = np.random.default_rng(0).normal(size=(2, 60, 3)).astype(np.float32)
LOOP = LoopSettings(steps=4, batch=2, log_every=1)


@dataclass(frozen=True)
class Loader:
    """A reader of files with a suffix, and the small files that are mutated."""

    suffix: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]


def _written(write, suffix="") -> bytes:
    """The bytes that a function writes to a path."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"file{suffix}"
        write(path)
        return path.read_bytes()


def _buffer(write) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


@cache
def meshes() -> dict[str, bytes]:
    files = every_format(box_mesh())
    buffer = base64.b64encode(files.pop("buffer"))
    # Its buffer inside: a loader gets one file.
    files[".gltf"] = files[".gltf"].replace(
        b"gltf_buffer.bin", b"data:application/octet-stream;base64," + buffer
    )
    scan_with_normals = (
        b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\n"
        b"property float z\nproperty float nx\nproperty float ny\nproperty float nz\nend_header\n"
        b"0 0 0 0 0 1\n1 0 0 0 0 1\n0 1 0 0 0 1\n"
    )
    return files | {"scan": scan_with_normals, ".3mf": write_3mf(box_mesh())}


@cache
def clouds() -> dict[str, list[bytes]]:
    rows = "\n".join(" ".join(map(str, row)) for row in CLOUDS[0])
    header = (
        "VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 60\nHEIGHT 1\n"
        "POINTS 60\nDATA {}\n"
    )
    columns = CLOUDS[0].T.tobytes()
    runs = b"".join(b"\x1f" + columns[k : k + 32] for k in range(0, 704, 32)) + b"\x0f"
    packed = runs + columns[704:]
    sizes = np.array([len(packed), len(columns)], "<u4").tobytes()
    return {
        ".npy": [_buffer(lambda h: np.save(h, CLOUDS))],
        ".pt": [
            _buffer(lambda h: torch.save(torch.from_numpy(CLOUDS), h)),
            _buffer(lambda h: torch.save({"a": torch.from_numpy(CLOUDS)}, h)),
            _buffer(
                lambda h: torch.save(
                    torch.from_numpy(CLOUDS[:, :5]).clone(), h, _use_new_zipfile_serialization=False
                )
            ),
        ],
        ".xyz": [rows.encode(), b"60\n" + rows.encode()],
        ".pts": [b"60\n" + rows.encode(), rows.replace(" ", ",").encode()],
        ".txt": ["\n".join(f"{row} 0 0.6 0.8 12" for row in rows.split("\n")).encode()],
        ".pcd": [
            header.format("ascii").encode() + rows.encode(),
            header.format("binary").encode() + CLOUDS[0].tobytes(),
            header.format("binary_compressed").encode() + sizes + packed,
        ],
    }


def _samples() -> list[bytes]:
    samples = Samples(points=CLOUDS, category=np.array(["a", "b"]), meta={"seed": 1})
    return [
        _written(samples.save, ".npz"),
        _buffer(lambda h: np.savez(h, points=CLOUDS, normals=CLOUDS)),
    ]


def _hdf5() -> list[bytes]:
    def write(path):
        with h5py.File(path, "w") as handle:
            handle["chair/train"] = CLOUDS
            handle.create_dataset("03001627/test", data=CLOUDS, compression="gzip")

    return [_written(write, ".h5")]


def _read_hdf5(path: Path) -> None:
    """List and read a source like a layout and a worker of prepare, in separate processes."""
    entry = Entry(path.name, path.stat().st_size, str(path), None, 0)
    arrays = list_arrays(entry, lambda _: None)
    for stack in arrays if isinstance(arrays, list) else ():
        open_item(
            SourceItem(
                id="a/b", category="a", split=None, entry=entry, array=stack.array,
                normals=stack.normals, row=0,
            )
        )  # fmt: skip


def _archive() -> list[bytes]:
    def write(handle):
        with zipfile.ZipFile(handle, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("chair/train/a.off", meshes()[".off"])
            archive.writestr("chair/test/b.obj", meshes()[".obj"])
            archive.writestr("split.csv", "file,split\nchair/train/a.off,train\n")

    return [_buffer(write)]


def _read_source(path: Path) -> None:
    """All shapes of a folder or archive, as a worker of prepare opens them."""
    _, found = find_items(scan(path))
    for item in found.items[:10]:
        cloud_size(item)
        open_item(item)


@cache
def _dataset_files() -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        write_dataset(Path(folder) / "set", CLOUDS, normals=CLOUDS)
        return {file.name: file.read_bytes() for file in (Path(folder) / "set").iterdir()}


def _dataset(name: str) -> Loader:
    def read(path: Path) -> None:
        for other, data in _dataset_files().items():
            (path.parent / other).write_bytes(data)
        (path.parent / name).write_bytes(path.read_bytes())
        dataset = Dataset.open(path.parent)
        dataset.points([0])
        dataset.frame([0])
        dataset.select(split="train")

    return Loader(Path(name).suffix, lambda: [_dataset_files()[name]], read)


@cache
def _run_file() -> bytes:
    config = RunConfig(
        dataset="/data", dataset_hash="0", categories=("a", "b"), conditional=False,
        preset="cpu-tiny", seed=0, threads=1, budget_minutes=None, settings=preset("cpu-tiny"),
    )  # fmt: skip
    return json.dumps(to_plain(config)).encode()


def _read_run(path: Path) -> None:
    path.replace(path.parent / "run.json")
    learned_from(path.parent)
    run = Run.open(path.parent)
    training_command(path.parent, to_plain(run.config))


def _solution() -> list[bytes]:
    draw = torch.Generator().manual_seed(0)
    problem = SemidiscreteProblem(GaussianSource(2), torch.randn(4, 2, generator=draw))
    return [_written(SemidualSolver(tolerance=0.5).solve(problem, draw).save, ".npz")]


def _kept() -> list[bytes]:
    draw = torch.Generator().manual_seed(0)
    problem = SemidiscreteProblem(GaussianSource(2), torch.randn(4, 2, generator=draw))
    states: list[SemidualState] = []
    SemidualSolver(tolerance=0.5).solve(problem, draw, on_step=states.append)
    tensors, rest = states[-1].to_tensors()
    return [_written(lambda path: checkpoint.save(path, tensors, {**rest, "key": "k"}))]


def _bases() -> list[bytes]:
    """A base of each family, and one for latents with a constant coordinate."""
    draw = torch.Generator().manual_seed(0)
    latents = torch.randn(20, 2, generator=draw)
    settings: dict[str, dict[str, Any]] = {
        "network": {"hidden": 4, "steps": 1, "batch": 8},
        "conjugate-moment": {"hidden": (3,), "steps": 1, "dual_steps": 1, "batch": 4, "chains": 8},
    }

    def fitted(name: str, latents: torch.Tensor) -> bytes:
        chosen = settings.get(name, {})
        omega = base.fit(name, latents, generator=draw, settings=chosen, guard="off")
        return _written(lambda path: checkpoint.save(path, *omega.to_checkpoint()))

    constant = torch.cat([latents, torch.ones(20, 1)], 1)
    return [fitted(name, latents) for name in base.FAMILIES] + [fitted("gaussian", constant)]


def _read_base(path: Path) -> None:
    omega = base.from_checkpoint(*checkpoint.load(path, base.SCHEMA))
    assert omega.sample(3, torch.Generator().manual_seed(0)).shape == (3, omega.dim)


def _trainer(folder: Path) -> Trainer:
    def loss(module, generator):
        return module(torch.randn(2, 2, generator=generator)).square().mean()

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Trainer(folder, nn.Linear(2, 1), loss, LOOP, seed=0)


@cache
def _trained() -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        list(_trainer(Path(folder)).steps())
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def _read_state(path: Path) -> None:
    path.replace(path.parent / "state.safetensors")
    (path.parent / "metrics.jsonl").write_bytes(_trained()["metrics.jsonl"])
    _trainer(path.parent).step()


def _read_metrics(path: Path) -> None:
    path.replace(path.parent / "metrics.jsonl")
    read_curves(path.parent.parent)
    read_metrics(path.parent)


def _read_plan(path: Path) -> None:
    path.replace(path.parent / "plan.json")
    plan_loop(path.parent, LOOP, lambda: None)


def _read_clock(path: Path) -> None:
    (path.parent / "children").mkdir(exist_ok=True)
    path.replace(path.parent / "children" / "clock.json")
    Budget(path.parent, 1.0).begin("children")


def _manifest() -> list[bytes]:
    entry = {"name": "a", "files": ["a.glb"], "key": "k", "report": {"faces": 1}, "category": ""}
    return [_written(lambda path: write_json(path, {"meshes": [entry]}))]


def _read_manifest(path: Path) -> None:
    (path.parent / "a.glb").write_bytes(b"")
    (path.parent / "meshes.json").write_bytes(path.read_bytes())
    _finished(path.parent, "meshes", "k")
    find_meshes(path.parent)


def _taxonomy() -> list[bytes]:
    return [json.dumps([{"synsetId": "03001627", "name": "chair,seat", "children": []}]).encode()]


def _read_taxonomy(path: Path) -> None:
    path.replace(path.parent / "taxonomy.json")
    (path.parent / "03001627" / "x").mkdir(parents=True, exist_ok=True)
    (path.parent / "03001627" / "x" / "model.obj").write_bytes(meshes()[".obj"])
    find_items(scan(path.parent), "shapenet")


def _part_lists() -> list[bytes]:
    return [json.dumps(["shape_data/03001627/x", "shape_data/03001627/y"]).encode()]


def _read_part_lists(path: Path) -> None:
    """Read as the list of a split of ShapeNetPart."""
    table = path.parent / "synsetoffset2category.txt"
    table.write_text("Chair\t03001627\n")
    lists = path.parent / "train_test_split"
    lists.mkdir(exist_ok=True)
    path.replace(lists / "shuffled_train_file_list.json")
    _lay_part(path.parent)
    find_items(scan(path.parent), "shapenetpart")


def _lay_part(folder: Path) -> Path:
    cloud = folder / "03001627" / "x.txt"
    cloud.parent.mkdir(exist_ok=True)
    cloud.write_bytes(clouds()[".txt"][0])
    return cloud


def _read_part_table(path: Path) -> None:
    """Read as its names of synsets."""
    path.replace(path.parent / "synsetoffset2category.txt")
    _lay_part(path.parent)
    find_items(scan(path.parent), "shapenetpart")


def _read_text_cloud(path: Path) -> None:
    """Read as one of its clouds, with normals and labels."""
    data = path.read_bytes()
    (path.parent / "synsetoffset2category.txt").write_text("Chair\t03001627\n")
    cloud = _lay_part(path.parent)
    cloud.write_bytes(data)
    path.unlink()
    _, found = find_items(scan(path.parent), "shapenetpart")
    for item in found.items:
        cloud_size(item)
        open_item(item)


def _unfinished(folder: Path) -> tuple[Path, Plan, list[Shard]]:
    """A data set whose only shard is converted, but not yet assembled."""
    source, part = folder / "source", folder / "set.part"
    source.mkdir(exist_ok=True)
    for name in ("a.obj", "b.obj"):
        (source / name).write_bytes(meshes()[".obj"])
    plan = make_plan(source, points=20)
    part.mkdir(exist_ok=True)
    shards = _open_part(part, plan)
    return part, plan, shards


@cache
def _piece_files() -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        _, _, (shard,) = _unfinished(Path(folder))
        write_shard(shard, convert(shard, lambda _: None))
        return {file.name: file.read_bytes() for file in shard.folder.iterdir()}


def _piece(suffix: str) -> Loader:
    """A file of a shard, from which ``prepare`` resumes."""
    name = f"000000{suffix}"

    def read(path: Path) -> None:
        data = path.read_bytes()
        path.unlink()
        part, plan, (shard,) = _unfinished(path.parent)
        for other, content in _piece_files().items():
            (shard.folder / other).write_bytes(data if other == name else content)
        for made in part.glob("*.npy"):
            made.unlink()
        if read_record(shard) is not None:
            _finish(part, plan, [shard], True)

    return Loader(Path(suffix).suffix, lambda: [_piece_files()[name]], read)


def _read_prepare_plan(path: Path) -> None:
    """Read as the plan of an unfinished data set."""
    data = path.read_bytes()
    path.unlink()
    part, plan, _ = _unfinished(path.parent)
    (part / "plan.json").write_bytes(data)
    _open_part(part, plan)


def _read_report(path: Path) -> None:
    """Read as the report of a data set of another version."""
    path.replace(path.parent / "report.json")
    _remedy(path.parent, {"version": 0, "settings": {"points": 3}})


def _curves() -> list[bytes]:
    return [json.dumps({**PREPARE, **TRANSPORT}).encode()]


def _read_curves(path: Path) -> None:
    """Read as either of the curves, which are extrapolated and printed."""
    for kind in ("prepare", "transport"):
        scale.read_curve(path, kind)


def _mesh(suffix: str) -> Loader:
    return Loader(suffix, lambda: [meshes()[suffix]], read_mesh)


LOADERS = {
    **{
        f"mesh{suffix}": _mesh(suffix)
        for suffix in (".obj", ".off", ".ply", ".stl", ".glb", ".gltf", ".3mf")
    },
    **{
        f"cloud{suffix}": Loader(suffix, lambda suffix=suffix: clouds()[suffix], read_clouds)
        for suffix in (".npy", ".pt", ".xyz", ".pts", ".pcd")
    },
    "cloud.ply": Loader(".ply", lambda: [meshes()["scan"]], read_clouds),
    "samples": Loader(".npz", _samples, read_clouds),
    "hdf5": Loader(".h5", _hdf5, _read_hdf5),
    "zip": Loader(".zip", _archive, _read_source),
    "splits": Loader(
        ".csv",
        lambda: [b"file,category,split\na,b,train\n", b"modelId,synsetId,split\n1,2,val\n"],
        lambda path: read_table(path, "the table"),
    ),
    "taxonomy": Loader(".json", _taxonomy, _read_taxonomy),
    "parts.json": Loader(".json", _part_lists, _read_part_lists),
    "parts.txt": Loader(".txt", lambda: [b"Chair\t03001627\n"], _read_part_table),
    "cloud.txt": Loader(".txt", lambda: clouds()[".txt"], _read_text_cloud),
    "piece.json": _piece(".json"),
    "piece.points.npy": _piece(".points.npy"),
    "piece.normals.npy": _piece(".normals.npy"),
    "prepare.json": Loader(".json", lambda: [b'{"stamp": "0"}\n'], _read_prepare_plan),
    "report.json": Loader(".json", lambda: [b'{"source": "/my scans"}\n'], _read_report),
    "curves": Loader(".json", _curves, _read_curves),
    "dataset.json": _dataset("dataset.json"),
    "index.csv": _dataset("index.csv"),
    "points.npy": _dataset("points.npy"),
    "normals.npy": _dataset("normals.npy"),
    "run.json": Loader(".json", lambda: [_run_file()], _read_run),
    "base": Loader(".safetensors", _bases, _read_base),
    "state": Loader(".safetensors", lambda: [_trained()["state.safetensors"]], _read_state),
    "metrics": Loader(".jsonl", lambda: [_trained()["metrics.jsonl"]], _read_metrics),
    **{
        name: Loader(
            Path(file).suffix,
            lambda file=file: [runs.run_files()[file]],
            runs.goes_on_from(file, stage) if stage else runs.generates_from(file),
        )
        for name, (stage, file) in runs.READ.items()
    },
    "plan": Loader(".json", lambda: [b'{"steps": 40}\n', b'{"seconds": 4.5}\n'], _read_plan),
    "clock": Loader(".json", lambda: [b'{"seconds": 40.5}\n'], _read_clock),
    "map": Loader(".npz", _solution, SemidiscreteSolution.load),
    "map.state": Loader(".state", _kept, lambda path: SolveCheckpoint(path, "k", 4).read()),
    "atoms.npy": Loader(
        ".npy",
        lambda: [_buffer(lambda h: np.save(h, CLOUDS[0].astype(np.float64)))],
        lambda path: SemidiscreteProblem(GaussianSource(3), read_atoms(path)[0]),
    ),
    "latents.npy": Loader(
        ".npy",
        lambda: [_buffer(lambda h: np.save(h, CLOUDS.reshape(-1, 3)))],
        lambda path: _latents(path, torch.Generator().manual_seed(0)),
    ),
    "atoms": Loader(".npz", lambda: [_buffer(lambda h: np.savez(h, atoms=CLOUDS[0]))], read_atoms),
    "meshes.json": Loader(".json", _manifest, _read_manifest),
    "distances": Loader(
        ".npz",
        lambda: [_buffer(lambda h: np.savez(h, **{"0-0": CLOUDS[0]}))],
        lambda path: _read_finished(path, [(0, 0)]),
    ),
}
