"""The frames of the benchmark find the copies that they are for."""

import numpy as np
import pytest

from tests.benchmarks.other_frames import FRAMES, Array, Training


def surfaces(seed: int) -> Array:
    """Eight surfaces (8, 512, 3), the same ones for any seed of their points."""
    draw = np.random.default_rng(seed)
    points = draw.normal(size=(8, 512, 3))
    points /= np.linalg.norm(points, axis=2, keepdims=True)
    waves = np.random.default_rng(7).normal(size=(8, 3, 4))
    return (points * (1 + 0.3 * np.sin(3 * points @ waves).sum(2, keepdims=True))).astype("f4")


def replayed(frame: str, clouds: Array) -> float:
    of = FRAMES[frame]
    first, again = (np.stack([of(cloud) for cloud in surfaces(seed)]) for seed in (0, 1))
    distance, noise = Training(first, again, frame == "collage").measure(
        np.stack([of(cloud) for cloud in clouds])
    )
    return float((distance < 1.2 * noise).mean())


LEANING = np.array([[1, 0, 0], [0.8, 0.6, 0.5], [0, 0, 1.2]], np.float32)


@pytest.mark.parametrize("frame", FRAMES)
def test_another_sampling_is_a_replay(frame):
    assert replayed(frame, surfaces(2)) >= 0.7


def test_only_whitening_finds_leaning_copies():
    leaning = surfaces(2) @ LEANING
    assert replayed("whitened", leaning) >= 0.7
    assert replayed("cube", leaning) <= 0.3


def test_only_collages_find_two_shapes_joined_at_a_plane():
    lower = np.stack([FRAMES["cube"](cloud) for cloud in surfaces(2)])
    joined = []
    for a, b in zip(lower, np.roll(lower, 1, axis=0), strict=True):
        parts = np.concatenate([a[a[:, 1] < 0], b[b[:, 1] >= 0]])
        joined.append(parts[np.arange(512) % len(parts)])
    assert replayed("collage", np.array(joined)) >= 0.5
    assert replayed("cube", np.array(joined)) <= 0.1
