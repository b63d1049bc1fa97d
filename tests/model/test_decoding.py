"""Any number of points of a shape, from a run of tiny untrained networks."""

import dataclasses

import pytest
import torch

from pcgen import checkpoint
from pcgen.errors import InputError
from pcgen.flow.networks import PointCondition
from pcgen.latent.mixture import MixtureSamples
from pcgen.model import ShapeModel
from tests.fuzz.runs import CODE, lay, run_files

POINTS = 32  # of a cloud that its point flow knows


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """With a point flow that moves points, which a new one does not."""
    run = tmp_path_factory.mktemp("run")
    lay(run, run_files())
    path = run / "point-flow" / "student" / "weights.safetensors"
    tensors, meta = checkpoint.load(path)
    draw = torch.Generator().manual_seed(0)
    for name, tensor in tensors.items():
        tensors[name] = tensor + 0.3 * torch.randn(tensor.shape, generator=draw)
    checkpoint.save(path, tensors, meta)
    return ShapeModel.load(run)


@pytest.mark.parametrize("solver", ["student", "heun"])
@pytest.mark.parametrize("points", [1, 20, POINTS, POINTS + 1, 3 * POINTS])
def test_more_points_of_a_shape_begin_with_those_of_fewer(model, points, solver):
    z = model.sample_latents(1, seed=0)
    most = model.decode(z, points=4 * POINTS, seed=3, solver=solver, trace=True)
    some = model.decode(z, points=points, seed=3, solver=solver, trace=True)
    for field in dataclasses.fields(some):
        whole, part = getattr(most, field.name), getattr(some, field.name)
        axis = 2 if field.name == "trace" else 1
        assert part.shape[axis] == points
        # But for the last bits, as products of matrices of other sizes differ in them.
        assert torch.allclose(part, whole.narrow(axis, 0, points), atol=1e-5), field.name
    assert torch.equal(some.base, most.base[:, :points])


def test_each_cloud_of_a_dense_shape_is_even(model):
    """Like the training clouds of the point flow: every component has its share of points."""
    decoded = model.decode(model.sample_latents(2, seed=0), points=3 * POINTS, seed=1)
    counts = [
        torch.bincount(part, minlength=8) for shape in decoded.part for part in shape.split(POINTS)
    ]
    for first in (0, 3):
        same = torch.stack(counts[first : first + 3])
        assert int((same.amax(0) - same.amin(0)).max()) <= 1


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_latents_that_are_not_finite_are_refused(model, wrong):
    z = torch.zeros(2, model.latent_dim)
    z[1, 0] = wrong
    with pytest.raises(InputError, match="finite numbers, got NaN or infinity"):
        model.decode(z, points=16)


def test_points_are_moved_and_have_unit_normals(model):
    decoded = model.decode(model.sample_latents(2, seed=0), points=3 * POINTS, seed=1)
    assert (decoded.points - decoded.base).norm(dim=-1).min() > 0
    assert torch.allclose(decoded.normals.norm(dim=-1), torch.ones(2, 3 * POINTS), atol=1e-5)


def test_several_clouds_are_moved_as_one_by_one(model):
    """Each has its own condition: neighbours, patch and component."""
    z = model.sample_latents(1, seed=0)
    both = model.decode(z, points=2 * POINTS, seed=3)
    decoder = model.decode.__self__
    slope, autoencoder = decoder._networks.under("student"), decoder.autoencoder
    part, base = both.part.view(2, POINTS), both.base.view(2, POINTS, 3)
    local = autoencoder.local(z.repeat(2, 1), part)
    assert local.code.shape == (2, POINTS, CODE)
    mixture = autoencoder.decode(z).repeated(2)
    condition = PointCondition.of(mixture, MixtureSamples(base, part, base), local, 12)
    zeros, ones = torch.zeros(2), torch.ones(2)
    expected = base + slope(base, zeros, ones, condition)
    assert torch.allclose(both.points.view(2, POINTS, 3), expected, atol=1e-5)


AXES = torch.tensor([[True, False, True], [False, False, False]])


def test_half_of_the_points_of_a_symmetric_shape_are_reflected(model):
    z = model.sample_latents(2, seed=0)
    plain = model.decode(z, points=2 * POINTS, seed=3, trace=True)
    even = model.decode(z, points=2 * POINTS, seed=3, trace=True, symmetry=AXES)
    signs = even.points[0].sign() * plain.points[0].sign()
    assert (signs == -1).float().mean(0).tolist() == [0.5, 0, 0.5]
    # On both axes independently: a quarter of the points is in each corner.
    assert torch.equal(signs[:, [0, 2]].unique(dim=0, return_counts=True)[1], torch.full((4,), 16))
    for name in ("points", "normals", "base"):
        assert torch.equal(getattr(even, name)[0], getattr(plain, name)[0] * signs), name
        assert torch.equal(getattr(even, name)[1], getattr(plain, name)[1]), name
    assert torch.equal(even.trace[-1], even.points)
    assert torch.equal(even.trace[0], even.base)


def test_more_points_of_a_symmetric_shape_begin_with_those_of_fewer(model):
    z = model.sample_latents(2, seed=0)
    most = model.decode(z, points=3 * POINTS, seed=3, symmetry=AXES)
    some = model.decode(z, points=POINTS + 5, seed=3, symmetry=AXES)
    assert torch.allclose(some.points, most.points[:, : POINTS + 5], atol=1e-5)
