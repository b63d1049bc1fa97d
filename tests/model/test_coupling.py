"""Coordinates of latents agree with NumPy's decomposition, and cells with brute force."""

import dataclasses

import numpy as np
import pytest
import torch

from pcgen import base, checkpoint
from pcgen.errors import DataError
from pcgen.model.coupling import FILES, LatentCoupling, Latents
from pcgen.train.latents import couple
from pcgen.transport import SemidualSolver

SOLVER = SemidualSolver(tolerance=0.1, max_samples=200_000)


def latents_of(count, numbers, most, seed=0):
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(count, numbers, generator=draw) * torch.linspace(2, 0.1, numbers) + 3
    rows = torch.randint(7, (count, 2), generator=draw)
    mirrored = torch.rand(count, 2, generator=draw) < 0.5
    symmetry = torch.rand(count, 3, generator=draw) < 0.5
    label = torch.arange(count) % 2
    return Latents.of(z.half().float(), rows, mirrored, symmetry, label, most)


@pytest.fixture
def coupling():
    latents = latents_of(60, 10, 4)
    draw = torch.Generator().manual_seed(1)
    omega = base.fit("gaussian", latents.y, generator=draw)
    solution = couple(omega, latents.y, SOLVER, 0)
    return LatentCoupling(latents, omega, solution.potential)


# More latents than numbers, and fewer.
@pytest.mark.parametrize("count", [100, 12])
def test_coordinates_are_the_principal_ones(count):
    latents = latents_of(count, 20, 5)
    centred = latents.z.double().numpy() - latents.z.double().numpy().mean(0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(np.abs(axes[:5] @ latents.axes.double().numpy()), np.eye(5), atol=1e-4)
    assert torch.allclose(latents.axes.T @ latents.axes, torch.eye(5), atol=1e-5)
    assert torch.allclose(latents.y.mean(0), torch.zeros(5), atol=1e-4)
    assert float(latents.y.square().mean()) == pytest.approx(1, rel=1e-3)
    scale = np.sqrt(np.square(values[:5]).sum() / (5 * count))
    assert latents.scale * scale == pytest.approx(1, rel=1e-4)
    share = np.square(values[:5]).sum() / np.square(values).sum()
    assert latents.explained_variance == pytest.approx(share, rel=1e-4)


def test_axes_of_many_numbers_keep_the_variance_that_the_best_ones_keep():
    """More numbers than the search follows, with variances that fall slowly."""
    latents = latents_of(400, 300, 40)
    values = np.linalg.svd(latents.z.double().numpy() - latents.mean.numpy(), compute_uv=False)
    best = np.square(values[:40]).sum() / np.square(values).sum()
    assert 0.995 * best < latents.explained_variance <= best * (1 + 1e-5)
    assert torch.allclose(latents.axes.T @ latents.axes, torch.eye(40), atol=1e-5)


def test_blocks_of_latents_have_the_axes_of_all(monkeypatch):
    whole = latents_of(60, 10, 4)
    share = whole.explained_variance
    monkeypatch.setattr("pcgen.model.coupling.BLOCK", 7)
    parts = latents_of(60, 10, 4)
    assert torch.allclose(parts.axes, whole.axes, atol=1e-6)
    assert torch.allclose(parts.y, whole.y, atol=1e-5)
    assert parts.explained_variance == pytest.approx(share, rel=1e-6)


def test_the_same_latents_in_another_order_have_the_same_axes():
    """Axes of any sign, which the library chooses."""
    latents = latents_of(40, 8, 3)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(5))
    other = Latents.of(
        latents.z[order],
        latents.parent[order],
        latents.mirrored[order],
        latents.symmetry[order],
        latents.label[order],
        3,
    )
    assert torch.allclose(latents.axes, other.axes, atol=1e-4)


