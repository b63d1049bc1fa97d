"""Zero levels of values on a grid, and the waves taken off them."""

from itertools import product

import numpy as np
import pytest

from pcgen.reconstruct import flatten
from pcgen.reconstruct.flatten import flattened
from pcgen.reconstruct.report import volume
from pcgen.reconstruct.self_intersections import crossing_faces
from pcgen.reconstruct.surface_nets import surface_nets, well_composed
from pcgen.reconstruct.topology import topology


def values_of_box(half, cells=40, noise=0.0):
    """Signed distances in cells to a box in the cube [-1, 1]³."""
    axis = (2 * np.arange(cells + 1) / cells - 1) * cells / 2
    place = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    values = (np.abs(place) - np.asarray(half) * cells / 2).max(axis=-1)
    return values + noise * np.random.default_rng(0).normal(size=values.shape)


def test_any_values_give_a_closed_manifold():
    values = np.random.default_rng(0).normal(size=(12, 12, 12)).astype(np.float32)
    values[::5] = 0.0  # a level that passes through corners
    for side in (values, values.transpose(1, 0, 2), values.transpose(2, 0, 1)):
        side[[0, -1]] = 1
    found = topology(*surface_nets(values))
    assert found.watertight
    assert found.manifold


def test_a_box_has_its_volume_and_faces_outwards():
    vertices, faces = surface_nets(values_of_box((0.71, 0.52, 0.33)))
    assert volume(vertices, faces) == pytest.approx(0.71 * 0.52 * 0.33 * 40**3, rel=0.02)
    found = topology(vertices, faces)
    assert (found.manifold, found.components, found.genus) == (True, 1, 0)


def test_no_two_nodes_touch_across_a_diagonal_only():
    before = np.random.default_rng(1).random((9, 9, 9)) < 0.3
    after = well_composed(before)
    assert after[before].all()
    assert not after.all()
    for x, y, z in product(range(8), repeat=3):
        cube = after[x : x + 2, y : y + 2, z : z + 2]
        for square in (*cube, *cube.transpose(1, 0, 2), *cube.transpose(2, 0, 1)):
            assert not (square[0, 0] == square[1, 1] != square[0, 1] == square[1, 0])
        for kind in (cube, ~cube):
            ends = np.argwhere(kind)
            assert not (len(ends) == 2 and np.abs(ends[0] - ends[1]).sum() == 3)


def test_waves_are_taken_off_a_noisy_box():
    def off(vertices, faces):
        """Mean sine of the angle between faces and the nearest side, by area."""
        a, b, c = (vertices[faces[:, i]] for i in range(3))
        normal = np.cross(b - a, c - a)
        size = np.linalg.norm(normal, axis=1)
        return np.sqrt(size**2 - np.abs(normal).max(axis=1) ** 2).sum() / size.sum()

    vertices, faces = surface_nets(values_of_box((0.71, 0.52, 0.33), noise=0.2))
    flat = flattened(vertices, faces)
    assert off(flat, faces) < 0.6 * off(vertices, faces)
    assert np.linalg.norm(flat - vertices, axis=1).max() < 1
    before, after = (volume(points, faces) for points in (vertices, flat))
    assert after == pytest.approx(before, rel=0.02)


def test_faces_that_would_fold_over_stay(monkeypatch):
    vertices, faces = surface_nets(values_of_box((0.71, 0.52, 0.06), noise=0.6))
    assert not len(crossing_faces(vertices, faces))
    assert len(crossing_faces(flattened(vertices, faces), faces)) <= 2
    monkeypatch.setattr(flatten, "PUT_BACK", 0)
    assert len(crossing_faces(flattened(vertices, faces), faces)) > 20
