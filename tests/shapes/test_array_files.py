"""Arrays of clouds as data sets and programs store them."""

import h5py
import numpy as np
import pytest

from pcgen.errors import InputError, MeshError
from pcgen.shapes.cloud_arrays import list_hdf5
from pcgen.shapes.layouts import find_items
from pcgen.shapes.layouts.models import classes_of_labels, unnamed_labels
from pcgen.shapes.listing import scan
from pcgen.shapes.reading import open_file

CLOUDS = np.random.default_rng(0).normal(size=(3, 64, 3)).astype("f4")
NORMALS = CLOUDS / np.linalg.norm(CLOUDS, axis=2, keepdims=True)


def hdf5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name.replace("__", "/")] = array
    return path


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["chair", "Stühle", "chair"], object),
        np.array([[b"chair"], ["Stühle".encode()], [b"chair"]]),
    ],
)
def test_labels_in_words_are_categories(tmp_path, labels):
    (found,) = list_hdf5(hdf5(tmp_path / "a.h5", data=CLOUDS, label=labels))
    assert found.labels == ("chair", "Stühle", "chair")


def test_what_lies_beside_points_is_no_shape_and_told(tmp_path):
    path = hdf5(tmp_path / "a.h5", pc=CLOUDS, feats=CLOUDS, normals=NORMALS, rgb=CLOUDS)
    (found,) = list_hdf5(path)
    assert (found.array, found.normals, found.left) == ("pc", "normals", ("feats (3, 64, 3)",))
    (found,) = list_hdf5(hdf5(tmp_path / "b.h5", data=CLOUDS, normal=NORMALS[:, :32]))
    assert (found.array, found.normals, found.left) == ("data", None, ("normal (3, 32, 3)",))
    assert find_items(scan(path))[1].remarks == (
        "beside the arrays of points, a.h5:feats (3, 64, 3) are left out",
    )


def test_boxes_and_rotations_beside_points_are_no_shapes(tmp_path):
    path = hdf5(tmp_path / "a.h5", data=CLOUDS, bbox=CLOUDS[:, :8], rotation=CLOUDS[:, :3])
    (found,) = list_hdf5(path)
    assert found.array == "data"
    assert found.left == ("bbox (3, 8, 3)", "rotation (3, 3, 3)")


@pytest.mark.parametrize(
    "names", ["train_points train_labels", "X_train y_train", "data_train label_train"]
)
def test_arrays_named_by_a_split_are_of_it_and_have_its_labels(tmp_path, names):
    points, labels = names.split()
    test = [name.replace("train", "test") for name in (points, labels)]
    hdf5(tmp_path / "set.h5", **{
        points: CLOUDS, labels: [0, 1, 1], test[0]: CLOUDS[:2] + 1, test[1]: [1, 0],
    })  # fmt: skip
    items = find_items(scan(tmp_path))[1].items
    assert len({item.id for item in items}) == 5
    assert sorted((item.split, item.category) for item in items) == [
        ("test", "class 0"), ("test", "class 1"),
        ("train", "class 0"), ("train", "class 1"), ("train", "class 1"),
    ]  # fmt: skip


def test_splits_are_in_the_names_of_arrays(tmp_path):
    hdf5(tmp_path / "set.h5", chairs_train=CLOUDS, chairs_test=CLOUDS[:2] + 1)
    items = find_items(scan(tmp_path))[1].items
    assert {(item.category, item.split) for item in items} == {
        ("chairs", "train"), ("chairs", "test"),
    }  # fmt: skip
    assert len({item.id for item in items}) == 5


def test_a_file_of_one_cloud_may_have_its_class(tmp_path):
    np.savez(tmp_path / "a.npz", points=CLOUDS[0], category="cup")
    np.savez(tmp_path / "b.npz", points=CLOUDS[1], label=7)
    found = find_items(scan(tmp_path))[1]
    assert {item.id for item in found.items} == {"cup/a", "class 7/b"}


