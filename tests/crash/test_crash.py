"""A few trials of each kind; :mod:`tests.crash.trials` runs as many as wanted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pcgen.cli import main
from pcgen.files import lock, lock_file
from tests.boxes import boxes

ROOT = Path(__file__).parent.parent.parent
KINDS = {"kill": 2, "interrupt": 1, "disk": 1}


def may_mount() -> bool:
    with_help = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    return os.geteuid() == 0 and with_help.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost(kind):
    if kind == "disk" and not may_mount():
        pytest.skip("a small disk can only be mounted by root")
    words = [sys.executable, "-m", "tests.crash.trials", kind, "sample", "mesh", "evaluate"]
    words += ["prepare"] + ["train"] * (kind == "disk")  # killed trainings: test_generation
    done = subprocess.run(
        [*words, "--trials", str(KINDS[kind])],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_second_writer_is_told_who_the_first_is(tmp_path, capsys):
    import numpy as np

    from tests.datasets import write_dataset

    write_dataset(tmp_path / "data", boxes(3, 1200)[0])
    np.save(tmp_path / "clouds.npy", boxes(2, 300)[0])
    np.save(tmp_path / "atoms.npy", boxes(1, 30)[0][0])
    commands = {
        "run": ["train", tmp_path / "data", "--out", tmp_path / "run", "--preset", "cpu-tiny"],
        "meshes": ["mesh", tmp_path / "clouds.npy", "--out", tmp_path / "meshes"],
        "map.npz": ["transport", tmp_path / "atoms.npy", "--out", tmp_path / "map.npz"],
        "set.part": ["prepare", tmp_path / "clouds.npy", "--out", tmp_path / "set"],
    }
    for folder, words in commands.items():
        held = lock_file if folder.endswith(".npz") else lock
        with held(tmp_path / folder):
            assert main([*map(str, words), "--quiet"]) == 2
        said = capsys.readouterr().err
        assert f"is being written by process {os.getpid()} on " in said
        assert len(said.splitlines()) == 1
