"""Sources and data sets behind URLs: over HTTP, in memory, in folders, in archives."""

import functools
import http.server
import threading
import zipfile

import fsspec
import numpy as np
import pytest

from pcgen import pipeline, remote
from pcgen.cli import main
from pcgen.errors import DataError
from pcgen.shapes import prepare as prepare_module
from pcgen.shapes.listing import scan
from pcgen.shapes.prepare import prepare
from pcgen.shapes.remote_datasets import local_folder
from pcgen.shapes.store import Dataset
from tests.boxes import boxes
from tests.datasets import check_hashes
from tests.shapes.small_shapes import box_mesh, obj_bytes


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PCGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path):
    """Two categories of meshes, an archive, an array of clouds, and files that must not be read."""
    folder = tmp_path / "source"
    for number, name in enumerate(["flat", "flat", "high", "high"]):
        path = folder / name / f"box{number}.obj"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(obj_bytes(box_mesh((1.0 + number, 2.0, 0.5))))
    with zipfile.ZipFile(folder / "zipped.zip", "w") as archive:
        for number in range(2):
            archive.writestr(f"z{number}.obj", obj_bytes(box_mesh((1.0, 1.0, 2.0 + number))))
    np.save(folder / "clouds.npy", boxes(2, 90)[0])
    (tmp_path / "outside.obj").write_bytes(obj_bytes(box_mesh()))
    return folder


def content(folder):
    names = ("points.npy", "normals.npy", "index.csv")
    return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}


def test_what_is_a_url():
    for text in ("https://a/b", "s3://bucket/x", "zip://*::/a.zip", "memory://x", "file:///x"):
        assert remote.is_url(text) == ("://" in text)
    for path in ("a/b", "/x", "C:/x", "starter", "a:b", "1://x"):
        assert not remote.is_url(path)


def test_a_folder_by_url_gives_the_data_set_of_the_folder(source, tmp_path):
    prepare(source, tmp_path / "path", points=60, workers=1)
    prepare(f"file://{source}", tmp_path / "url", points=60, workers=1)
    assert len(Dataset.open(tmp_path / "url").rows) == 8
    assert content(tmp_path / "url") == content(tmp_path / "path")


def test_an_archive_by_url_is_read_in_place(source, tmp_path):
    prepare(source / "zipped.zip", tmp_path / "path", points=60, workers=1)
    prepare(f"file://{source}/zipped.zip", tmp_path / "url", points=60, workers=1)
    assert content(tmp_path / "url") == content(tmp_path / "path")
    chained = scan(f"zip://::file://{source}/zipped.zip")
    assert [entry.path for entry in chained.entries] == ["z0.obj", "z1.obj"]


@pytest.fixture
def server(source):
    pytest.importorskip("aiohttp")

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Silent, directory=str(source.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()
        thread.join()


def test_a_folder_behind_a_server_gives_the_data_set_of_the_folder(server, source, tmp_path):
    prepare(source, tmp_path / "path", points=60, workers=1)
    prepare(f"{server}/source/", tmp_path / "url", points=60, workers=1)
    assert content(tmp_path / "url") == content(tmp_path / "path")
    with pytest.raises(DataError, match="nothing at"):
        prepare(f"{server}/missing.zip", tmp_path / "other", workers=1)


def test_a_published_data_set_is_copied_once_and_again_when_it_changes(source, tmp_path, cache):
    url = "memory://sets/boxes"
    report = prepare(source, url, points=60, workers=1, solids=20)
    system = fsspec.filesystem("memory")
    assert {path.rsplit("/")[-1] for path in system.ls("/sets/boxes", detail=False)} == {
        "dataset.json", "index.csv", "normals.npy", "points.npy", "report.json",
        "solids.npy",
    }  # fmt: skip
    folder = local_folder(url)
    assert Dataset.open(folder).content_hash == report["content_hash"]
    assert folder.is_relative_to(cache)
    system.pipe("/sets/boxes/points.npy", b"never read again")
    assert local_folder(url) == folder
    check_hashes(Dataset.open(folder))
    prepare(source, "memory://sets/other", points=50, workers=1)
    for name in ("points.npy", "normals.npy", "index.csv", "report.json", "dataset.json"):
        system.copy(f"/sets/other/{name}", f"/sets/boxes/{name}")
    assert Dataset.open(local_folder(url)).points_per_shape == 50


def test_a_copy_that_breaks_off_leaves_the_old_one(source, monkeypatch):
    url = "memory://sets/broken"
    prepare(source, url, points=60, workers=1)
    folder = local_folder(url)
    system = fsspec.filesystem("memory")
    system.pipe("/sets/broken/dataset.json", b"{}")
    system.rm("/sets/broken/index.csv")
    with pytest.raises(DataError, match="nothing at"):
        local_folder(url)
    check_hashes(Dataset.open(folder))


def test_commands_read_data_sets_by_url(source, tmp_path, capsys):
    clouds, url = str(tmp_path / "clouds.npy"), "memory://sets/run"
    np.save(clouds, boxes(10, 1200)[0])
    assert main(["prepare", clouds, "--out", url, "--quiet"]) == 0
    words = ["--split", "train", "--points", "200", "--no-cache", "--workers", "1", "--quiet"]
    assert main(["evaluate", clouds, "--reference", url, *words]) == 0
    pipeline.train(url, tmp_path / "run", preset="cpu-tiny", threads=1,
                   stage="autoencoder")  # fmt: skip
    capsys.readouterr()
    assert main(["train", "memory://sets/none", "--out", str(tmp_path / "x"), "--quiet"]) == 2
    assert "no data set at memory://sets/none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "words"),
    [("nosuch://a/b", "nosuch://a/b cannot be read"), ("s3://bucket/x", "s3fs"),
     ("memory://absent", "nothing at memory://absent"), ("http://127.0.0.1:9/x", "127.0.0.1:9")],
)  # fmt: skip
def test_what_cannot_be_reached_is_one_clear_line(url, words, tmp_path, capsys):
    assert main(["prepare", url, "--out", str(tmp_path / "set"), "--quiet"]) == 2
    message = capsys.readouterr().err
    assert len(message.splitlines()) == 1
    assert words in message


def test_names_that_lead_outside_are_left_out(monkeypatch):
    system = fsspec.filesystem("memory")
    for name in ("/top/in/a.obj", "/top/.hidden/b.obj", "/top/in/__MACOSX/c.obj"):
        system.pipe(name, b"x")
    monkeypatch.setattr(
        type(system), "find",
        lambda *_, **__: ["/top/in/a.obj", "/etc/passwd", "/top/../x.obj", "/top/.hidden/b.obj"],
    )  # fmt: skip
    monkeypatch.setattr(
        remote,
        "_described",
        lambda system, path, name: remote.RemoteFile(name, f"memory:/{path}", 1, 0),
    )
    assert [entry.path for entry in scan("memory://top").entries] == ["in/a.obj"]


def test_pieces_do_not_matter(source, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare_module, "SHARD_SIZE", 3)
    prepare(f"file://{source}", tmp_path / "three", points=60, workers=2)
    monkeypatch.undo()
    prepare(source, tmp_path / "whole", points=60, workers=1)
    assert content(tmp_path / "three") == content(tmp_path / "whole")
