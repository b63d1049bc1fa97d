"""prepare on mutated files of every format: each is used or reported, and none stops it.

Seeded and bounded; the slow run is the same with more files.
"""

import io

import h5py
import numpy as np
import pytest

from pcgen.shapes.prepare import prepare
from pcgen.shapes.store import Dataset
from tests.datasets import check_hashes
from tests.fuzz.mutations import mutate
from tests.shapes.small_shapes import box_mesh, every_format

CLOUD = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)


def originals() -> dict[str, bytes]:
    """One small file of each format, by suffix."""
    files = every_format(box_mesh())
    del files["buffer"], files[".gltf"]
    array, table = io.BytesIO(), io.BytesIO()
    np.save(array, CLOUD)
    with h5py.File(table, "w") as handle:
        handle["chair/train"] = np.stack([CLOUD] * 2)
    rows = "\n".join(" ".join(map(str, row)) for row in CLOUD)
    header = (
        "VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 60\nHEIGHT 1\n"
        "POINTS 60\nDATA binary\n"
    )
    return {
        **files,
        ".npy": array.getvalue(),
        ".h5": table.getvalue(),
        ".xyz": rows.encode(),
        ".pts": b"60\n" + rows.encode(),
        ".pcd": header.encode() + CLOUD.tobytes(),
    }


def run(tmp_path, each: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    source = tmp_path / "source"
    for suffix, data in originals().items():
        folder = source / suffix[1:]
        folder.mkdir(parents=True)
        (folder / f"whole{suffix}").write_bytes(data)
        for number in range(each):
            (folder / f"{number:04d}{suffix}").write_bytes(mutate(data, draw))
    report = prepare(source, tmp_path / "set", format="folder", points=50, workers=2)
    dataset = Dataset.open(tmp_path / "set")
    check_hashes(dataset)
    whole = {row.id for row in dataset.rows if row.id.endswith("/whole")}
    assert len(whole) == len(originals()) - 1  # all but HDF5, which is a layout of its own
    assert np.isfinite(dataset.points(range(dataset.count))).all()
    named = [entry["item"] for entry in report["rejected"]]
    assert all(entry["reason"] for entry in report["rejected"])
    assert len(set(named)) == len(named)
    seen = {row.source for row in dataset.rows} | set(named)
    for path in source.rglob("*.*"):
        known = str(path.relative_to(source))
        assert path.suffix == ".h5" or any(item.startswith(known) for item in seen), known
    prepare(source, tmp_path / "hdf5", format="hdf5", points=50, workers=2)


def test_mutated_files_of_every_format_never_stop_the_rest(tmp_path):
    run(tmp_path, each=15, seed=0)


@pytest.mark.slow
def test_a_thousand_mutated_files_of_every_format_never_stop_the_rest(tmp_path):
    run(tmp_path, each=1000, seed=1)
