"""pcgen on a simulated CUDA device, in its own process.

The device must exist before torch is imported, so one process runs all paths.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.device import paths, planted
from tests.device.simulation import ROOT, compiler

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which(compiler()) is None, reason="no C++ compiler"),
    pytest.mark.skipif(importlib.util.find_spec("pykeops") is None, reason="no pykeops"),
]

#: Kernels of a step of each loop, as counted, and a tenth more.
KERNELS = {
    "autoencoder": 530, "latent-flow/teacher": 86, "latent-flow/student": 286,
    "point-flow/teacher": 230, "point-flow/student": 632, "field": 239,
}  # fmt: skip


def simulate(*words: str) -> dict[str, dict]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.device.simulate", *words],
        capture_output=True, text=True, cwd=ROOT, env=environment, timeout=1800, check=False,
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert rows, done.stderr
    return {row["path"]: row for row in rows}


@pytest.fixture(scope="module")
def rows():
    return simulate()


@pytest.mark.parametrize("name", paths.PATHS)
def test_a_path_runs_on_the_device_and_gives_the_numbers_of_the_cpu(rows, name):
    assert rows[name]["wrong"] == ""


@pytest.mark.parametrize("loop", KERNELS)
def test_a_step_waits_for_nothing_and_launches_few_kernels(rows, loop):
    """Except for KeOps in the autoencoder, and the log, which reads all losses at once."""
    steps = rows["train: all stages"]["steps"]
    waits, copies, kernels, logged = next(v for k, v in steps.items() if k.endswith(loop))
    assert (waits, copies, logged) == (0, 0, 1)
    assert kernels <= KERNELS[loop]


def test_the_work_of_a_step_is_counted_and_bounds_its_time():
    """Kernels as counted above; twice the batch has twice the matrix products of the flows."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.device.work", "--preset", "cpu-tiny", "--json"],
        capture_output=True, text=True, cwd=ROOT, env=environment, timeout=1800, check=True,
    )  # fmt: skip
    rows = {row["loop"]: row for row in json.loads(done.stdout.splitlines()[-1])}
    assert list(rows) == [loop for loop in KERNELS if loop != "field"]
    for loop, row in rows.items():
        assert 0 < row["kernels"] <= KERNELS[loop]
        least = max(row["flop"] / 67e12, row["bytes"] / 3.35e12)
        assert row["device_seconds"] >= least * (1 - 1e-9)  # but for rounding
        step = max(row["device_seconds"], row["kernels"] * 8e-6)
        assert row["busy"] == pytest.approx(row["device_seconds"] / step)
    # A linear layer of the latent flow: 2 FLOP a weight and row forward, 4 backward.
    latent = rows["latent-flow/teacher"]
    width = 64 * (64 + 16)
    assert latent["flop"] > 6 * latent["batch"] * width


def test_the_second_of_two_devices_is_used_throughout():
    found = simulate("--device", "cuda:1", "kernels", "sample: one step", "base gaussian")
    assert {row["wrong"] for row in found.values()} == {""}


@pytest.mark.parametrize("name", planted.FAULTS)
def test_a_planted_fault_is_found(name):
    found = simulate("--fault", name)
    assert any(row["wrong"] for row in found.values())
