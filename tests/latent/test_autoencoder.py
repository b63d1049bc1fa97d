"""Invariances of the encoders, and that a few steps learn."""

import pytest
import torch

from pcgen.errors import InputError
from pcgen.latent.augment import augment
from pcgen.latent.autoencoder import (
    FLATTEST,
    Autoencoder,
    AutoencoderSettings,
    proportions,
)
from pcgen.latent.encoder import ENCODERS, build_encoder

KINDS = list(ENCODERS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_latent_does_not_depend_on_the_order_of_points(kind, generator):
    encoder = build_encoder(kind, 3, 16, 32)
    points = torch.rand(2, 100, 3, generator=generator)
    shuffled = points[:, torch.randperm(100, generator=generator)]
    assert torch.allclose(encoder(points), encoder(shuffled), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_points_can_be_encoded(kind, generator):
    encoder = build_encoder(kind, 3, 16, 32)
    for count in (1, 50, 3000):
        z = encoder(torch.rand(1, count, 3, generator=generator))
        assert z.shape == (1, 16)
        assert torch.isfinite(z).all()


def test_basis_points_of_a_denser_sample_of_one_surface_are_nearly_the_same(generator):
    encoder = build_encoder("basis-points", 3, 16, 32)
    sphere = torch.nn.functional.normalize(torch.randn(1, 20_000, 3, generator=generator), dim=-1)
    other = torch.nn.functional.normalize(torch.randn(1, 20_000, 3, generator=generator), dim=-1)
    change = (encoder(sphere) - encoder(other)).norm() / encoder(sphere).norm()
    assert change < 0.02


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [2, 3])
def test_some_steps_raise_the_likelihood(kind, dim, generator):
    settings = AutoencoderSettings(encoder=kind, latent_dim=8, width=64, parts=16, points=128)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Autoencoder(settings, torch.randn(16, dim, generator=generator) * 0.3)
    circle = torch.randn(4, 256, dim, generator=generator)
    shapes = torch.nn.functional.normalize(circle, dim=-1) * torch.tensor(
        [0.3, 0.5, 0.7, 0.9]
    ).view(4, 1, 1)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(80):
        loss = model.loss(shapes[:, torch.randperm(256, generator=generator)], generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.4


def small_model(generator, dim=3):
    settings = AutoencoderSettings(latent_dim=8, width=32, parts=16)
    return Autoencoder(settings, torch.randn(16, dim, generator=generator) * 0.3)


def test_a_stretched_shape_keeps_its_code_and_decodes_stretched(generator):
    model = small_model(generator)
    cube = torch.rand(2, 400, 3, generator=generator) * 2 - 1
    cube[:, 0], cube[:, 1] = -1, 1  # it fills the box exactly
    sizes = torch.tensor([[1.0, 0.5, 0.25], [0.4, 1.0, 0.8]])
    z, flat = model.encode(cube), model.encode(cube * sizes[:, None])
    assert torch.allclose(flat[:, :-3], z[:, :-3], atol=1e-4)
    assert torch.allclose((flat[:, -3:] - z[:, -3:]).diff(dim=1), 2 * sizes.log().diff(dim=1))
    whole, stretched = model.decode(z), model.decode(flat)
    ratio = stretched.centre / whole.centre
    assert torch.allclose(ratio, sizes[:, None].expand_as(ratio), rtol=1e-3)


def test_a_flat_shape_is_not_stretched_to_the_size_of_the_box(generator):
    sheet = torch.rand(1, 200, 3, generator=generator) * torch.tensor([2.0, 0.001, 1.0])
    assert proportions(sheet)[0, 1] == FLATTEST
    assert torch.isfinite(small_model(generator).encode(sheet)).all()


def test_latent_noise_leaves_the_proportions_alone(generator):
    model = small_model(generator)
    z = torch.randn(5, 8, generator=generator)
    moved = model.noisy(z, generator)
    assert torch.equal(moved[:, -3:], z[:, -3:])
    assert (moved[:, :-3] != z[:, :-3]).all()


def test_a_latent_without_room_for_a_code_is_refused(generator):
    with pytest.raises(InputError, match="more than the 3"):
        Autoencoder(AutoencoderSettings(latent_dim=3), torch.zeros(4, 3))


def test_an_unknown_encoder_is_named():
    with pytest.raises(InputError, match="basis-points"):
        build_encoder("transformer", 3, 8, 8)


def test_augmented_clouds_fill_the_box_and_keep_unit_normals(generator):
    points = torch.rand(8, 500, 3, generator=generator) * 2 - 1
    normals = torch.nn.functional.normalize(torch.randn(8, 500, 3, generator=generator), dim=-1)
    moved, turned = augment(points, 0.2, generator, normals)
    assert torch.allclose(moved.abs().amax((1, 2)), torch.ones(8), atol=1e-5)
    assert torch.allclose(turned.norm(dim=-1), torch.ones(8, 500), atol=1e-5)


def test_augmented_normals_stay_normal_to_the_augmented_plane(generator):
    plane = torch.rand(4, 300, 3, generator=generator) * 2 - 1
    normal = torch.nn.functional.normalize(torch.tensor([0.3, 0.9, -0.4]), dim=0)
    plane = plane - (plane @ normal)[..., None] * normal
    moved, turned = augment(plane, 0.3, generator, normal.expand(4, 300, 3))
    along = moved[:, 1:] - moved[:, :1]
    assert (along * turned[:, 1:]).sum(-1).abs().max() < 1e-4


def test_no_augmentation_gives_the_points_back(generator):
    points = torch.rand(2, 10, 3, generator=generator)
    assert augment(points, 0.0, generator)[0] is points
