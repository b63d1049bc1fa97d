"""Shapes on disk are drawn like those in memory; sets larger than memory work."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pcgen.children.clouds import placed
from pcgen.shapes.arrays import npy_header
from pcgen.shapes.store import COLUMNS, FORMAT, VERSION
from pcgen.train import data
from pcgen.train.data import TrainingClouds
from tests.boxes import boxes
from tests.datasets import write_dataset

ROOT = Path(__file__).parents[2]


def test_mapped_shapes_are_drawn_like_those_in_memory(tmp_path, monkeypatch):
    clouds, normals = boxes(9, 300)
    splits = ["test" if k % 3 == 2 else "train" for k in range(9)]
    dataset = write_dataset(tmp_path / "set", clouds, splits=splits, normals=normals)
    inside = TrainingClouds.load(dataset, ("shape",), "train", 100)
    # Room for one copy, but not for one in each of two processes.
    monkeypatch.setattr(data, "IN_MEMORY", inside.points.nbytes)
    alone = TrainingClouds.load(dataset, ("shape",), "train", 100)
    assert torch.equal(alone.points, inside.points)
    mapped = TrainingClouds.load(dataset, ("shape",), "train", 100, processes=2)
    assert isinstance(mapped.points, data.MemmapRows)
    assert mapped.points.shape == inside.points.shape
    shapes = torch.tensor([5, 0, 3])
    for seed in range(20):  # with and without a wrap at the last point
        one, other = (
            c.draw(shapes, 70, torch.Generator().manual_seed(seed)) for c in (inside, mapped)
        )
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
    assert torch.equal(placed(mapped.points, "cpu"), inside.points)
    some = torch.tensor([1, 4])
    assert torch.equal(mapped.points[some, some], inside.points[some, some])
    assert torch.equal(mapped.points[some], inside.points[some])


LARGER_THAN_MEMORY = """
import resource, sys
import numpy as np, torch
from pcgen.evaluate import reference_sets
from pcgen.evaluate.protocol import protocol_named
from pcgen.shapes import arrays
from pcgen.shapes.store import Dataset
from pcgen.train.data import MemmapRows, TrainingClouds
from pathlib import Path

own = int(next(l for l in open("/proc/self/status") if l.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (own + 300 * 2**20,) * 2)  # mapped files do not count
try:
    np.ones(2**28)
except MemoryError:
    pass
else:
    sys.exit("the limit does not hold")
arrays.IN_MEMORY = 64 * 2**20
path = Path(sys.argv[1])
dataset = Dataset.open(path)
clouds = TrainingClouds.load(dataset, ("shape",), "train", 10_000)
assert isinstance(clouds.points, MemmapRows)
draw = torch.Generator().manual_seed(0)
for _ in range(20):
    shapes = torch.randint(len(clouds), (32,), generator=draw)
    points, normals = clouds.draw(shapes, 2048, draw)
    assert points.shape == (32, 2048, 3)
protocol = protocol_named("raw").changed(split="val", points=512)
sets = reference_sets.read_reference_sets(path, protocol, training=path)
print(len(clouds), len(sets.reference), len(sets.training))
"""


def make_sparse(folder: Path, count: int, points: int) -> int:
    """A data set of sparse files, gigabytes that take no disk space; returns the bytes."""
    folder.mkdir()
    sizes = 0
    for name, kind in (("points", np.dtype("<f4")), ("normals", np.dtype("<f2"))):
        header = npy_header(kind, (count, points, 3))
        with (folder / f"{name}.npy").open("wb") as handle:
            handle.write(header)
            handle.truncate(len(header) + count * points * 3 * kind.itemsize)
        sizes += (folder / f"{name}.npy").stat().st_size
    with (folder / "index.csv").open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(COLUMNS)
        for k in range(count):
            split = "val" if k % 10 == 0 else "train"
            writer.writerow([f"shape/{k}", "shape", split, "x", "0" * 64, 0.0, 0.0, 0.0, 1.0])
    meta = {"format": FORMAT, "version": VERSION, "count": count, "points_per_shape": points,
            "has_normals": True, "content_hash": "0"}  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(meta))
    return sizes


@pytest.mark.slow
def test_a_data_set_of_forty_times_the_memory_is_trained_and_evaluated_on(tmp_path):
    size = make_sparse(tmp_path / "set", 50_000, 15_000)
    assert size > 12 * 2**30
    done = subprocess.run(
        [sys.executable, "-c", LARGER_THAN_MEMORY, str(tmp_path / "set")],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["45000", "5000", "45000"]
