"""The number of threads: requests, the quota of a container, and free cores."""

import os

import pytest
import torch

from pcgen import cores, pipeline, runtime
from pcgen.errors import InputError
from pcgen.train import training
from pcgen.train.run import Run
from tests.boxes import boxes
from tests.datasets import write_dataset


@pytest.fixture(autouse=True)
def four_cores(monkeypatch):
    """No variable is set, and the machine has four cores; torch's threads stay."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    monkeypatch.setattr(cores, "LOOK_S", 0.0)
    yield
    torch.set_num_threads(before)


def machine(root, membership, quotas):
    """A system whose ``/proc`` lists the control groups of this process."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership)
    for path, text in quotas.items():
        file = root / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("membership", "quotas", "count"),
    [
        ("0::/\n", {}, 4),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 4),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "6400000 100000\n"}, 4),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}, 2),
        ("0::/not/seen/here\n", {"cpu.max": "300000 100000\n"}, 3),
        (
            "4:memory:/x\n1:cpu,cpuacct:/x\n",
            {
                "cpu,cpuacct/x/cpu.cfs_quota_us": "150000\n",
                "cpu,cpuacct/x/cpu.cfs_period_us": "50000\n",
            },
            3,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "50000\n"}, 4),
        ("0::/\n", {"cpu.max": "nonsense\n"}, 4),
    ],
)
def test_a_quota_of_processor_time_limits_the_cores(tmp_path, membership, quotas, count):
    assert cores.usable_cores(machine(tmp_path, membership, quotas)) == count


def test_cores_that_others_use_are_not_free(tmp_path, monkeypatch):
    """A busy core, one idle, one that waits for a disk, one half busy; two that are not ours."""
    before = "cpu  9 9 9 9\n" + "".join(f"cpu{k} 10 0 10 100 5 0 0 0 0 0\n" for k in range(6))
    after = [(60, 100, 5), (10, 150, 5), (10, 100, 55), (35, 125, 5), (10, 150, 5), (10, 150, 5)]
    (tmp_path / "proc").mkdir()
    stat = tmp_path / "proc/stat"
    stat.write_text(before)
    lines = [f"cpu{k} {busy} 0 10 {i} {w} 0 0 0 0 0\n" for k, (busy, i, w) in enumerate(after)]
    monkeypatch.setattr(
        cores.time, "sleep", lambda _: stat.write_text("cpu  9 9 9 9\n" + "".join(lines))
    )
    assert cores.free_cores(tmp_path) == pytest.approx(2.5)


def test_a_system_that_does_not_say_what_is_free_has_all_its_cores(tmp_path):
    assert cores.free_cores(tmp_path) == 4.0


@pytest.mark.parametrize(
    ("asked", "ours", "scheduler", "processes", "count"),
    [
        (3, "2", "1", 1, 3),
        (None, "2", "1", 1, 2),
        (None, "", "3,2", 1, 3),
        (None, "", "", 1, 2),  # 2.4 cores are free
        (None, "", "1", 2, 2),  # torchrun's own; each of two processes has its half
        (None, "", "", 64, 1),
    ],
)
def test_threads_are_those_asked_for_or_the_free_cores(
    monkeypatch, asked, ours, scheduler, processes, count
):
    monkeypatch.setenv("PCGEN_THREADS", ours)
    monkeypatch.setenv("OMP_NUM_THREADS", scheduler)
    monkeypatch.setattr(cores, "free_cores", lambda: 2.4)
    assert runtime.configure(asked, processes) == count == torch.get_num_threads()


def test_a_machine_without_a_free_core_gets_one_thread(monkeypatch):
    monkeypatch.setattr(cores, "free_cores", lambda: 0.2)
    assert runtime.configure() == 1


@pytest.mark.parametrize("text", ["0", "-2", "many"])
def test_a_number_of_threads_that_is_none_is_refused(monkeypatch, text):
    monkeypatch.setenv("PCGEN_THREADS", text)
    with pytest.raises(InputError, match="PCGEN_THREADS must be a number of threads"):
        runtime.configure()


def test_a_run_goes_on_with_the_threads_it_began_with(tmp_path, monkeypatch):
    write_dataset(tmp_path / "data", boxes(3, 1200)[0])
    monkeypatch.setattr(training, "TRAINERS", ())
    monkeypatch.setattr(training, "STAGES", ())
    monkeypatch.setattr(cores, "free_cores", lambda: 3.0)
    pipeline.train(tmp_path / "data", tmp_path / "run", preset="cpu-tiny", device="cpu")
    assert Run.open(tmp_path / "run").config.threads == 3
    monkeypatch.setattr(cores, "free_cores", lambda: 1.0)
    pipeline.train(tmp_path / "data", tmp_path / "run", resume=True, device="cpu")
    assert torch.get_num_threads() == 3
    pipeline.train(tmp_path / "data", tmp_path / "run", resume=True, device="cpu", threads=2)
    assert torch.get_num_threads() == 2
    monkeypatch.setattr(training, "usable_cores", lambda: 2)  # another machine
    pipeline.train(tmp_path / "data", tmp_path / "run", resume=True, device="cpu")
    assert torch.get_num_threads() == 1
