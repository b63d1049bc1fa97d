"""The variables that torchrun sets, and what is refused before anything starts."""

import pytest
import torch

from pcgen import processes, runtime
from pcgen.cli import main
from pcgen.errors import InputError
from pcgen.processes import ALONE, ProcessPlace

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}


@pytest.fixture
def torchrun(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    return monkeypatch


def test_without_torchrun_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert processes.place() == ProcessPlace(0, 1, 0, 1)
    with processes.joined() as group:
        assert group is ALONE


def test_torchrun_tells_the_place(torchrun):
    assert processes.place() == ProcessPlace(1, 4, 1, 2)


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "MASTER_ADDR"])
def test_a_torn_environment_is_refused(torchrun, name):
    torchrun.delenv(name)
    with pytest.raises(InputError, match="start the processes with torchrun"):
        processes.place()


def test_a_rank_beyond_the_size_is_refused(torchrun):
    torchrun.setenv("RANK", "4")
    with pytest.raises(InputError, match="no process 4 of 4"):
        processes.place()


def test_a_command_for_one_process_is_refused_in_several(torchrun, capsys, tmp_path):
    assert main(["sample", "run", "--count", "1", "--out", str(tmp_path / "x.npz")]) == 2
    assert "only train and transport" in capsys.readouterr().err


def test_every_process_on_a_machine_needs_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(runtime, "_usable", lambda name: name)
    assert runtime.pick_device("auto", 1, 2) == "cuda:1"
    assert runtime.pick_device("cuda:1") == "cuda:1"
    for name in ("auto", "cuda"):
        with pytest.raises(InputError, match=r"3 processes .* sees 2"):
            runtime.pick_device(name, 0, 3)
    with pytest.raises(
        InputError, match="cuda:7 was requested, but torch sees 2: cuda:0 to cuda:1"
    ):
        runtime.pick_device("cuda:7")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="sees no CUDA device"):
        runtime.pick_device("cuda", 1, 2)


@pytest.mark.parametrize("name", ["gpu", "meta", "", "CPU"])
def test_a_device_of_no_known_name_is_refused(name):
    with pytest.raises(InputError, match="must be auto, cpu, cuda or cuda:N, got"):
        runtime.pick_device(name)


def test_a_device_without_kernels_in_this_build_of_torch_is_refused(monkeypatch):
    """Raise the error of CUDA for a device that is too old, at the first kernel."""

    def zeros(*_, device):
        raise RuntimeError(
            "CUDA error: no kernel image is available for execution on the device\nCUDA kernel ..."
        )

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch, "zeros", zeros)
    with pytest.raises(InputError, match=r"cuda cannot be used \(CUDA error: no kernel image.*old"):
        runtime.pick_device("cuda")


def test_a_process_that_is_shown_one_device_takes_it(monkeypatch):
    """As with srun --gpus-per-task: each process sees its own cuda:0."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(runtime, "_usable", lambda name: name)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(InputError, match="4 processes"):
        runtime.pick_device("auto", 3, 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert runtime.pick_device("auto", 3, 4) == "cuda:0"
