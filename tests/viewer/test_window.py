"""The window for real, under Xvfb with the software driver: drawn, driven by events, looked at."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pcgen.shapes.samples import Samples
from tests.boxes import boxes

ROOT = Path(__file__).parents[2]
NEEDED = ("Xvfb", "xdotool", "import")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason="no Xvfb, xdotool or import"),
]
PATIENCE_S = 120


class Screen:
    """A display of its own with one program on it."""

    def __init__(self, folder, *words):
        self.folder = folder
        read, write = os.pipe()
        command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1300x860x24"]
        self.server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        self.display = f":{os.read(read, 20).decode().strip()}"
        os.close(read)
        self.environment = {**os.environ, "DISPLAY": self.display}
        with (folder / "log.txt").open("w") as log:
            self.program = subprocess.Popen(
                [sys.executable, "-m", "pcgen", "view", *words], cwd=folder, stdout=log,
                stderr=log, env={**self.environment, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    def close(self):
        self.program.kill()
        self.server.kill()
        self.program.wait()
        self.server.wait()

    def tell(self, *words):
        subprocess.run(["xdotool", *words], env=self.environment, check=True, timeout=30)

    def picture(self):
        from PIL import Image

        path = self.folder / "screen.png"
        words = ["import", "-window", "root", str(path)]
        subprocess.run(words, env=self.environment, check=True, timeout=30)
        return np.asarray(Image.open(path).convert("RGB")).astype(int)

    def wait(self, ready):
        """The first picture that is ``ready``."""
        end = time.monotonic() + PATIENCE_S
        while True:
            picture = self.picture()
            if ready(picture):
                return picture
            assert self.program.poll() is None, (self.folder / "log.txt").read_text()
            assert time.monotonic() < end, "the window never showed it"
            time.sleep(0.5)


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
    screen.tell("mousemove", "450", "430", "mousedown", "1")
    screen.tell("mousemove", "600", "460", "mouseup", "1")
    turned = screen.wait(unlike(first))
    screen.tell("key", "n")
    second = screen.wait(unlike(turned))
    screen.tell("key", "l")
    screen.wait(unlike(second))
    screen.tell("key", "c")
    hidden = screen.wait(lambda picture: blue(picture) < 0.5 * blue(second))
    screen.tell("key", "c")
    screen.wait(unlike(hidden))
    screen.tell("key", "s")
    saved = tmp_path / "pcgen-view-001.png"
    screen.wait(lambda _: saved.exists())
    assert "Traceback" not in (tmp_path / "log.txt").read_text()
