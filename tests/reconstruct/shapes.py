"""Clouds of surfaces with known answers, all seeded."""

import numpy as np

from pcgen.reconstruct.cloud import prepare_cloud


def sphere(count, seed=0, radius=1.0):
    """Points and outward normals."""
    normals = np.random.default_rng(seed).normal(size=(count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return radius * normals, normals


def torus(count, seed=0, large=1.0, small=0.4):
    rng = np.random.default_rng(seed)
    u = rng.random(4 * count) * 2 * np.pi
    v = rng.random(4 * count) * 2 * np.pi
    # The area element grows with the distance from the axis: accept in proportion.
    kept = np.flatnonzero(rng.random(4 * count) < (large + small * np.cos(v)) / (large + small))
    u, v = u[kept[:count]], v[kept[:count]]
    normals = np.stack([np.cos(v) * np.cos(u), np.cos(v) * np.sin(u), np.sin(v)], axis=1)
    ring = np.stack([np.cos(u), np.sin(u), np.zeros_like(u)], axis=1)
    return large * ring + small * normals, normals


def box(count, seed=0, half=(1.0, 0.6, 0.4)):
    rng = np.random.default_rng(seed)
    half = np.asarray(half)
    areas = np.array([half[1] * half[2], half[0] * half[2], half[0] * half[1]])
    axis = rng.choice(3, count, p=areas / areas.sum())
    sign = rng.choice([-1.0, 1.0], count)
    points = rng.uniform(-half, half, (count, 3))
    points[np.arange(count), axis] = sign * half[axis]
    normals = np.zeros((count, 3))
    normals[np.arange(count), axis] = sign
    return points, normals


def square(count, seed=0):
    """An open sheet in the plane z = 0."""
    rng = np.random.default_rng(seed)
    points = np.zeros((count, 3))
    points[:, :2] = rng.uniform(-1, 1, (count, 2))
    return points, np.tile([0.0, 0.0, 1.0], (count, 1))


def tube(count, seed=0, radius=0.5):
    """A cylinder open at both ends, about the axis y."""
    rng = np.random.default_rng(seed)
    angle, height = rng.uniform(0, 2 * np.pi, count), rng.uniform(-1, 1, count)
    normals = np.stack([np.cos(angle), np.zeros(count), np.sin(angle)], axis=1)
    return radius * normals + height[:, None] * [0.0, 1.0, 0.0], normals


def noisy(points, share, seed=1):
    """Points moved by ``share`` of their spacing."""
    spacing = prepare_cloud(points).spacing * np.ptp(points, axis=0).max() / 2
    return points + share * spacing * np.random.default_rng(seed).normal(size=points.shape)


def unsigned(normals, degrees=25, seed=3):
    """As a run predicts them: of any sign, and tilted by some degrees."""
    rng = np.random.default_rng(seed)
    tilted = normals + np.tan(np.radians(degrees)) / 2**0.5 * rng.normal(size=normals.shape)
    tilted /= np.linalg.norm(tilted, axis=1, keepdims=True)
    return tilted * rng.choice([-1.0, 1.0], (len(normals), 1))