@pytest.mark.parametrize(
    ("count", "numbers", "most", "kept"),
    [(30, 8, 5, 5), (30, 8, 99, 8), (4, 8, 6, 3), (1, 8, 6, 1)],
)
def test_there_are_no_more_coordinates_than_the_latents_have(count, numbers, most, kept):
    latents = latents_of(count, numbers, most)
    assert latents.y.shape == (count, kept)
    assert torch.allclose(latents.axes.T @ latents.axes, torch.eye(kept), atol=1e-5)
    assert torch.isfinite(latents.y).all()


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_equal_latents_have_coordinates_zero(count):
    z = torch.randn(1, 8, generator=torch.Generator().manual_seed(0)).expand(count, -1)
    pairs = torch.zeros(count, 2).long()
    none = torch.zeros(count, 3).bool()
    latents = Latents.of(z, pairs, pairs.bool(), none, pairs[:, 0], 4)
    assert float(latents.y.abs().max()) < 1e-4
    assert torch.allclose(latents.lifted(latents.y, torch.arange(count)), z, atol=1e-5)


def test_a_latent_lifted_from_its_own_coordinates_is_itself():
    latents = latents_of(50, 12, 4)
    every = torch.arange(50)
    assert torch.equal(latents.lifted(latents.y, every), latents.z)


def test_lifting_changes_coordinates_and_keeps_details(generator):
    latents = latents_of(50, 12, 4)
    cell = torch.randint(50, (30,), generator=generator)
    y = torch.randn(30, 4, generator=generator)
    z = latents.lifted(y, cell)
    assert torch.allclose(latents.coordinates(z), y, atol=1e-4)
    # What is left beside the axes is that of the cell's latent.
    rest = z - latents.z[cell]
    beside = rest - rest @ latents.axes @ latents.axes.T
    assert float(beside.abs().max()) < 1e-4


def test_with_all_coordinates_nothing_of_the_cell_is_left(generator):
    latents = latents_of(50, 6, 6)
    z = torch.randn(20, 6, generator=generator)
    cell = torch.randint(50, (20,), generator=generator)
    assert torch.allclose(latents.lifted(latents.coordinates(z), cell), z, atol=1e-4)


def test_a_file_holds_latents_in_half_precision(tmp_path):
    latents = latents_of(30, 9, 4)
    latents.save(tmp_path / FILES[0])
    again = Latents.load(tmp_path / FILES[0])
    assert checkpoint.load(tmp_path / FILES[0])[0]["z"].dtype == torch.float16
    for field in dataclasses.fields(Latents):
        held, found = getattr(latents, field.name), getattr(again, field.name)
        if isinstance(held, torch.Tensor):
            assert found.dtype == held.dtype, field.name
            assert torch.equal(found, held), field.name
        else:
            assert found == held
    assert torch.equal(again.y, latents.y)


def test_a_file_without_symmetries_has_none(tmp_path):
    latents_of(30, 9, 4).save(tmp_path / FILES[0])
    tensors, meta = checkpoint.load(tmp_path / FILES[0])
    del tensors["symmetry"]
    checkpoint.save(tmp_path / FILES[0], tensors, meta)
    assert Latents.load(tmp_path / FILES[0]).symmetry.tolist() == [[False] * 3] * 30


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z": torch.zeros(60, 9)}, "9 numbers, not 10"),
        ({"z": torch.zeros(0, 10)}, "numbers, not 10"),
        ({"z": torch.zeros(59, 10)}, "different sizes"),
        ({"parent": torch.zeros(60, 3).long()}, "different sizes"),
        ({"mirrored": torch.zeros(59, 2).bool()}, "different sizes"),
        ({"symmetry": torch.zeros(60, 2).bool()}, "symmetries have different sizes"),
        ({"label": torch.zeros(59).long()}, "different sizes"),
        ({"label": torch.full((60,), 2)}, "does not have"),
        ({"label": torch.full((60,), -1)}, "does not have"),
        ({"mean": torch.zeros(9)}, "axes do not match"),
        ({"axes": torch.zeros(9, 4)}, "axes do not match"),
    ],
)
def test_latents_that_do_not_fit_are_refused(changes, message):
    latents = latents_of(60, 10, 4)
    latents.check(10, 2)
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(latents, **changes).check(10, 2)


