"""Checkpoints survive a round trip, and anything else is refused."""

import json
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcgen import checkpoint
from pcgen.errors import DataError, StorageError


def test_tensors_and_meta_survive(tmp_path):
    tensors = {"a.weight": torch.randn(3, 4), "b": torch.arange(5), "c": torch.tensor(True)}
    checkpoint.save(tmp_path / "x.safetensors", tensors, {"step": 7, "name": "ω"})
    loaded, meta = checkpoint.load(tmp_path / "x.safetensors")
    assert meta == {"step": 7, "name": "ω"}
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


def test_views_are_stored_as_they_look(tmp_path):
    whole = torch.arange(12).view(3, 4)
    checkpoint.save(tmp_path / "x.safetensors", {"t": whole.T, "row": whole[1]}, {})
    loaded, _ = checkpoint.load(tmp_path / "x.safetensors")
    assert torch.equal(loaded["t"], whole.T)
    assert torch.equal(loaded["row"], whole[1])


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD, torch.optim.RAdam])
def test_an_optimiser_goes_on_exactly_where_it_was(kind):
    def steps(parameter, optimiser, count):
        for _ in range(count):
            optimiser.zero_grad()
            (parameter**4).sum().backward()
            optimiser.step()

    first = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimiser = kind([first], lr=0.01)
    steps(first, optimiser, 5)
    second = torch.nn.Parameter(first.detach().clone())
    other = kind([second], lr=0.5)
    tensors, rest = checkpoint.pack_optimiser(optimiser)
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}  # as from a disk
    checkpoint.unpack_optimiser(other, tensors, json.loads(json.dumps(rest)))
    steps(first, optimiser, 5)
    steps(second, other, 5)
    assert torch.equal(first, second)


def test_a_state_that_lost_a_part_of_one_parameter_is_refused():
    parameters = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimiser = torch.optim.AdamW(parameters)
    sum(p.sum() for p in parameters).backward()
    optimiser.step()
    tensors, rest = checkpoint.pack_optimiser(optimiser)
    del tensors["1.exp_avg"]
    with pytest.raises(ValueError, match="kinds of state"):
        checkpoint.unpack_optimiser(optimiser, tensors, rest)


def test_a_pickle_is_refused_and_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    (tmp_path / "x.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match="not a readable pcgen checkpoint"):
        checkpoint.load(tmp_path / "x.safetensors")
    assert not (tmp_path / "ran").exists()


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "x.safetensors")
    with pytest.raises(DataError, match="not a readable pcgen checkpoint"):
        checkpoint.load(tmp_path / "x.safetensors")


def test_a_missing_checkpoint_asks_whether_the_stage_was_trained(tmp_path):
    with pytest.raises(DataError, match="was the stage trained"):
        checkpoint.load(tmp_path / "x.safetensors")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_checkpoint_is_refused_or_has_its_tensors(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / "x.safetensors"
    checkpoint.save(path, {"a": torch.arange(20.0)}, {"step": 1})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        tensors, _ = checkpoint.load(path)
    except DataError:
        return
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())


def test_a_full_disk_is_a_storage_error_and_keeps_the_old_file(tmp_path, monkeypatch):
    import errno
    from pathlib import Path

    path = tmp_path / "x.safetensors"
    checkpoint.save(path, {"a": torch.zeros(2)}, {})

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="disk is full"):
        checkpoint.save(path, {"a": torch.ones(2)}, {})
    assert torch.equal(checkpoint.load(path)[0]["a"], torch.zeros(2))
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
