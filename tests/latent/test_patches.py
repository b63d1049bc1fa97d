"""Cells of equal mass agree with plain sorting; the content of patch codes."""

import pytest
import torch

from pcgen.kernels import pooled_features
from pcgen.latent import patches
from pcgen.latent.mixture import MixtureBatch
from pcgen.latent.patches import PatchCodec, equal_mass_cells, split_axes
from pcgen.latent.tokens import TokenCodec


def codec_of(dim=3, levels=3, **changes):
    sizes = {"code": 4, "neighbours": 12, "cloud_points": 256, "parts": 2, "width": 16}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return PatchCodec(
            dim, levels=levels, thickness=0.01, position_scale=4.0, **{**sizes, **changes}
        )


def sets_of(cells):
    return [[set(cell) for cell in cloud] for cloud in cells.tolist()]


def halved(numbers, points, axes, level, levels):
    """The cells of a cloud, by Python's sort."""
    if level == levels:
        return [set(numbers)]
    along = points @ axes[level % len(axes)]
    order = sorted(numbers, key=lambda k: float(along[k]))
    half = len(order) // 2
    return [
        cell
        for part in (order[:half], order[half:])
        for cell in halved(part, points, axes, level + 1, levels)
    ]


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_cells_are_those_of_repeated_sorting(dim, generator):
    points = torch.randn(2, 64, dim, generator=generator)
    cells = sets_of(equal_mass_cells(points, 4))
    for cloud, found in zip(points, cells, strict=True):
        assert found == halved(range(64), cloud, split_axes(dim), 0, 4)


