"""The doctor tries everything, and reports a crash."""

import json
import math
import shutil
from collections import namedtuple

import pytest
import torch

from pcgen import doctor
from pcgen.train.step_timing import step_seconds


def test_a_crashing_probe_is_a_finding_and_not_a_crash():
    works, detail = doctor.probe("import os; os.abort()")
    assert not works
    assert detail


def test_a_failing_probe_says_its_last_line():
    assert doctor.probe("raise RuntimeError('no screen')") == (False, "RuntimeError: no screen")


def test_an_absent_package_names_its_extra():
    finding = doctor._package("no_such_module", "no-such", "nothing", "bench")
    assert not finding.works
    assert finding.remedy == "pip install 'pcgen[bench]'"


def test_of_a_device_it_says_what_was_never_run(monkeypatch):
    monkeypatch.setattr(doctor, "probe", lambda code: (True, ""))
    assert "never on a real one" in doctor._gpu()
    monkeypatch.setattr(doctor, "probe", lambda code: (False, "AssertionError: none seen by torch"))
    assert doctor._gpu() == "none seen by torch"


def test_the_dense_backend_works_everywhere():
    assert doctor._kernel("dense").works


def test_a_probe_that_works_gives_what_it_printed():
    assert doctor.probe("print('[1, 2]')") == (True, "[1, 2]")


def test_the_time_of_a_preset_follows_from_its_steps_here(monkeypatch):
    """A step takes 0.1 s with one thread and 0.06 s with two; the autoencoder has half the time."""
    message = json.dumps([8000, 0.5, [0.1, 0.06]])
    monkeypatch.setattr(doctor, "probe", lambda code: (True, message))
    finding = doctor._speed("cpu-small", 2)
    assert "100 ms with 1 thread, 60 ms with 2 threads" in finding.detail
    assert "its 8,000 steps 8 min 00 s" in finding.detail
    assert finding.detail.endswith("--budget-minutes 8")  # 7.6
    monkeypatch.setattr(doctor, "probe", lambda code: (False, "MemoryError"))
    assert doctor._speed("gpu", 2).remedy.startswith("too slow or too large")


@pytest.mark.parametrize("free", [0.0, 0.4, 2.0])
def test_the_probe_of_steps_is_of_threads_that_exist(monkeypatch, free):
    codes = []
    monkeypatch.setattr(doctor, "probe", lambda code: (codes.append(code), (False, ""))[1])
    doctor._speed("cpu-tiny", round(free))
    assert ("for threads in [1, 2]" in codes[0]) == (free == 2)
    compile(codes[0], "probe", "exec")


def test_a_step_takes_time(monkeypatch):
    before = torch.get_num_threads()
    try:
        assert 0 < step_seconds("cpu-tiny", 1, 1) < math.inf
    finally:
        torch.set_num_threads(before)


def test_a_full_disk_busy_cores_and_no_display_are_findings(monkeypatch, tmp_path):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 2**29))
    disk = doctor._disk(tmp_path)
    assert not disk.works
    assert "0.5 GiB free" in disk.detail
    assert not doctor._cores(0.1).works
    assert doctor._cores(1.2).works
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not doctor._display().works
    monkeypatch.setenv("DISPLAY", ":0")
    assert doctor._display() == doctor.Finding("display", True, ":0")


@pytest.mark.slow
def test_the_examination_finds_the_main_job_working():
    report = doctor.examine()
    assert report["ok"]
    assert {item["name"] for item in report["kernels"]} >= {"kernels dense", "kernels keops"}
    assert [item["name"] for item in report["speed"]][:2] == ["cores", "preset cpu-tiny"]
