"""Meshes of latents, by a field of a sphere."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pcgen import pipeline, runtime
from pcgen.errors import InputError, MeshError
from pcgen.model import meshing
from pcgen.model.surfaces import LatentMesher
from pcgen.reconstruct.batch import NamedCloud, mesh_all
from pcgen.reconstruct.methods import MeshSettings, reconstruct
from pcgen.reconstruct.topology import topology
from pcgen.shapes.category_frames import SourceFrame

EXTENTS = torch.tensor([1.0, 0.5, 0.25])


def sphere(z, x):
    """With a bubble beside it and a hollow in it."""
    ball = x.norm(dim=-1) - 0.8
    bubble = (x - torch.tensor([1.0, 1.0, 1.0])).norm(dim=-1) - 0.1
    hollow = 0.2 - x.norm(dim=-1)
    return torch.maximum(torch.minimum(ball, bubble), hollow)


@pytest.fixture
def made():
    """Without the networks of a run."""
    result = LatentMesher.__new__(LatentMesher)
    result._device = "cpu"
    result._field = SimpleNamespace(
        patch_features=lambda z: (z, z), at=lambda a, b, x: sphere(a, x)
    )
    result._autoencoder = SimpleNamespace(extents=lambda z: EXTENTS[None])
    return result


def test_a_mesh_is_one_closed_piece_in_the_proportions_of_the_latent(made):
    mesh = made.mesh(torch.zeros(5), 64)
    found = topology(mesh.vertices, mesh.faces)
    assert (found.manifold, found.components, found.genus) == (True, 1, 0)
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    assert np.allclose(high, 0.8 * EXTENTS.numpy(), atol=5e-3)
    assert np.allclose(low, -high, atol=5e-3)


def test_a_higher_resolution_is_closer(made):
    def error(cells):
        mesh = made.mesh(torch.zeros(5), cells)
        return np.abs(np.linalg.norm(mesh.vertices / EXTENTS.numpy(), axis=1) - 0.8).max()

    assert error(96) < error(16) / 2


@pytest.mark.parametrize("wrong", [0, 10_000])
def test_a_resolution_out_of_range_is_refused(made, wrong):
    with pytest.raises(InputError, match="from 16 to 384"):
        made.mesh(torch.zeros(5), wrong)
    with pytest.raises(InputError, match="from 16 to 384"):
        MeshSettings(resolution=wrong)


def test_a_latent_without_inside_is_told(made):
    made._field.at = lambda a, b, x: torch.ones(x.shape[:2])
    with pytest.raises(MeshError, match="no interior"):
        made.mesh(torch.zeros(5))


def test_clouds_of_a_run_with_a_field_are_meshed_by_it(made, tmp_path, monkeypatch):
    model = SimpleNamespace(surfaces=made, latent_dim=5)
    devices = []
    monkeypatch.setattr(meshing, "_loaded", lambda run, device: devices.append(device) or model)
    monkeypatch.setattr(meshing, "has_field", lambda run: run == "runs/one")
    rng = np.random.default_rng(0)
    ball = rng.normal(size=(400, 3))
    points = 0.8 * EXTENTS.numpy() * ball / np.linalg.norm(ball, axis=1, keepdims=True)
    clouds = [
        NamedCloud(
            name="drawn", points=points, run="runs/one", latent=np.zeros(5), frame=SourceFrame(10.0)
        ),
        NamedCloud(name="scan", points=points),
    ]
    settings = MeshSettings(method="field", resolution=32)
    found = mesh_all(meshing.with_surfaces(clouds[:1], "cuda:1"), tmp_path, settings=settings)
    assert devices == ["cuda:1"]
    report = found["meshes"][0]["report"]
    assert report["method"] == "field"
    ball_area = 4 * np.pi * 0.8**2
    assert report["area"] > 50 * ball_area * float(EXTENTS.min()) ** 2  # in its own unit
    mixed = mesh_all(meshing.with_surfaces(clouds), tmp_path / "mixed", settings=settings)
    assert "no latent" in mixed["meshes"][1]["error"]
    clouds = clouds[:1]
    assert mesh_all(meshing.with_surfaces(clouds), tmp_path, settings=settings)["resumed"] == 1
    other = [NamedCloud(name="drawn", points=points, run="runs/one", latent=np.ones(5))]
    assert mesh_all(meshing.with_surfaces(other), tmp_path, settings=settings)["resumed"] == 0


def test_a_device_is_for_the_field_and_one_process(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "pick_device", lambda name: "cuda:0")
    for method, work, message in (
        ("implicit", {}, "only the method field"),
        ("field", {"workers": 2}, "one process"),
        ("field", {"ray": "auto"}, "one process"),
    ):
        with pytest.raises(InputError, match=message):
            pipeline.mesh(tmp_path / "x.npz", tmp_path, method=method, device="cuda", **work)


def test_the_field_is_refused_for_clouds_from_elsewhere():
    with pytest.raises(InputError, match="no latent"):
        reconstruct(
            np.random.default_rng(0).normal(size=(50, 3)), None, MeshSettings(method="field")
        )