@pytest.mark.parametrize("levels", [0, 1, 5])
def test_cells_have_equal_mass_and_share_no_point(levels, generator):
    points = torch.randn(3, 256, 3, generator=generator)
    cells = equal_mass_cells(points, levels)
    assert cells.shape == (3, 2**levels, 256 // 2**levels)
    assert torch.equal(cells.flatten(1).sort(1).values, torch.arange(256).expand(3, -1))


def test_the_first_half_of_the_cells_lies_below_the_second(generator):
    points = torch.rand(1, 512, 3, generator=generator)
    cells = equal_mass_cells(points, 3)
    height = (points[0] @ split_axes(3)[0])[cells[0]]
    assert height[:4].max() <= height[4:].min()
    assert split_axes(3)[0].argmax() == 1  # the vertical axis


def test_the_order_of_the_points_does_not_matter(generator):
    points = torch.randn(2, 128, 3, generator=generator)
    order = torch.randperm(128, generator=generator)
    cells = sets_of(equal_mass_cells(points, 4))
    moved = sets_of(order[equal_mass_cells(points[:, order], 4)])
    assert moved == cells


@pytest.mark.parametrize("stretch", [(2.0, 2.0, 2.0), (0.5, 0.5, 0.5)])
def test_a_moved_and_scaled_cloud_keeps_its_cells(stretch, generator):
    points = torch.randn(1, 256, 3, generator=generator)
    moved = points * torch.tensor(stretch) + torch.tensor([0.3, -2.0, 1.0])
    assert sets_of(equal_mass_cells(moved, 5)) == sets_of(equal_mass_cells(points, 5))


def test_cells_of_a_stretched_surface_correspond(generator):
    """The splits are tilted a little, so only nearly: each mean is that of the same cell."""
    points = torch.rand(1, 4096, 3, generator=generator) * 2 - 1
    stretch = torch.tensor([1.0, 0.8, 0.9])
    mean, stretched = (x[0][equal_mass_cells(x, 6)[0]].mean(1) for x in (points, points * stretch))
    gaps = torch.cdist(stretched / stretch, mean)
    assert torch.equal(gaps.argmin(1), torch.arange(64))
    assert gaps.diagonal().max() < 0.15


def test_two_draws_of_a_surface_have_nearly_the_same_means(generator):
    draws = torch.rand(2, 8192, 3, generator=generator)
    mean = draws[torch.arange(2)[:, None, None], equal_mass_cells(draws, 5)].mean(2)
    assert (mean[0] - mean[1]).norm(dim=1).max() < 0.05


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_plane_is_not_cut_by_the_order_of_its_points(axis, generator):
    """All its points share one coordinate, which carries no information without the tilt."""
    plane = torch.rand(1, 256, 3, generator=generator)
    plane[..., axis] = 0.5
    order = torch.randperm(256, generator=generator)
    cells = sets_of(equal_mass_cells(plane, 4))
    assert sets_of(order[equal_mass_cells(plane[:, order], 4)]) == cells


@pytest.mark.parametrize("count", [1, 3, 7, 8, 9, 100, 1000])
def test_any_number_of_points_has_cells(count, generator):
    points = torch.randn(2, count, 3, generator=generator)
    cells = equal_mass_cells(points, 3)
    assert cells.shape == (2, 8, max(1, count // 8))
    assert 0 <= int(cells.min()) <= int(cells.max()) < count
    times = torch.stack([row.flatten().bincount(minlength=count) for row in cells])
    # Left out or used again, but evenly: none more than twice as often as another.
    assert int(times.max()) <= 2 * max(1, int(times.min()))
    z = codec_of().encode(points)
    assert z.shape == (2, codec_of().code_dim)
    assert torch.isfinite(z).all()


def test_a_code_begins_with_the_means_of_its_cells(generator):
    points = torch.randn(2, 256, 3, generator=generator)
    codec = codec_of()
    code = codec.encode(points)
    mean = torch.stack(
        [torch.stack([x[list(s)].mean(0) for s in halved(range(256), x, split_axes(3), 0, 3)])
         for x in points]
    )  # fmt: skip
    assert codec.position_numbers == 8 * 3
    assert torch.allclose(code[:, : 8 * 3].view(2, 8, 3) / 4, mean, atol=1e-5)
    every = torch.arange(8 * 2).expand(2, -1)  # two components a patch
    _, told = codec.local(code, every)
    assert torch.allclose(told, mean.repeat_interleave(2, 1), atol=1e-5)


def test_what_a_patch_looks_like_does_not_depend_on_where_it_lies(generator):
    points = torch.randn(1, 256, 3, generator=generator)
    codec = codec_of()
    here, there = codec.encode(points), codec.encode(points + torch.tensor([5.0, -1.0, 2.0]))
    first = codec.position_numbers
    assert torch.allclose(here[:, first:], there[:, first:], atol=1e-4)
    moved = (there - here)[0, :first].view(8, 3) / 4
    assert torch.allclose(moved, torch.tensor([5.0, -1.0, 2.0]).expand(8, -1), atol=1e-4)


def test_a_patch_sees_its_own_neighbourhood_only(generator):
    """The codes of two clouds that differ in one corner differ in the patches there."""
    points = torch.rand(1, 1024, 3, generator=generator) * 2 - 1
    other = points.clone()
    far = (points[0] > 0.7).all(1)
    other[0, far] += 0.02 * torch.randn(int(far.sum()), 3, generator=generator)
    codec = codec_of(levels=4, cloud_points=1024)
    looks = [codec._parted(codec.encode(x))[1][0] for x in (points, other)]
    mean = codec._parted(codec.encode(points))[0][0]
    away = (mean < 0).any(1)
    assert torch.equal(looks[0][away], looks[1][away])
    assert not torch.equal(looks[0], looks[1])


def test_a_denser_cloud_is_read_off_as_large_a_neighbourhood(generator, monkeypatch):
    """Twice the points give twice the neighbours, so the same surface."""
    seen = []

    def pooled(around, *weights):
        seen.append(around.shape[2])
        return pooled_features(around, *weights)

    monkeypatch.setattr(patches, "pooled_features", pooled)
    for count in (64, 128, 640):
        codec = codec_of(levels=0, neighbours=16, cloud_points=128)
        codec.encode(torch.randn(1, count, 3, generator=generator))
    assert seen == [8, 16, 80]


def test_local_gathers_the_patch_of_each_component(generator):
    codec = codec_of(levels=2, parts=3)
    code = torch.randn(2, codec.code_dim, generator=generator)
    part = torch.randint(12, (2, 50), generator=generator)
    looks, mean = codec.local(code, part)
    for cloud in range(2):
        for point in range(50):
            patch = int(part[cloud, point]) // 3
            at = 4 * 3 + 4 * patch
            assert torch.equal(looks[cloud, point], code[cloud, at : at + 4])
            assert torch.equal(mean[cloud, point], code[cloud, 3 * patch : 3 * patch + 3] / 4)


def test_components_lie_beside_their_patch_and_patches_weigh_the_same(generator):
    codec = codec_of(levels=2, parts=3)
    code = torch.randn(2, codec.code_dim, generator=generator)
    mixture = codec.decode(code)
    assert isinstance(mixture, MixtureBatch)
    weight = mixture.log_weight.exp().view(2, 4, 3).sum(2)
    assert torch.allclose(weight, torch.full((2, 4), 0.25), atol=1e-6)
    moved = code.clone()
    moved[:, 3:6] += 4.0  # the second patch by one, and nothing else
    step = (codec.decode(moved).centre - mixture.centre).view(2, 4, 3, 3)
    expected = torch.zeros(2, 4, 3, 3)
    expected[:, 1] = 1
    assert torch.allclose(step, expected, atol=1e-5)


def test_a_code_is_the_maximum_of_the_layers_in_the_state(generator):
    """The names of the layers are those of stored runs, and their gradients torch's own."""
    points = torch.randn(2, 256, 3, generator=generator)
    codec = codec_of()
    names = [name for name in codec.state_dict() if name.startswith("point.")]
    assert names == ["point.0.weight", "point.0.bias", "point.2.weight", "point.2.bias"]
    code = codec.encode(points)
    weights = list(codec.point.parameters())
    found = torch.autograd.grad(code.square().sum(), weights)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(patches, "pooled_features", lambda x, *_: codec.point(x).max(2).values)
        expected = codec.encode(points)
        slopes = torch.autograd.grad(expected.square().sum(), weights)
    assert torch.allclose(code, expected, atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(found, slopes, strict=True))


@pytest.mark.parametrize("dim", [2, 3])
def test_components_before_training_cover_the_surface_between_the_means(dim, generator):
    """The spread of components about a mean is the distance between patches."""
    codec = codec_of(dim, levels=6, parts=4)
    points = torch.nn.functional.normalize(torch.randn(1, 2048, dim, generator=generator), dim=-1)
    code = codec.encode(points)
    mixture = codec.decode(code)
    mean, _ = codec._parted(code)
    off = mixture.centre.view(1, 64, 4, dim) - mean[:, :, None]
    assert 0.05 < off.detach().norm(dim=-1).mean() / codec.scale < 1.5


def test_tokens_do_not_depend_on_the_order_of_the_points(generator):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        codec = TokenCodec(4, 3, 32, 0.01, torch.zeros(8, 3))
    points = torch.rand(2, 100, 3, generator=generator)
    order = torch.randperm(100, generator=generator)
    code = codec.encode(points)
    assert code.shape == (2, codec.code_dim) == (2, 12)
    assert torch.allclose(code, codec.encode(points[:, order]), atol=1e-5)
    for count in (1, 5000):
        assert torch.isfinite(codec.encode(points[:, :1].expand(-1, count, -1))).all()


def test_every_token_tells_of_all_components(generator):
    """It depends on its own points and, by attention, on those of the others."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        codec = TokenCodec(4, 3, 32, 0.01, torch.randn(8, 3))
    code = torch.randn(1, 12, generator=generator)
    other = code.clone()
    other[:, 3:6] += 1  # the second token
    moved = (codec.decode(other).centre - codec.decode(code).centre).norm(dim=-1)[0]
    assert (moved > 0).all()
    assert moved[2:4].min() > moved[[0, 1, 4, 5, 6, 7]].max()
