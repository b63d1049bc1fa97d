"""A small family of shapes for tests: boxes of different sides, points on their surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def boxes(
    count: int, points: int, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(count, points, 3) uniform surface points of random boxes, and their normals."""
    rng = np.random.default_rng(seed)
    clouds, normals = [], []
    for _ in range(count):
        sides = rng.uniform(0.3, 1.0, 3)
        area = np.array([sides[1] * sides[2], sides[0] * sides[2], sides[0] * sides[1]])
        axis = rng.choice(3, points, p=area / area.sum())
        sign = rng.choice([-1.0, 1.0], points)
        cloud = rng.uniform(-1, 1, (points, 3))
        rows = np.arange(points)
        cloud[rows, axis] = sign
        normal = np.zeros((points, 3))
        normal[rows, axis] = sign
        clouds.append(cloud * sides)
        normals.append(normal)
    return np.array(clouds, np.float32), np.array(normals, np.float32)
