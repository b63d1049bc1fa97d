"""The doctor: what works is found out by trying, and a crash is a finding."""

import pytest

from pcgen import doctor


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


@pytest.mark.slow
def test_the_examination_finds_the_main_job_working():
    report = doctor.examine()
    assert report["ok"]
    assert {item["name"] for item in report["kernels"]} >= {"kernels dense", "kernels keops"}
