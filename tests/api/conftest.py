"""A data set of boxes and a run of seconds, shared by the tests of the API."""

import pytest

import pcgen
from tests.boxes import boxes
from tests.datasets import write_dataset


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("api") / "boxes"
    clouds, normals = boxes(24, 1200)
    names = ["tall" if cloud[:, 1].max() > 0.6 else "flat" for cloud in clouds]
    splits = ["test" if k % 4 == 3 else "train" for k in range(24)]
    write_dataset(path, clouds, categories=names, splits=splits, normals=normals)
    return pcgen.Data.open(path)


@pytest.fixture(scope="session")
def model(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("api-run") / "run"
    return pcgen.train(data, out, preset="cpu-tiny", threads=1)