def test_of_one_set_in_several_densities_the_densest_is_used(tmp_path):
    path = hdf5(tmp_path / "a.h5", poisson_64=CLOUDS, poisson_32=CLOUDS[:, :32])
    (found,) = list_hdf5(path)
    assert (found.array, found.left) == ("poisson_64", ("poisson_32 (3, 32, 3)",))
    path = hdf5(tmp_path / "b.h5", **{"02691156": CLOUDS, "03001627": CLOUDS[:, :32]})
    assert len(list_hdf5(path)) == 2


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (("chair/0000", "chair/0001", "table/0000"),
         ["chair/set/0000", "chair/set/0001", "table/set/0000"]),
        (("chair/0000/points", "chair/0001/points", "table/0000/points"),
         ["chair/set/0000", "chair/set/0001", "table/set/0000"]),
        (("0000/points", "0001/points", "0002/points"),
         ["set/set/0000", "set/set/0001", "set/set/0002"]),
        (("train/chair/0000", "train/chair/0001", "test/chair/0002"),
         ["chair/set/0000/train", "chair/set/0001/train", "chair/set/0002/test"]),
    ],
)  # fmt: skip
def test_an_array_for_each_shape_is_a_model_of_its_group(tmp_path, names, ids):
    hdf5(tmp_path / "set.h5", **dict(zip(names, CLOUDS, strict=True)))
    _, found = find_items(scan(tmp_path))
    assert sorted(item.id for item in found.items) == ids
    assert {item.category for item in found.items} == {name.split("/")[0] for name in ids}


def test_names_of_classes_may_have_numbers_beside_them(tmp_path):
    table = tmp_path / "shape_names.txt"
    for text, classes in (
        ("airplane\nnight stand\n", {0: "airplane", 1: "night stand"}),
        ("airplane 02691156\nchair\t03001627\n", {0: "airplane", 1: "chair"}),
        ("1 airplane\n2, night stand\n", {1: "airplane", 2: "night stand"}),
        ("\ufeff3d printer\r\nStuhl\r\n", {0: "3d printer", 1: "Stuhl"}),
    ):
        table.write_text(text, encoding="utf-8")
        assert classes_of_labels(scan(tmp_path)) == classes
    assert unnamed_labels([0, 1, 2, 7, "x"], {0: "a", 1: "b"}) == (
        "2 labels have no name: 2, 7; the file of class names has 0 to 1",
    )
    assert unnamed_labels([5], {}) == ()


def test_one_faulty_cloud_is_left_out_of_a_file_and_told(tmp_path):
    clouds = np.concatenate([CLOUDS, CLOUDS])
    clouds[1], clouds[4] = np.nan, 0
    np.save(tmp_path / "a.npy", clouds)
    for path in (tmp_path / "a.npy", hdf5(tmp_path / "a.h5", data=clouds)):
        found = open_file(path)
        assert list(found.names) == ["a-0000", "a-0002", "a-0003", "a-0005"]
        assert found.notes == ("left out cloud 1 of 6: 64 points are NaN or infinite, and 1 more",)
        with pytest.raises((InputError, MeshError), match="cloud 1 of 6: 64 points are NaN"):
            open_file(path, faulty="refuse")


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros(9, [("x", "f4"), ("y", "f4"), ("z", "f4")]), r"named columns \(x, y, z\); save"),
        (np.array([CLOUDS[0], CLOUDS[1, :9]], object), "Save clouds of one size by numpy.stack"),
        (np.ones((5, 9, 3), bool), "real numbers of shape .* got bool"),
        (CLOUDS[0].astype(complex), "real numbers of shape .* got complex"),
    ],
)
def test_arrays_that_are_no_clouds_are_told_what_to_save(tmp_path, array, reason):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=reason):
        open_file(tmp_path / "a.npy")


def test_a_message_lists_the_first_of_many_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", **{f"chair_{k:03}": CLOUDS[0] for k in range(100)})
    with pytest.raises(InputError, match=r"exactly one of .*, and 92 more") as error:
        open_file(tmp_path / "a.npz")
    assert len(str(error.value)) < 400
