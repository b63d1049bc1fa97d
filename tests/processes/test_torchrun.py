"""Real processes, started by torchrun over gloo, compared with one process."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pcgen import checkpoint, pipeline
from pcgen.processes import ALONE
from pcgen.train.loop import read_metrics
from pcgen.transport import GaussianSource, SemidiscreteSolution
from tests.boxes import boxes
from tests.datasets import write_dataset
from tests.processes import work

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent.parent
LOOPS = ("autoencoder", "latent-flow/teacher", "latent-flow/student", "point-flow/teacher",
         "point-flow/student")  # fmt: skip


def torchrun(processes, *words):
    """The exit code and stderr of a job; a job that hangs is a failure."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--nproc_per_node", str(processes), *map(str, words)],
        capture_output=True, text=True, cwd=ROOT, env=environment, timeout=3600,
    )  # fmt: skip
    return done.returncode, done.stderr


def ours(stderr):
    """The lines that are not torchrun's."""
    return [line for line in stderr.splitlines() if re.match("pcgen( train)?: ", line)]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The result of one process for the work of the tests."""
    folder = tmp_path_factory.mktemp("one")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    work.train(folder, ALONE)
    work.solve(folder, ALONE)
    work.fit(folder, ALONE)
    work.keep(folder, ALONE)
    torch.set_num_threads(before)
    return folder


def test_begun_by_two_and_ended_by_three_is_what_one_does(one, tmp_path):
    """Messages, training and transport; the loop is left at step 17, saved at 15, and a solve at
    step 100."""
    code, message = torchrun(2, "tests/processes/work.py", "half", tmp_path)
    assert code == 0, message
    assert work.trainer(tmp_path / "loop", ALONE).done == 15
    assert checkpoint.load(tmp_path / "kept.npz.state")[1]["step"] == 100
    code, message = torchrun(3, "tests/processes/work.py", "train", tmp_path)
    assert code == 0, message
    close(tmp_path / "loop", one / "loop", 1e-6)

    def solution(path):
        return SemidiscreteSolution.load(path, GaussianSource(5))

    for kind in work.KINDS:
        alone, shared = solution(one / f"{kind}1.npz"), solution(tmp_path / f"{kind}2.npz")
        assert (alone.evidence.redraws > 1) == (kind == "redrawn")
        assert shared.evidence.redraws == alone.evidence.redraws
        assert shared.evidence.samples == alone.evidence.samples
        assert shared.evidence.chi2 == pytest.approx(alone.evidence.chi2, rel=0.01)
        spread = float(alone.potential.std())
        assert torch.allclose(shared.potential, alone.potential, atol=1e-5 * spread)
    for family in work.BASES:
        drawn = np.load(one / f"{family}-0-1.npy")
        for rank in range(2):
            np.testing.assert_allclose(
                np.load(tmp_path / f"{family}-{rank}-2.npy"), drawn, atol=1e-3 * drawn.std()
            )
    alone, shared = (solution(folder / "kept.npz") for folder in (one, tmp_path))
    assert shared.evidence.steps == alone.evidence.steps > 100
    spread = float(alone.potential.std())
    assert torch.allclose(shared.potential, alone.potential, atol=1e-5 * spread)
    assert not (tmp_path / "kept.npz.state").exists()


def close(folder, other, tolerance):
    """Equal learning curves and weights, up to ``tolerance`` of the largest."""
    losses = [[line["loss"] for line in read_metrics(place)] for place in (folder, other)]
    assert losses[0] == pytest.approx(losses[1], rel=max(1e-4, tolerance))
    ours_, theirs = (checkpoint.load(f / "weights.safetensors")[0] for f in (folder, other))
    for name, values in theirs.items():
        assert (ours_[name] - values).abs().max() <= tolerance * max(1.0, values.abs().max())


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ("fail", "DataError process 1 of 2: a file is damaged"),
        ("die", "TrainingError another process is lost"),
        ("hang", "another process is lost (process 1 of 2 gave no sign of life for 5 s)"),
        ("differ", "different random numbers"),
    ],
)
def test_one_that_fails_ends_all_with_one_line(tmp_path, action, message):
    # By default torchrun may end the process that is left before this one says why.
    late = ["--monitor-interval", 20] if action == "die" else []
    code, stderr = torchrun(2, *late, "tests/processes/work.py", action, tmp_path)
    assert code != 0
    assert len(ours(stderr)) == 1, stderr
    assert message in ours(stderr)[0]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    clouds, normals = boxes(10, 1500)
    path = tmp_path_factory.mktemp("data") / "data0"
    splits = ["test" if k % 2 else "train" for k in range(10)]
    write_dataset(path, clouds, splits=splits, normals=normals)
    return path


def test_two_processes_train_the_run_of_one(data, tmp_path):
    """The whole command: autoencoder, base, transport and both flows."""
    pipeline.train(data, tmp_path / "one", preset="cpu-tiny", threads=1)
    words = ["-m", "pcgen", "train", data, "--out", tmp_path / "two", "--preset", "cpu-tiny"]
    code, message = torchrun(2, *words, "--threads", 1)
    assert code == 0, message
    close(tmp_path / "two" / "autoencoder", tmp_path / "one" / "autoencoder", 1e-3)
    for loop in LOOPS[1:]:
        close(tmp_path / "two" / loop, tmp_path / "one" / loop, 0.02)
    maps = [np.load(tmp_path / name / "base" / "map.npz") for name in ("one", "two")]
    # Refining the latents amplifies the rounding of the autoencoder's weights.
    one, two = (loaded["potential"] for loaded in maps)
    assert np.abs(one - two).max() <= 0.02 * np.abs(one).max()
    facts = [json.loads((tmp_path / n / "run.json").read_text()) for n in ("one", "two")]
    assert [fact.pop("processes") for fact in facts] == [1, 2]
    assert facts[0] == facts[1]
    left = [path.name for path in (tmp_path / "two").rglob(".part-*")]
    assert left == []


def test_processes_with_other_data_are_refused(data, tmp_path):
    shutil.copytree(data, tmp_path / "data0")
    shutil.copytree(data, tmp_path / "data1")
    points = np.load(tmp_path / "data1" / "points.npy")
    points[0, :1000] *= 0.5
    np.save(tmp_path / "data1" / "points.npy", points)
    code, message = torchrun(2, "tests/processes/work.py", "data", tmp_path)
    assert code != 0
    assert len(ours(message)) == 1, message
    assert "has different contents" in ours(message)[0]
    assert not (tmp_path / "run" / "autoencoder").exists()


def test_processes_on_different_kinds_of_devices_are_refused(data, tmp_path):
    for rank in range(2):
        (tmp_path / f"data{rank}").symlink_to(data)
    code, message = torchrun(2, "tests/processes/work.py", "mixed", tmp_path)
    assert code != 0
    assert len(ours(message)) == 1, message
    assert "different kinds of devices: cpu here, cuda in process 0" in ours(message)[0]
    assert not (tmp_path / "run").exists()


def test_more_processes_than_shapes_in_a_batch_are_refused(data, tmp_path):
    words = ["-m", "pcgen", "train", data, "--out", tmp_path / "run", "--preset", "cpu-tiny"]
    code, message = torchrun(2, *words, "--accumulate", 5)
    assert code != 0
    assert len(ours(message)) == 1, message
    assert "batches of 8" in ours(message)[0]
    assert not (tmp_path / "run").exists()
