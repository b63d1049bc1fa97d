"""Pipes, sockets, devices and folders where a file is expected: refused at once, never opened.

A pipe would block forever and a device never ends; an alarm fails the test if one is read.
"""

import csv
import json
import os
import signal
import socket
from pathlib import Path

import numpy as np
import pytest

from pcgen.cli import main
from pcgen.errors import InputError
from pcgen.shapes.listing import scan
from pcgen.shapes.mesh_files import read_file

ZERO = Path("/dev/zero")


@pytest.fixture(autouse=True)
def alarm():
    def rung(*_):
        raise AssertionError("a special file was read")

    before = signal.signal(signal.SIGALRM, rung)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pipe(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to(ZERO)


def plug(path):
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket is limited to about 100 characters
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def folder(path):
    path.mkdir()


KINDS = {"pipe": pipe, "device": device, "socket": plug, "folder": folder}
COMMANDS = [
    ["mesh", "X.npz", "--out", "o"],
    ["mesh", "X.npy", "--out", "o"],
    ["mesh", "X.ply", "--out", "o"],
    ["mesh", "X.pcd", "--out", "o"],
    ["mesh", "X.pt", "--out", "o"],
    ["view", "X.ply", "--png", "o.png"],
    ["view", "X.npz", "--png", "o.png"],
    ["view", "X.glb", "--png", "o.png"],
    ["view", "X.stl", "--png", "o.png"],
    ["gallery", "X.obj", "--out", "o"],
    ["gallery", "X.npz", "--out", "o"],
    ["transport", "X.npy", "--out", "o.npz"],
    ["transport", "X.npz", "--out", "o.npz"],
    ["transport", "good.npy", "--weights", "X.npy", "--out", "o.npz"],
    ["transport", "good.npy", "--start", "X.npz", "--out", "o.npz"],
    ["prepare", "X.zip", "--out", "o"],
    ["prepare", "X.obj", "--out", "o"],
    ["prepare", "X.h5", "--out", "o"],
    ["evaluate", "X.npz", "--reference", "good.npz"],
    ["evaluate", "good.npz", "--reference", "X.npz"],
    ["sample", "X", "--count", "1", "--out", "o.npz"],
    ["train", "X", "--out", "o"],
    ["bench", "mesh", "X", "--no-peers"],
    ["bench", "mesh", ".", "--list", "X", "--no-peers"],
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_refuses_it_in_one_line(command, kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("good.npy", np.random.default_rng(0).normal(size=(8, 3)))
    np.savez("good.npz", points=np.random.default_rng(0).normal(size=(3, 64, 3)).astype("f4"))
    KINDS[kind](tmp_path / next(word for word in command if word.startswith("X")))
    assert main([*command, "--quiet"]) in (1, 2)
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("kind", [pipe, device, plug])
@pytest.mark.parametrize("name", ["run.json", "dataset.json"])
def test_a_folder_described_by_one_is_no_run_or_data_set(kind, name, tmp_path, capsys):
    kind(tmp_path / name)
    assert main(["view", str(tmp_path), "--png", str(tmp_path / "o.png")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("kind", [pipe, device, plug])
@pytest.mark.parametrize("name", ["index.csv", "points.npy"])
def test_a_data_set_with_one_inside_is_damaged(kind, name, tmp_path, capsys):
    meta = {"format": "pcgen-dataset", "version": 1, "count": 1, "points_per_shape": 4}
    meta |= {"has_normals": False, "content_hash": "0"}
    (tmp_path / "dataset.json").write_text(json.dumps(meta))
    if name != "index.csv":
        with (tmp_path / "index.csv").open("w", newline="") as handle:
            titles = ["id", "category", "split", "source", "sha256", "cx", "cy", "cz", "scale"]
            csv.writer(handle).writerows([titles, ["a", "b", "train", "a", "0", 0, 0, 0, 1]])
    kind(tmp_path / name)
    assert main(["view", str(tmp_path), "--png", str(tmp_path / "o.png")]) in (1, 2)
    assert "not a regular file" in capsys.readouterr().err


def test_samples_that_name_a_run_described_by_a_pipe_are_meshed(tmp_path):
    os.mkfifo(tmp_path / "run.json")
    meta = json.dumps({"run": str(tmp_path)})
    points = np.random.default_rng(0).uniform(-1, 1, (1, 60, 3)).astype("f4")
    points[..., 1] *= 1e-9
    np.savez(tmp_path / "s.npz", points=points, category=np.array(["a"]), meta=np.array(meta))
    assert main(["mesh", str(tmp_path / "s.npz"), "--out", str(tmp_path / "o"), "--quiet"]) == 0


def test_in_a_source_they_are_rejected_by_name(tmp_path):
    (tmp_path / "good.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    pipe(tmp_path / "a.zip")
    device(tmp_path / "b.obj")
    plug(tmp_path / "c.npy")
    listing = scan(tmp_path)
    assert [entry.path for entry in listing.entries] == ["good.obj"]
    assert sorted(entry.item for entry in listing.rejected) == ["a.zip", "b.obj", "c.npy"]


def test_a_file_that_says_it_is_empty_and_is_not_is_refused():
    """Like files under /proc, whose contents may have no end."""
    with pytest.raises(InputError, match="ordinary file"):
        read_file(Path("/proc/self/status"))
