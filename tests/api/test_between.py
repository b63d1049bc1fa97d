"""Shapes between two: ends, parts and the dial."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import pcgen
from pcgen import cli
from pcgen.editing.between import PARTS, along, matched, mixed, varied
from pcgen.errors import InputError
from tests.boxes import boxes


def spread(a, b):
    """Mean distance of the points of ``a`` to the nearest of ``b``."""
    return float(torch.cdist(torch.as_tensor(a), torch.as_tensor(b)).amin(1).mean())


@pytest.fixture(scope="module")
def two():
    """A ball and its stretched copy of the same points: the map between them is known."""
    ball = np.random.default_rng(0).normal(size=(600, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    return torch.tensor(ball, dtype=torch.float32), torch.tensor(ball, dtype=torch.float32)


def test_a_cloud_is_matched_with_itself_point_to_point(two):
    pairs = matched(*two)
    assert (pairs.points[0] - pairs.points[1]).norm(dim=-1).median() == 0


def test_the_way_begins_and_ends_at_the_clouds():
    first, second = (torch.from_numpy(cloud) for cloud in boxes(2, 500)[0])
    pairs = matched(first, second)
    ends = along(pairs, torch.tensor([[0.0], [1.0]]).expand(-1, 500), torch.tensor([0.0, 1.0]))
    box = [cloud / cloud.abs().max() for cloud in (first, second)]
    assert spread(ends[0], box[0]) < 0.02
    assert spread(ends[1], box[1]) < 0.02


def test_a_mixture_takes_the_named_part_from_the_other():
    """From a cube and a ball, take the top half of the ball and the bottom half of the cube."""
    ball = np.random.default_rng(0).normal(size=(2048, 3))
    ball = (ball / np.linalg.norm(ball, axis=1, keepdims=True)).astype(np.float32)
    cube = ball / np.abs(ball).max(1, keepdims=True)

    class Same:
        def encode(self, cloud):
            return cloud

    made = mixed(Same(), cube, ball, part="top", share=0.5)[0].numpy()
    top, bottom = made[made[:, 1] > 0.4], made[made[:, 1] < -0.4]
    assert np.abs(np.linalg.norm(top, axis=1) - 1).mean() < 0.05
    assert np.abs(np.abs(bottom).max(1) - 1).mean() < 0.05
    assert np.abs(np.linalg.norm(bottom, axis=1) - 1).mean() > 0.2


def test_interpolation_has_both_ends_and_even_steps(model):
    first, second = boxes(2, 900, seed=4)[0]
    way = model.interpolate(first, second, frames=5, points=256)
    assert way.points.shape == (5, 256, 3)
    ends = model.decode(model.encode([first, second]), points=256)
    for frame, end in ((way[0], ends[0]), (way[4], ends[1])):
        assert spread(frame.points, end.points) < 0.15
    steps = np.abs(np.diff(way.points, axis=0)).mean((1, 2))
    assert steps.max() < 0.6 * np.abs(way.points[-1] - way.points[0]).mean()


def test_the_dial_goes_from_the_shape_itself_to_others(model):
    cloud = boxes(1, 900, seed=2)[0][0]
    given = model.encode(cloud)
    far = [
        np.linalg.norm(
            model.encode(model.vary(cloud, 4, amount=amount, points=600)) - given, axis=1
        )
        for amount in (0.0, 0.4, 1.0)
    ]
    assert far[0].mean() < far[1].mean() < far[2].mean()


def test_the_ends_of_the_dial_are_the_shape_and_a_sample():
    """The shape is a cube and every sample one flat ellipsoid: neither resembles the other."""
    cloud = np.random.default_rng(0).normal(size=(2048, 3))
    cloud = (cloud / np.linalg.norm(cloud, axis=1, keepdims=True)).astype(np.float32)
    cube, sample = cloud / np.abs(cloud).max(1, keepdims=True), cloud * np.float32([1, 0.3, 1])

    class Same:
        known = SimpleNamespace(coordinates=lambda z: z.flatten(1))

        def encode(self, cloud):
            return cloud

        def draw(self, count, *, seed, category):
            return SimpleNamespace(z=torch.from_numpy(sample).expand(count, -1, -1))

        def decode(self, z, *, points, seed):
            return SimpleNamespace(points=z)

    faithful, free = (varied(Same(), cube, 1, amount=amount)[0] for amount in (0, 1))
    assert spread(faithful, cube) < 1e-4
    assert spread(free, sample) < 0.02


def test_equal_seeds_vary_alike(model):
    cloud = boxes(1, 600)[0][0]
    one, two = (model.vary(cloud, 2, seed=3, points=100).points for _ in range(2))
    assert np.array_equal(one, two)


@pytest.mark.parametrize("part", [*PARTS, (1.0, 1.0, 0.0)])
def test_every_part_can_be_exchanged(model, part):
    first, second = boxes(2, 500)[0]
    assert model.mix(first, second, part=part, points=100).points.shape == (100, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"part": "leg"}, "top, bottom"),
        ({"part": (0, 0, 0)}, "not all zero"),
        ({"part": 5}, "three numbers"),
        ({"share": 1.0}, "between 0 and 1"),
    ],
)
def test_parts_that_are_none_are_refused(model, options, message):
    first, second = boxes(2, 300)[0]
    with pytest.raises(InputError, match=message):
        model.mix(first, second, **options)


@pytest.mark.parametrize("amount", [-0.1, 1.5, float("nan")])
def test_a_dial_beyond_its_ends_is_refused(model, amount):
    with pytest.raises(InputError, match="amount"):
        model.vary(boxes(1, 300)[0][0], amount=amount)


def test_the_commands_do_the_same(model, tmp_path):
    for number, cloud in enumerate(boxes(2, 700)[0]):
        np.save(tmp_path / f"{number}.npy", cloud)
    run, one, two = str(model.path), str(tmp_path / "0.npy"), str(tmp_path / "1.npy")

    def call(*words):
        out = tmp_path / f"{words[0]}.npz"
        assert cli.main([*words, "--out", str(out), "--quiet", "--device", "cpu"]) == 0
        return out

    latents = call("encode", run, one, two)
    shapes = pcgen.Shapes.load(call("decode", run, str(latents), "--points", "90"))
    assert shapes.points.shape == (2, 90, 3)
    assert np.array_equal(shapes.points, model.decode(model.encode([one, two]), points=90).points)
    varied = pcgen.Shapes.load(call("vary", run, one, "--count", "2", "--points", "90"))
    assert np.array_equal(varied.points, model.vary(one, 2, points=90).points)
    mixed_ = pcgen.Shapes.load(call("mix", run, one, two, "--part", "left", "--points", "90"))
    assert np.array_equal(mixed_.points[0], model.mix(one, two, part="left", points=90).points)
    words = ("--frames", "3", "--points", "90")
    between = pcgen.Shapes.load(call("interpolate", run, "--files", one, two, *words)).points
    assert np.array_equal(between, model.interpolate(one, two, frames=3, points=90).points)
    drawn = pcgen.Shapes.load(call("interpolate", run, "--seeds", "0", "1", *words)).points
    ends = (model.sample(1, seed=seed)[0] for seed in (0, 1))
    assert np.array_equal(drawn, model.interpolate(*ends, frames=3, points=90).points)


def test_a_folder_receives_a_ply_file_of_each_shape(model, tmp_path):
    words = ["sample", str(model.path), "--count", "2", "--points", "90", "--out"]
    assert cli.main([*words, str(tmp_path / "clouds"), "--quiet", "--device", "cpu"]) == 0
    files = sorted((tmp_path / "clouds").iterdir())
    shapes = model.sample(2, points=90)
    assert [file.name for file in files] == [
        f"shape-{number:03d}-{shape.category}.ply" for number, shape in enumerate(shapes)
    ]
    for file, shape in zip(files, shapes, strict=True):
        own = shape.frame.restore(shape.points)
        assert np.allclose(
            pcgen.Shape.read(file).summary()["own_extents"], np.ptp(own, 0), rtol=2e-3
        )
    assert cli.main([*words, str(tmp_path / "clouds.ply")]) == 2
