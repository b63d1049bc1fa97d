"""A display under Xvfb with one program, which tests drive and take pictures of."""

import os
import select
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
MISSING = [name for name in ("Xvfb", "xdotool", "import") if not shutil.which(name)]
PATIENCE_S = 180
DISPLAYS_TRIED = 3
GRAB = (170, 170, 170)  # colour of what one takes hold of in a slider


class Server:
    """Xvfb that answers clients; a display that dies at the start is replaced."""

    def __init__(self, folder):
        self.log = folder / "xvfb.txt"
        for _ in range(DISPLAYS_TRIED):
            self._start()
            if self._answers():
                return
            self.close()
            warnings.warn(f"Xvfb {self.display} ended: {self.log.read_text()}", stacklevel=2)
        raise AssertionError(f"no Xvfb of {DISPLAYS_TRIED} stayed: {self.log.read_text()}")

    def _start(self):
        read, write = os.pipe()
        # Without -noreset a server starts anew when its last client leaves, and refuses meanwhile.
        command = ["Xvfb", "-displayfd", str(write), "-noreset", "-nolisten", "tcp",
                   "-screen", "0", "1300x860x24"]  # fmt: skip
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, pass_fds=[write], stdout=log, stderr=log)
        os.close(write)
        self.display = f":{_line(read)}"
        os.close(read)
        self.environment = {**os.environ, "DISPLAY": self.display}
        self.environment.pop("WAYLAND_DISPLAY", None)

    def _answers(self):
        """Whether a client can connect; False if the server has ended."""
        end = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            words = ["xdotool", "getdisplaygeometry"]
            client = subprocess.run(
                words, env=self.environment, capture_output=True, text=True, timeout=PATIENCE_S
            )
            if client.returncode == 0:
                return True
            assert time.monotonic() < end, f"{self.display} never answered: {client.stderr}"
            time.sleep(0.1)
        return False

    def client(self, *words):
        """Run a client to its end; try again if the server refuses it."""
        end = time.monotonic() + PATIENCE_S
        while True:
            client = subprocess.run(
                words, env=self.environment, capture_output=True, text=True, timeout=PATIENCE_S
            )
            if client.returncode == 0:
                return client.stdout
            refused = "open X server" in client.stderr or "open display" in client.stderr
            alive = self.process.poll() is None
            told = f"{words}: {client.stderr}\nserver alive: {alive}\n{self.log.read_text()}"
            assert refused, told
            assert alive, told
            assert time.monotonic() < end, told
            time.sleep(0.1)

    def close(self):
        """Ask the server to end, so that it removes its lock and socket."""
        _end(self.process)


class Screen:
    """`pcgen view` with the given words on a server of its own."""

    def __init__(self, folder, *words):
        self.folder = folder
        self.log = folder / "log.txt"
        self.server = Server(folder)
        with self.log.open("w") as log:
            self.program = subprocess.Popen(
                [sys.executable, "-m", "pcgen", "view", *map(str, words)], cwd=folder,
                stdout=log, stderr=log,
                env={**self.server.environment, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    def close(self):
        _end(self.program)
        self.server.close()

    def tell(self, *words):
        self.server.client("xdotool", *words)

    def key(self, name):
        self.tell("key", name)

    def click(self, x, y):
        """Press like a hand: the window would miss a press between two frames."""
        self.tell("mousemove", str(x), str(y), "sleep", "0.5", "mousedown", "1", "sleep", "0.7",
                  "mouseup", "1")  # fmt: skip

    def drag(self, start, end):
        """Drag like a hand: with many positions on the way, and time at each."""
        words = ["mousemove", *map(str, start), "sleep", "0.3", "mousedown", "1"]
        for share in np.linspace(0.1, 1, 10):
            place = np.array(start) + share * (np.array(end) - start)
            words += ["sleep", "0.1", "mousemove", *(str(round(v)) for v in place)]
        self.tell(*words, "sleep", "0.3", "mouseup", "1")

    def sliders(self, picture):
        """The handles (x, y) of all enabled sliders, from top to bottom."""
        from scipy import ndimage

        label, _ = ndimage.label((np.abs(picture - GRAB) <= 4).all(-1))
        blocks = ndimage.find_objects(label)
        sizes = [(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in blocks]
        return [
            ((columns.start + columns.stop) // 2, (rows.start + rows.stop) // 2)
            for (rows, columns), (high, wide) in zip(blocks, sizes, strict=True)
            if 14 <= high <= 24 and 8 <= wide <= 22 and columns.start > picture.shape[1] * 0.6
        ]

    def picture(self):
        """(height, width, 3) int of the whole screen."""
        path = self.folder / "screen.png"
        self.server.client("import", "-window", "root", str(path))
        return np.asarray(Image.open(path).convert("RGB")).astype(int)

    def wait(self, ready, again=None):
        """The first picture that is ``ready``; until then ``again`` is called every half minute."""
        end = time.monotonic() + PATIENCE_S
        next_try = time.monotonic() + 30
        while True:
            if again and time.monotonic() > next_try:
                again()
                next_try = time.monotonic() + 30
            picture = self.picture()
            if ready(picture):
                return picture
            assert self.program.poll() is None, self.log.read_text()
            assert time.monotonic() < end, f"the window never showed it: {self.log.read_text()}"
            time.sleep(0.5)


def _line(read):
    """The text up to the first newline; empty if the writer ends before it."""
    end, text = time.monotonic() + PATIENCE_S, b""
    while not text.endswith(b"\n"):
        left = end - time.monotonic()
        assert left > 0, "Xvfb never named its display"
        assert select.select([read], [], [], left)[0], "Xvfb never named its display"
        piece = os.read(read, 20)
        if not piece:
            break
        text += piece
    return text.decode().strip()


def _end(process):
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
