"""The cache of tables keeps its size limit and drops the least recently used ones."""

import os
import time

import numpy as np

from pcgen.distances import cache
from pcgen.distances.cache import prune
from pcgen.distances.tables import Work, pair_matrix
from tests.evaluate.shapes import surfaces

DAY = 86400.0


def entry(folder, digit, *, days, size=1000):
    path = folder / f"{digit * 32}.npz"
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - days * DAY,) * 2)
    return path


def names(folder):
    return sorted(path.name[0] for path in folder.iterdir())


def test_the_least_recently_used_go_until_the_rest_fits(tmp_path):
    for digit, days in (("a", 5), ("b", 9), ("c", 2), ("d", 7)):
        entry(tmp_path, digit, days=days)
    assert prune(tmp_path, 2500) == 2000
    assert names(tmp_path) == ["a", "c"]
    assert prune(tmp_path, 2500) == 0


def test_blocks_of_a_killed_evaluation_age_like_tables(tmp_path):
    folder = tmp_path / ("e" * 32)
    folder.mkdir()
    for path in (folder / "0-0.npy", folder):
        if path is not folder:
            path.write_bytes(bytes(5000))
        os.utime(path, (time.time() - 3 * DAY,) * 2)
    entry(tmp_path, "f", days=1)
    prune(tmp_path, 1500)
    assert names(tmp_path) == ["f"]


def test_what_another_process_may_be_using_stays(tmp_path):
    entry(tmp_path, "a", days=0, size=9000)
    assert prune(tmp_path, 10) == 0


def test_other_files_are_never_touched(tmp_path):
    for name in ("thesis.npz", "a" * 31 + ".npz", "b" * 32 + ".npy"):
        (tmp_path / name).write_bytes(bytes(9000))
        os.utime(tmp_path / name, (0, 0))
    assert prune(tmp_path, 10) == 0
    assert len(list(tmp_path.iterdir())) == 3
    assert prune(tmp_path / "not there", 10) == 0


def test_a_table_that_is_read_again_counts_as_used(tmp_path):
    clouds = surfaces(4, 20)[0]
    first = pair_matrix(clouds, work=Work(cache=tmp_path))
    (table,) = tmp_path.iterdir()
    os.utime(table, (time.time() - 9 * DAY,) * 2)
    entry(tmp_path, "f", days=3)
    assert np.array_equal(pair_matrix(clouds, work=Work(cache=tmp_path)), first)
    prune(tmp_path, table.stat().st_size + 10)
    assert list(tmp_path.iterdir()) == [table]


def test_every_evaluation_prunes(tmp_path, monkeypatch):
    from pcgen.evaluate.requests import EvaluationRequest, evaluate_files

    entry(tmp_path, "a", days=4)
    monkeypatch.setattr(cache, "LIMIT_BYTES", 10)
    for name, seed in (("one.npy", 0), ("two.npy", 1)):
        np.save(tmp_path / name, surfaces(4, 40, seed=seed)[0])
    evaluate_files(
        EvaluationRequest([tmp_path / "one.npy"], tmp_path / "two.npy", points=40, seeds=1,
                    workers=1, cache=tmp_path)
    )  # fmt: skip
    assert not (tmp_path / ("a" * 32 + ".npz")).exists()
