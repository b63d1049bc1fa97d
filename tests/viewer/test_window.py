"""The window for real, under Xvfb with the software driver: drawn, driven by events, looked at."""

import numpy as np
import pytest

from pcgen.shapes.samples import Samples
from tests.boxes import boxes
from tests.viewer.screen import MISSING, Screen

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]


def blue(picture):
    """Share of pixels in the colour of points."""
    return (picture[..., 2] - picture[..., 0] > 30).mean()


def unlike(before):
    """Whether a picture of the scene, left of the panel, differs clearly."""
    return lambda now: (np.abs(now - before)[:, :900].max(-1) > 30).mean() > 0.005


@pytest.fixture
def screen(tmp_path):
    points, normals = boxes(2, 2000, seed=3)
    names = np.array(["box", "box"])
    Samples(points=points, category=names, meta={}, normals=normals).save(tmp_path / "s.npz")
    screen = Screen(tmp_path, "s.npz")
    yield screen
    screen.close()


def test_the_window_draws_turns_and_answers_keys_and_clicks(screen, tmp_path):
    first = screen.wait(lambda picture: 0.01 < blue(picture) < 0.9)
    turn = lambda: screen.drag((450, 430), (600, 460))  # noqa: E731
    turn()
    turned = screen.wait(unlike(first), again=turn)
    screen.key("n")
    second = screen.wait(unlike(turned))
    screen.key("l")
    screen.wait(unlike(second))
    screen.key("c")
    hidden = screen.wait(lambda picture: blue(picture) < 0.5 * blue(second))
    screen.key("c")
    screen.wait(unlike(hidden))
    screen.key("s")
    saved = tmp_path / "pcgen-view-001.png"
    screen.wait(lambda _: saved.exists())
    assert "Traceback" not in (tmp_path / "log.txt").read_text()
