"""Invariances of the encoders, and a few steps reduce the loss."""

import dataclasses
import subprocess
import sys

import pytest
import torch

from pcgen.errors import InputError
from pcgen.latent.augment import augment
from pcgen.latent.autoencoder import (
    CODECS,
    FLATTEST,
    Autoencoder,
    AutoencoderSettings,
    proportions,
)
from pcgen.latent.encoder import ENCODERS, build_encoder
from pcgen.latent.mixture import MixtureBatch

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


@pytest.mark.parametrize("kind", CODECS)
@pytest.mark.parametrize("dim", [2, 3])
def test_some_steps_raise_the_likelihood(kind, dim, generator):
    settings = AutoencoderSettings(
        encoder=kind, latent_dim=8, width=64, parts=16, points=128, scored=128, levels=3, code=4,
        neighbours=16, patch_width=32, tokens=8,
    )  # fmt: skip
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


def small_model(generator, kind="basis-points", dim=3):
    settings = AutoencoderSettings(
        encoder=kind, latent_dim=8, width=32, parts=16, points=256, scored=128, levels=3, code=4,
        neighbours=12, patch_width=16, tokens=4,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Autoencoder(settings, torch.randn(16, dim, generator=generator) * 0.3)


@pytest.mark.parametrize("kind", CODECS)
def test_a_stretched_shape_keeps_its_code_and_decodes_stretched(kind, generator):
    model = small_model(generator, kind)
    cube = torch.rand(2, 400, 3, generator=generator) * 2 - 1
    cube[:, 0], cube[:, 1] = -1, 1  # it fills the box exactly
    sizes = torch.tensor([[1.0, 0.5, 0.25], [0.4, 1.0, 0.8]])
    z, flat = model.encode(cube), model.encode(cube * sizes[:, None])
    assert torch.allclose(flat[:, :-3], z[:, :-3], atol=1e-4)
    assert torch.allclose((flat[:, -3:] - z[:, -3:]).diff(dim=1), 2 * sizes.log().diff(dim=1))
    whole, stretched = model.decode(z), model.decode(flat)
    assert torch.allclose(stretched.centre, whole.centre * sizes[:, None], rtol=1e-3, atol=1e-5)


def test_a_flat_shape_is_not_stretched_to_the_size_of_the_box(generator):
    sheet = torch.rand(1, 200, 3, generator=generator) * torch.tensor([2.0, 0.001, 1.0])
    assert proportions(sheet)[0, 1] == FLATTEST
    assert torch.isfinite(small_model(generator).encode(sheet)).all()


@pytest.mark.parametrize("kind", CODECS)
def test_noise_leaves_proportions_and_positions_alone_and_is_as_strong_as_asked(kind, generator):
    model = small_model(generator, kind)
    z = torch.randn(500, model.latent_dim, generator=generator)
    added = model.noisy(z, generator) - z
    first = 8 * 3 if kind == "patches" else 0
    assert (added[:, :first] == 0).all()
    assert (added[:, -3:] == 0).all()
    assert added[:, first:-3].std() == pytest.approx(model.settings.latent_noise, rel=0.05)


@pytest.mark.parametrize("kind", CODECS)
def test_the_loss_scores_points_that_were_not_encoded(kind, generator, monkeypatch):
    """Two thirds and one third here, of as many points as there are."""
    model, seen = small_model(generator, kind), []
    encode, score = model.codec.encode, MixtureBatch.log_likelihood
    monkeypatch.setattr(model.codec, "encode", lambda x: seen.append(x) or encode(x))
    monkeypatch.setattr(
        MixtureBatch, "log_likelihood", lambda self, x: seen.append(x) or score(self, x)
    )
    points = torch.rand(2, 90, 3, generator=generator) * 2 - 1
    assert torch.isfinite(model.loss(points, generator))
    encoded, scored = seen
    assert torch.allclose(encoded * proportions(points)[:, None], points[:, :60], atol=1e-6)
    assert torch.equal(scored, points[:, 60:])


@pytest.mark.parametrize("kind", CODECS)
def test_refined_latents_are_more_likely_and_keep_their_proportions(kind, generator):
    model = small_model(generator, kind)
    points = torch.rand(3, 1200, 3, generator=generator) * torch.tensor([2.0, 1.0, 0.5])
    again = torch.rand(3, 1200, 3, generator=generator) * torch.tensor([2.0, 1.0, 0.5])
    with torch.no_grad():  # as its callers work
        before = model.encode(points)
        assert torch.equal(model.refined(points), before)  # a run from before
        model.settings = dataclasses.replace(model.settings, refinement=24)
        after = model.refined(points)
        assert torch.equal(after[:, -3:], before[:, -3:])
        first, second = (model.decode(z).log_likelihood(again) for z in (before, after))
        assert (second > first + 0.1).all()
        alone = torch.cat([model.refined(cloud[None]) for cloud in points])
    assert torch.allclose(alone, after, atol=1e-3)
    assert not after.requires_grad
    with torch.inference_mode():
        assert torch.allclose(model.refined(points), after, atol=1e-3)
    few = points[:, : model.settings.points - 1]
    assert torch.equal(model.refined(few), model.encode(few))


def test_points_of_a_scan_are_refined_as_in_any_order(generator):
    """Every 64th point of these rows of 64 lies on one line, and 24 steps would see 24 lines."""
    model = small_model(generator, "patches")
    model.settings = dataclasses.replace(model.settings, refinement=24)
    along, across = torch.linspace(-1, 1, 512), torch.linspace(-1, 1, 64)
    scan = torch.cartesian_prod(along, across, torch.zeros(1))[None]
    mixed = scan[:, torch.randperm(scan.shape[1], generator=generator)]
    with torch.no_grad():
        first, second = (
            model.decode(model.refined(cloud)).log_likelihood(scan) for cloud in (scan, mixed)
        )
    assert abs(float(first - second)) < 0.05


def test_a_latent_without_room_for_a_code_is_refused(generator):
    with pytest.raises(InputError, match="more than the 3"):
        Autoencoder(AutoencoderSettings(encoder="attention", latent_dim=3), torch.zeros(4, 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "magic"}, "patches, tokens, basis-points"),
        ({"levels": 13}, "levels <= 12"),
        ({"patch_width": 3}, "patch_width >= 4"),
        (
            {"encoder": "tokens", "tokens": 7, "parts": 16},
            "16 parts cannot be divided evenly among 7",
        ),
        ({"scored": 0}, "scored must be at least 1"),
        ({"neighbours": 0}, "neighbours must be at least 1"),
        ({"thickness": 0.0}, "thickness must be positive"),
        ({"refinement": -1}, "refinement must be at least 0"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_words(changes, message):
    with pytest.raises(InputError, match=message):
        AutoencoderSettings(**changes)


@pytest.mark.parametrize("kind", CODECS)
@pytest.mark.parametrize("dim", [2, 3])
def test_weights_tell_the_dimension_of_the_points(kind, dim, generator):
    model = small_model(generator, kind, dim)
    again = Autoencoder.trained(model.settings, model.state_dict())
    points = torch.rand(1, 300, dim, generator=generator)
    assert (again.dim, again.latent_dim) == (dim, model.latent_dim)
    # Attention takes another way without gradients, with other last bits.
    assert torch.allclose(again.encode(points), model.encode(points), atol=1e-5)
    other = dataclasses.replace(model.settings, code=5, latent_dim=12)
    with pytest.raises(ValueError, match="to a different network"):
        Autoencoder.trained(other, model.state_dict())


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


@pytest.mark.slow
def test_the_default_model_is_built_without_torchs_compiler():
    code = (
        "import sys, torch\n"
        "from pcgen.latent.autoencoder import Autoencoder, AutoencoderSettings\n"
        "with torch.device('meta'):\n"
        "    Autoencoder(AutoencoderSettings(), torch.zeros(256, 3))\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
