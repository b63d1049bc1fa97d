"""Small families of shapes for the tests: boxes and ellipsoids of varying proportions."""

import numpy as np

from pcgen.evaluate.cloud_sets import CloudSet


def surfaces(count, points=64, *, seed=0, draws=1):
    """``draws`` independent samplings (draws, count, points, 3) of random ellipsoid surfaces."""
    rng = np.random.default_rng(seed)
    sides = rng.uniform(0.2, 1, (count, 1, 3))
    sides /= sides.max(2, keepdims=True)
    clouds = rng.normal(size=(draws, count, points, 3))
    clouds /= np.linalg.norm(clouds, axis=3, keepdims=True)
    return (clouds * sides).astype(np.float32)


def blobs(count, points=80, *, seed=0, draws=1):
    """Clouds without symmetry (draws, count, points, 3): a few balls at random places each."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-1, 1, (count, 5, 3))
    part = rng.integers(0, 5, (count, points))
    centres = places[np.arange(count)[:, None], part]
    noise = 0.1 * rng.normal(size=(draws, count, points, 3))
    return (centres + noise).astype(np.float32)


def some(count, points=64, *, seed=0, category=None):
    clouds = surfaces(count, points, seed=seed)[0]
    names = np.zeros(0, "U1") if category is None else np.asarray(category)
    return CloudSet(points=clouds, category=names)
