"""The real window, under Xvfb with the software driver: drawing and events."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from pcgen import pipeline
from pcgen.render.inputs import open_collection
from pcgen.shapes.samples import Samples
from tests.boxes import boxes
from tests.datasets import write_dataset
from tests.viewer.screen import MISSING, Screen

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]


def blue(picture):
    """Share of pixels in the colour of points."""
    return (picture[..., 2] - picture[..., 0] > 30).mean()


def scene(picture):
    """The middle of the scene, without the captions and the panel."""
    return picture[220:740, :900]


def unlike(before):
    """Whether a picture of the scene differs clearly."""
    return lambda now: (np.abs(scene(now) - scene(before)).max(-1) > 30).mean() > 0.005


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


def test_a_window_that_crashes_ends_the_command_with_one_line(screen, tmp_path):
    screen.wait(lambda picture: 0.01 < blue(picture) < 0.9)
    parent = screen.program.pid
    (child,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    os.kill(int(child), signal.SIGSEGV)
    assert screen.program.wait(60) == 2
    last = (tmp_path / "log.txt").read_text().splitlines()[-1]
    assert "the window crashed (signal 11)" in last
    assert "pcgen gallery s.npz" in last


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    clouds, normals = boxes(16, 1200, 0)
    folder = tmp_path_factory.mktemp("run")
    write_dataset(folder / "boxes", clouds, categories=["box"] * 16, splits=["train"] * 16,
                  normals=normals)  # fmt: skip
    pipeline.train(folder / "boxes", folder / "run", preset="cpu-tiny", threads=1)
    return folder / "run"


@pytest.fixture
def run_screen(run, tmp_path):
    screen = Screen(tmp_path, run)
    yield screen
    screen.close()


def test_a_run_is_scrubbed_pinned_blended_coloured_and_exported(run_screen, tmp_path):
    screen = run_screen
    sliders = lambda count: lambda picture: len(screen.sliders(picture)) == count  # noqa: E731
    first = screen.wait(lambda picture: blue(picture) > 0.01 and sliders(3)(picture))

    # The slider of the flow, from the shape half way to the base.
    _, (x, y), _ = screen.sliders(first)
    scrub = lambda: screen.drag((x, y), (x - 100, y))  # noqa: E731
    scrub()
    screen.wait(lambda now: screen.sliders(now)[1][0] < x - 60 and unlike(first)(now), again=scrub)

    # A new sample is a shape again; both are pinned, which frees the slider between them.
    screen.key("a")
    screen.key("n")
    second = screen.wait(
        lambda now: screen.sliders(now)[1:2] == [(x, y)] and unlike(first)(now),
        again=lambda: screen.key("n"),
    )
    screen.key("b")
    pinned = screen.wait(sliders(4), again=lambda: screen.key("b"))
    _, (x, y), _, _ = screen.sliders(pinned)
    blend = lambda: screen.drag((x, y), (x + 60, y))  # noqa: E731
    blend()
    blended = screen.wait(unlike(second), again=blend)

    screen.key("k")  # by height: no longer all of one blue
    screen.wait(unlike(blended))
    screen.key("t")  # the nearest training shape beside it
    screen.wait(lambda now: (now[..., 0] - now[..., 2] > 30).mean() > 0.01)

    # Files are written where the program was started, and are what their names say.
    for key, pattern, has_mesh in (("1", "*.glb", True), ("6", "*.xyz", False)):
        screen.key("e")
        screen.key(key)
        screen.wait(lambda _, pattern=pattern: any(tmp_path.glob(pattern)))
        (file,) = tmp_path.glob(pattern)
        shape = open_collection(file).load(0)
        assert (shape.mesh is not None) == has_mesh
        assert len(shape.points) >= 2048
    assert "Traceback" not in (tmp_path / "log.txt").read_text()
