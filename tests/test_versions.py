"""Runs and data sets of other versions: refused, with the command that helps."""

import json
import shlex

import numpy as np
import pytest

from pcgen.cli import COMMANDS, main
from pcgen.errors import DataError
from pcgen.runfile import FORMAT, read_run
from pcgen.shapes.store import VERSION, Dataset
from tests.datasets import write_dataset

OLD_RUN = {
    "format": FORMAT - 1, "version": "0.0.9", "dataset": "/data/my set", "dataset_hash": "0",
    "categories": ["chair", "lamp"], "conditional": True, "preset": "cpu-small", "seed": 4,
    "threads": 1, "budget_minutes": 12.5, "settings": {"of": "another time"},
}  # fmt: skip


def command_in(message: str) -> list[str]:
    """The words of the command at the end of a message."""
    words = shlex.split(message[message.index("with: ") + len("with: ") :])
    assert words[0] == "pip" or (words[0] == "pcgen" and words[1] in COMMANDS)
    return words


def test_an_older_run_is_refused_with_the_command_that_trains_it_again(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(OLD_RUN))
    with pytest.raises(DataError, match=r"pcgen 0\.0\.9") as caught:
        read_run(tmp_path)
    words = command_in(str(caught.value))
    expected = (
        f"pcgen train '/data/my set' --out {tmp_path}-{FORMAT} --preset cpu-small --seed 4 "
        "--categories chair,lamp --budget-minutes 12.5 --conditional"
    )
    assert words == shlex.split(expected)


@pytest.mark.parametrize("plain", [{}, {"format": None}, {"format": True}, {"format": "1"}])
def test_a_run_without_a_number_for_its_format_counts_as_older(tmp_path, plain):
    (tmp_path / "run.json").write_text(json.dumps(plain))
    with pytest.raises(DataError, match="pcgen train DATASET"):
        read_run(tmp_path)


def test_a_newer_run_asks_for_a_newer_program(tmp_path, capsys):
    (tmp_path / "run.json").write_text(json.dumps({**OLD_RUN, "format": FORMAT + 1}))
    with pytest.raises(DataError) as caught:
        read_run(tmp_path)
    assert command_in(str(caught.value)) == ["pip", "install", "--upgrade", "pcgen"]
    assert main(["sample", str(tmp_path), "--count", "1", "--out", str(tmp_path / "s.npz")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.fixture
def dataset(tmp_path):
    points = np.random.default_rng(0).normal(size=(3, 20, 3))
    write_dataset(tmp_path / "set", points)
    return tmp_path / "set"


def with_version(dataset, version, **more):
    meta = json.loads((dataset / "dataset.json").read_text())
    (dataset / "dataset.json").write_text(json.dumps({**meta, "version": version, **more}))


def test_an_older_data_set_is_refused_with_the_command_that_prepares_it_again(dataset):
    settings = {"format": "folder", "points": 20, "seed": 3, "categories": ["chair"]}
    with_version(dataset, VERSION - 1, settings=settings)
    (dataset / "report.json").write_text(json.dumps({"source": "/my scans"}))
    with pytest.raises(DataError) as caught:
        Dataset.open(dataset)
    expected = (
        f"pcgen prepare '/my scans' --out {dataset}-{VERSION} --format folder --points 20 "
        "--seed 3 --categories chair"
    )
    assert command_in(str(caught.value)) == shlex.split(expected)


@pytest.mark.parametrize("version", [None, 0, "1", -1])
def test_a_data_set_without_a_usable_version_still_gets_a_command(dataset, version):
    with_version(dataset, version)
    with pytest.raises(DataError) as caught:
        Dataset.open(dataset)
    assert command_in(str(caught.value))[:3] == ["pcgen", "prepare", "SOURCE"]


def test_a_newer_data_set_asks_for_a_newer_program(dataset):
    with_version(dataset, VERSION + 1)
    with pytest.raises(DataError) as caught:
        Dataset.open(dataset)
    assert command_in(str(caught.value)) == ["pip", "install", "--upgrade", "pcgen"]
