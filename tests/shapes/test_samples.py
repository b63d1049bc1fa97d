"""Samples survive a round trip, and no other file is accepted as samples."""

import contextlib
import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pcgen.errors import InputError
from pcgen.shapes.samples import Samples

RNG = np.random.default_rng(0)


def some(count=3, points=5, **more):
    cloud = RNG.normal(size=(count, points, 3)).astype(np.float32)
    return Samples(points=cloud, category=np.array(["chair"] * count), **more)


def test_a_round_trip_changes_nothing(tmp_path):
    before = some(meta={"run": "r", "seed": 3}, normals=np.ones((3, 5, 3), np.float32))
    after = Samples.load(before.save(tmp_path / "s.npz"))
    assert np.array_equal(after.points, before.points)
    assert np.array_equal(after.normals, before.normals)
    assert after.category.tolist() == ["chair"] * 3
    assert after.meta == {"run": "r", "seed": 3}


def test_equal_samples_give_equal_bytes(tmp_path):
    samples = some()
    first = samples.save(tmp_path / "a.npz").read_bytes()
    assert samples.save(tmp_path / "b.npz").read_bytes() == first


@given(hnp.arrays(np.float32, (2, 3, 3), elements=st.floats(-1e6, 1e6, width=32)))
def test_every_finite_cloud_survives(tmp_path_factory, points):
    path = tmp_path_factory.mktemp("samples") / "s.npz"
    names = np.array(["größer als", "椅子"])
    loaded = Samples.load(Samples(points=points, category=names).save(path))
    assert np.array_equal(loaded.points, points)
    assert loaded.category.tolist() == names.tolist()


def test_foreign_npz_with_points_alone_is_read(tmp_path):
    np.savez(tmp_path / "s.npz", points=np.zeros((2, 4, 3)) + 0.5)
    loaded = Samples.load(tmp_path / "s.npz")
    assert loaded.points.dtype == np.float32
    assert loaded.category.tolist() == ["", ""]


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (np.zeros((4, 3)), "batch axis"),
        (np.zeros((4, 3, 2)), r"\(N, P, 3\)"),
        (np.full((2, 2, 3), np.nan), "NaN"),
        (np.full((2, 2, 3), 1e300), "infinity"),
        (np.array([[["a", "b", "c"]]]), "numbers"),
    ],
)
def test_wrong_points_are_refused_with_the_reason(points, reason):
    with pytest.raises(InputError, match=reason):
        Samples(points=points)


def test_wrong_category_and_normals_are_refused():
    with pytest.raises(InputError, match="category must be 3 names"):
        Samples(points=np.zeros((3, 2, 3)), category=np.array(["a"]))
    with pytest.raises(InputError, match="normals must have the shape"):
        Samples(points=np.zeros((3, 2, 3)), normals=np.zeros((3, 1, 3)))


def test_pickled_content_is_refused(tmp_path):
    np.savez(tmp_path / "s.npz", points=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="pickled"):
        Samples.load(tmp_path / "s.npz")


def test_missing_truncated_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="no file"):
        Samples.load(tmp_path / "none.npz")
    whole = some().save(tmp_path / "s.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a readable"):
        Samples.load(tmp_path / "cut.npz")
    np.savez(tmp_path / "other.npz", atoms=np.zeros(3))
    with pytest.raises(InputError, match="it has atoms"):
        Samples.load(tmp_path / "other.npz")


def test_a_header_that_promises_a_terabyte_allocates_nothing(tmp_path):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "<f4", "fortran_order": False, "shape": (2**30, 128, 3)}
    )
    with zipfile.ZipFile(tmp_path / "s.npz", "w") as archive:
        archive.writestr("points.npy", buffer.getvalue() + b"\0" * 48)
    with pytest.raises(InputError, match="states"):
        Samples.load(tmp_path / "s.npz")


def test_every_mutated_file_is_read_or_refused_in_words(tmp_path):
    whole = bytearray(some(meta={"k": "v"}).save(tmp_path / "s.npz").read_bytes())
    draw = np.random.default_rng(1)
    for _ in range(300):
        copy = whole.copy()
        for position in draw.integers(0, len(copy), 3):
            copy[position] = draw.integers(256)
        (tmp_path / "m.npz").write_bytes(copy)
        with contextlib.suppress(InputError):
            assert np.isfinite(Samples.load(tmp_path / "m.npz").points).all()


def test_meta_that_is_no_json_is_refused(tmp_path):
    with pytest.raises(InputError, match="JSON"):
        some(meta={"x": float("nan")}).save(tmp_path / "s.npz")
    np.savez(tmp_path / "t.npz", points=np.zeros((1, 2, 3)), meta=np.array(json.dumps([1])))
    with pytest.raises(InputError, match="JSON object"):
        Samples.load(tmp_path / "t.npz")
