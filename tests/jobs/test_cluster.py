"""A real Ray cluster on this machine with killed workers gives the files of a local run.

Needs the extra ``ray``; skipped without it.
"""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from pcgen import pipeline
from pcgen.distances import tables
from pcgen.errors import BackendError, DataError
from pcgen.jobs import pool
from tests.boxes import boxes
from tests.datasets import write_dataset
from tests.jobs import killing
from tests.shapes.small_shapes import box_mesh, obj_bytes

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    return tmp_path_factory.mktemp("flags")


@pytest.fixture(scope="module")
def cluster(flags):
    """The address of a cluster of two workers, that only those who know its token may use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")  # read when ray is imported
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        pytest.importorskip("ray")
        yield from _cluster(flags)


def _cluster(flags):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begin = "import sys; from ray.scripts.scripts import main; sys.argv[0] = 'ray'; main()"
    folder = tempfile.mkdtemp(prefix="ray")  # sockets lie in it: its name must be short
    words = f"start --head --block --port {port} --num-cpus 2"
    words += " --object-store-memory 100000000 --include-dashboard false --disable-usage-stats"
    words += f" --temp-dir {folder}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    environment |= {"PCGEN_TEST_FLAGS": str(flags)}
    for _ in range(3):  # Ray gives a machine 30 s to start, which a busy one may not keep
        with open(flags / "log", "w") as log:
            head = subprocess.Popen(
                [sys.executable, "-c", begin, *words.split()],
                env=environment, stdout=log, stderr=log,
            )  # fmt: skip
        while head.poll() is None and "Ray runtime started" not in (flags / "log").read_text():
            with contextlib.suppress(subprocess.TimeoutExpired):
                head.wait(0.5)
        if head.poll() is None:
            break
    try:
        assert head.poll() is None, (flags / "log").read_text()
        yield f"127.0.0.1:{port}"
    finally:
        sys.modules["ray"].shutdown()
        head.terminate()  # it ends what it has started
        head.wait()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "meshes").mkdir()
    for number in range(7):
        path = folder / "meshes" / f"box{number}.obj"
        path.write_bytes(obj_bytes(box_mesh((1.0 + number, 2.0, 0.5))))
    clouds, normals = boxes(20, 1200)
    splits = ["test" if k % 5 == 4 else "train" for k in range(20)]
    write_dataset(folder / "set", clouds, splits=splits, normals=normals)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".json" and not path.name.startswith(".")
    }


def test_prepare_is_the_same_when_a_ray_worker_is_killed(data, cluster, flags, monkeypatch):
    monkeypatch.setattr("pcgen.shapes.prepare.SHARD_SIZE", 2)
    alone = pipeline.prepare(data / "meshes", data / "alone", points=200, workers=1)
    monkeypatch.setattr("pcgen.shapes.prepare.convert", killing.convert)
    report = pipeline.prepare(data / "meshes", data / "ray", points=200, ray=cluster)
    assert (flags / "prepare").exists()  # one was killed
    assert report == alone
    assert files(data / "ray") == files(data / "alone")


def test_a_source_that_the_cluster_cannot_see_is_no_empty_data_set(cluster):
    with pool(killing.blind, 1, ray=cluster) as working:
        working.submit("/nowhere")
        with pytest.raises(DataError, match="must see the source"):
            list(working.outcomes())


def test_evaluation_is_the_same_when_a_ray_worker_is_killed(data, cluster, flags, monkeypatch):
    np.save(data / "clouds.npy", boxes(40, 300, seed=5)[0])
    options = {"points": 300, "split": "train", "training": data / "clouds.npy", "cache": None}
    samples = [data / "clouds.npy"]
    alone = pipeline.evaluate(samples, data / "set", workers=1, **options)
    monkeypatch.setattr(tables, "_compute_one", killing.compute_one)
    found = pipeline.evaluate(samples, data / "set", ray=cluster, **options)
    assert (flags / "evaluate").exists()
    assert found == alone


def test_samples_and_meshes_are_the_same_when_ray_workers_are_killed(
    data, cluster, flags, monkeypatch
):
    pipeline.train(data / "set", data / "run", preset="cpu-tiny", threads=1)
    made = {}
    for name, options in {"alone": {}, "two": {"workers": 2}, "ray": {"ray": cluster}}.items():
        out = data / f"made-{name}"
        if name == "ray":
            monkeypatch.setattr("pcgen.generate._decode", killing.decode)
            monkeypatch.setattr("pcgen.reconstruct.batch.mesh_one", killing.mesh)
        pipeline.sample(data / "run", out / "s.npz", count=20, points=400, **options)
        if name != "two":
            pipeline.mesh(out / "s.npz", out / "meshes", formats=("glb",), faces=400, **options)
        made[name] = files(out)
    assert (flags / "sample").exists()
    assert (flags / "mesh").exists()
    assert len(made["alone"]) == 21
    assert made["ray"] == made["alone"]
    assert made["two"]["s.npz"] == made["alone"]["s.npz"]


def test_a_cluster_that_is_not_there_is_one_clear_error(cluster):
    with pytest.raises(BackendError, match=r"no Ray cluster answers at '127\.0\.0\.1:1'"):
        pool(killing.double, 1, ray="127.0.0.1:1")
