"""Tables: each pair is computed once, any division of the work is equal, a kill is resumed."""

import numpy as np
import pytest

from pcgen.distances import tables
from pcgen.distances.pairwise import DISTANCES, Distance, chamfer_table
from pcgen.distances.tables import Work, pair_matrix
from pcgen.errors import InputError
from tests.evaluate.shapes import surfaces


@pytest.fixture
def counted(monkeypatch):
    """A distance "cd" with blocks of 3 that counts its pairs, and may fail."""
    calls = []

    def table(x, y, backend):
        calls.append((len(x), len(y)))
        if len(calls) == counted.fail_at:
            raise KeyboardInterrupt
        return chamfer_table(x, y, "kdtree")

    counted = type("Counted", (), {"fail_at": 0, "calls": calls})
    monkeypatch.setitem(DISTANCES, "cd", Distance(table=table, backends=("kdtree",), block=3))
    return counted


def test_the_table_of_two_sets_holds_every_pair():
    x, y = surfaces(7, 30)[0], surfaces(5, 40, seed=1)[0]
    expected = chamfer_table(x, y, "kdtree")
    assert np.allclose(pair_matrix(x, y), expected, rtol=1e-6)


def test_half_of_a_symmetric_table_is_computed(counted):
    x = surfaces(9, 20)[0]
    table = pair_matrix(x)
    assert sum(a * b for a, b in counted.calls) == 6 * 9  # 6 of 9 blocks of 3 × 3
    assert np.array_equal(table, table.T)
    assert np.allclose(table, chamfer_table(x, x, "kdtree"))


def test_an_asymmetric_distance_is_computed_in_full():
    x = surfaces(3, 20)[0]
    table = pair_matrix(x, distance="emd_pointflow")
    assert not np.array_equal(table, table.T)


def test_blocks_and_processes_do_not_change_a_bit(monkeypatch):
    x, y = surfaces(11, 33)[0], surfaces(6, 33, seed=1)[0]
    spec = DISTANCES["cd"]
    alone = pair_matrix(x, y)
    within = pair_matrix(x)
    for block in (1, 4):
        changed = Distance(table=spec.table, backends=spec.backends, block=block)
        monkeypatch.setitem(DISTANCES, "cd", changed)
        assert np.array_equal(pair_matrix(x, y), alone)
        assert np.array_equal(pair_matrix(x), within)


@pytest.mark.slow
def test_two_processes_give_the_same_table(tmp_path):
    x = surfaces(150, 33)[0]
    alone = pair_matrix(x)
    assert np.array_equal(pair_matrix(x, work=Work(workers=2)), alone)
    assert np.array_equal(pair_matrix(x, work=Work(workers=2, cache=tmp_path)), alone)


def test_a_second_run_finds_the_table_by_its_content(counted, tmp_path):
    x, work = surfaces(9, 20)[0], Work(cache=tmp_path)
    first = pair_matrix(x, work=work)
    done = len(counted.calls)
    assert np.array_equal(pair_matrix(x.copy(), work=work), first)
    assert len(counted.calls) == done
    moved = x.copy()
    moved[4, 3, 1] += 1e-6
    pair_matrix(moved, work=work)
    assert len(counted.calls) == 2 * done


def test_a_killed_table_goes_on_where_it_was(counted, tmp_path):
    x, work = surfaces(9, 20)[0], Work(cache=tmp_path)
    counted.fail_at = 4
    with pytest.raises(KeyboardInterrupt):
        pair_matrix(x, work=work)
    counted.fail_at = 0
    counted.calls.clear()
    table = pair_matrix(x, work=work)
    assert len(counted.calls) == 6 - 3
    assert np.allclose(table, chamfer_table(x, x, "kdtree"))
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1  # blocks are gone


def test_damaged_blocks_and_tables_are_computed_again(counted, tmp_path):
    x, work = surfaces(9, 20)[0], Work(cache=tmp_path)
    counted.fail_at = 4
    with pytest.raises(KeyboardInterrupt):
        pair_matrix(x, work=work)
    counted.fail_at = 0
    next(tmp_path.rglob("0-0.npy")).write_bytes(b"\x93NUMPY nonsense")
    table = pair_matrix(x, work=work)
    assert np.allclose(table, chamfer_table(x, x, "kdtree"))
    next(tmp_path.rglob("*.npz")).write_bytes(b"PK nonsense")
    assert np.array_equal(pair_matrix(x, work=work), table)


def test_the_key_tells_distances_shapes_and_order_apart():
    x, y = surfaces(4, 20)[0], surfaces(4, 20, seed=1)[0]
    keys = {
        tables.content_key(kind, arrays)
        for kind in (("pairs", "cd"), ("pairs", "dcd"))
        for arrays in ([x], [x, y], [y, x], [x.reshape(2, 40, 3)])
    }
    assert len(keys) == 8


@pytest.mark.parametrize(
    ("clouds", "words"),
    [
        (np.zeros((5, 3), np.float32), "add a batch axis"),
        (np.zeros((2, 0, 3), np.float32), "at least 1"),
        (np.full((2, 4, 3), np.nan, np.float32), "cloud 0 holds NaN"),
        (np.zeros((2, 4, 2), np.float32), r"\(N, P, 3\)"),
    ],
)
def test_bad_clouds_are_explained(clouds, words):
    with pytest.raises(InputError, match=words):
        pair_matrix(clouds)


def test_no_workers_is_an_error():
    with pytest.raises(InputError, match="workers must be at least 1"):
        Work(workers=0)
