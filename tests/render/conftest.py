"""Shapes with known pictures."""

import numpy as np
import pytest


@pytest.fixture
def sphere_points():
    """1,500 points evenly on the unit sphere (a Fibonacci spiral); they are their own normals."""
    k = np.arange(1500) + 0.5
    height, angle = 1 - 2 * k / 1500, np.pi * (1 + np.sqrt(5)) * k
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(angle), height, ring * np.sin(angle)], 1)


@pytest.fixture
def box_mesh():
    """The cube [-1, 1]³: 8 vertices, 12 triangles facing outwards."""
    import trimesh

    mesh = trimesh.creation.box((2, 2, 2))
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)