def test_a_base_or_a_map_of_other_latents_is_refused(coupling):
    coupling.check()
    fewer = dataclasses.replace(coupling, potential=coupling.potential[:-1])
    with pytest.raises(ValueError, match="number of cells of the map"):
        fewer.check()
    narrow = dataclasses.replace(coupling, latents=latents_of(60, 10, 3))
    with pytest.raises(ValueError, match="the base has dimension 4"):
        narrow.check()


def test_three_files_hold_a_coupling(coupling, tmp_path, generator):
    solution = couple(coupling.omega, coupling.latents.y, SOLVER, 0)
    LatentCoupling.save(tmp_path, coupling.latents, coupling.omega, solution)
    again = LatentCoupling.load(tmp_path, 10, 2)
    x = coupling.omega.sample(100, generator)
    assert torch.equal(again.assign(x), coupling.assign(x))
    with pytest.raises(ValueError, match="10 numbers, not 11"):
        LatentCoupling.load(tmp_path, 11, 2)
    (tmp_path / FILES[0]).write_bytes(b"damaged")
    with pytest.raises(DataError, match=FILES[0]):
        LatentCoupling.load(tmp_path, 10, 2)


def test_coordinates_are_stored_once(coupling, tmp_path):
    latents = coupling.latents
    draw = torch.Generator().manual_seed(0)
    omega = base.fit("ae-ot", latents.y, generator=draw, guard="off")
    solution = couple(omega, latents.y, SOLVER, 0)
    LatentCoupling.save(tmp_path, latents, omega, solution)
    tensors, meta = checkpoint.load(tmp_path / FILES[1], base.SCHEMA)
    assert tensors["atoms"].shape == (60,)
    assert meta["coordinates"] == ["atoms"]
    with np.load(tmp_path / FILES[2]) as file:
        assert set(file.files) == {"potential", "evidence"}
    again = LatentCoupling.load(tmp_path, 10, 2)
    assert torch.equal(again.latents.y, latents.y)
    ends = [one.sample(50, torch.Generator().manual_seed(1)) for one in (omega, again.omega)]
    assert torch.equal(*ends)
    checkpoint.save(tmp_path / FILES[1], {**tensors, "atoms": tensors["atoms"] + 1}, meta)
    with pytest.raises(ValueError, match="do not exist"):
        LatentCoupling.load(tmp_path, 10, 2)


def test_files_that_repeat_the_coordinates_are_read(coupling, tmp_path, generator):
    latents = coupling.latents
    solution = couple(coupling.omega, latents.y, SOLVER, 0)
    latents.save(tmp_path / FILES[0])
    tensors, meta = checkpoint.load(tmp_path / FILES[0])
    del tensors["y"]
    checkpoint.save(tmp_path / FILES[0], tensors, meta)
    checkpoint.save(tmp_path / FILES[1], *coupling.omega.to_checkpoint())
    solution.save(tmp_path / FILES[2])
    again = LatentCoupling.load(tmp_path, 10, 2)
    assert torch.equal(again.potential, solution.potential)
    assert torch.allclose(again.y, latents.y, atol=1e-2)  # from latents in half precision


def test_a_cell_is_where_its_affine_function_is_largest(coupling, generator):
    x = coupling.omega.sample(500, generator)
    values = x.double() @ coupling.latents.y.double().T + coupling.potential
    best = values.gather(1, coupling.assign(x)[:, None])[:, 0]
    assert torch.allclose(best, values.amax(1), atol=1e-5)


def test_every_latent_gets_its_share_of_the_base(coupling, generator):
    cell = coupling.assign(coupling.omega.sample(60_000, generator))
    share = torch.bincount(cell, minlength=60) / 1000
    assert float((share - 1).square().mean()) < 0.1 + 0.01  # the tolerance, and sampling
    assert int((share == 0).sum()) == 0
