"""The plain window for real, under Xvfb: it draws, and a key changes the shape."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pcgen.shapes.samples import Samples
from tests.boxes import boxes

ROOT = Path(__file__).parents[2]
needed = ("xvfb-run", "xdotool", "import")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, needed)), reason="no Xvfb, xdotool or import"),
]
SCRIPT = """
"$0" -m pcgen view "$1" & viewer=$!
for second in $(seq 60); do
    sleep 1; import -window root "$2/now.png" 2>/dev/null
    [ "$(stat -c %s "$2/now.png" 2>/dev/null || echo 0)" -gt 8000 ] && break
done
sleep 2; import -window root "$2/first.png"
xdotool mousemove 300 300 click 1 key n; sleep 3
import -window root "$2/second.png"; kill $viewer
"""


def test_the_window_draws_and_a_key_shows_another_shape(tmp_path):
    from PIL import Image

    points, normals = boxes(2, 2000, seed=3)
    names = np.array(["box", "box"])
    Samples(points=points, category=names, meta={}, normals=normals).save(tmp_path / "s.npz")
    words = [sys.executable, str(tmp_path / "s.npz"), str(tmp_path)]
    command = ["xvfb-run", "-a", "-s", "-screen 0 1000x800x24", "bash", "-c", SCRIPT, *words]
    subprocess.run(command, cwd=ROOT, timeout=180, capture_output=True)
    first, second = (
        np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")).astype(int)
        for name in ("first", "second")
    )
    blue = (first[..., 2] - first[..., 0] > 30).mean()
    assert 0.01 < blue < 0.9
    assert (np.abs(first - second).max(-1) > 30).mean() > 0.01
