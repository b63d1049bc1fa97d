"""A headless Chromium, driven over its own pipe: the DevTools protocol without a dependency."""

import base64
import io
import json
import os
import select
import shutil
import subprocess
import time
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

BINARY = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
PATIENCE_S = 60
STARTS_TRIED = 3


class Ended(Exception):
    """Chromium has ended; the message has its last output."""

    def __init__(self, log):
        super().__init__(f"Chromium ended: {log.read_text()[-2000:]}")


class Browser:
    """One page. Console errors and uncaught exceptions are collected in ``errors``."""

    def __init__(self, folder, *flags):
        self.log = Path(folder) / "stderr.txt"
        for number in range(STARTS_TRIED):
            self._start(Path(folder) / f"profile-{number}", flags)
            try:
                self._attach()
                return
            except Ended as error:
                self.close()
                warnings.warn(str(error), stacklevel=2)
        raise AssertionError(f"no Chromium of {STARTS_TRIED} stayed: {self.log.read_text()}")

    def _start(self, profile, flags):
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()

        def wire():
            # Chromium reads commands on 3 and writes answers on 4.
            spare = os.dup(from_browser)
            os.dup2(to_browser, 3)
            os.dup2(spare, 4)
            os.set_inheritable(3, True)  # where the pipe itself was number 3

        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [BINARY, "--headless", "--no-sandbox", "--remote-debugging-pipe",
                 "--hide-scrollbars", "--disable-dev-shm-usage", f"--user-data-dir={profile}",
                 *flags, "about:blank"],
                preexec_fn=wire, close_fds=False, stdout=log, stderr=log,
            )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self._rest, self._number, self.errors, self.requests = b"", 0, [], []
        self._session = None

    def _attach(self):
        end = time.monotonic() + PATIENCE_S
        pages = []
        while not pages:  # Chromium answers before its first page is there
            assert time.monotonic() < end, "Chromium never opened a page"
            found = self.call("Target.getTargets")["targetInfos"]
            pages = [target["targetId"] for target in found if target["type"] == "page"]
        attached = self.call("Target.attachToTarget", targetId=pages[0], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._out)
        os.close(self._in)

    def call(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        try:
            os.write(self._out, json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            raise Ended(self.log) from None
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _read(self):
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], PATIENCE_S)
            assert ready, f"Chromium did not answer for {PATIENCE_S} s: {self.log.read_text()}"
            piece = os.read(self._in, 1 << 20)
            if not piece:
                raise Ended(self.log)
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\0")
        event = json.loads(line)
        parameters = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(parameters["exceptionDetails"])
        if event.get("method") == "Runtime.consoleAPICalled" and parameters["type"] == "error":
            self.errors.append(parameters["args"])
        if event.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.errors.append(parameters["entry"])
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        return event

    def run(self, script):
        """The value of a JavaScript expression; promises are awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, script):
        """Wait until the expression is true, checking every frame of the page."""
        end = time.monotonic() + PATIENCE_S
        while not self.run(script):
            assert time.monotonic() < end, f"never became true: {script}"
            self.run("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20)))")

    def open(self, url, width=1200, height=900, dark=False, mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=mobile)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && typeof Page === 'object'")

    def settle(self):
        self.run(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => "
            "setTimeout(done, 60))))"
        )

    def screenshot(self):
        self.settle()
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)

    def middle(self, selector):
        return self.run(
            f"(() => {{ const b = document.querySelector('{selector}').getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, selector):
        x, y = self.middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def drag(self, selector, dx, dy):
        x, y = self.middle(selector)
        self.mouse("mousePressed", x, y, button="left", clickCount=1)
        for share in np.linspace(0.2, 1, 5):
            self.mouse("mouseMoved", x + share * dx, y + share * dy, button="left", buttons=1)
        self.mouse("mouseReleased", x + dx, y + dy, button="left", clickCount=1)

    def set(self, element, value, event):
        """Choose a value of a form's element, as a visitor would."""
        self.run(
            f"(() => {{ const e = document.getElementById('{element}'); e.value = '{value}';"
            f" e.dispatchEvent(new Event('{event}')); }})()"
        )

    def key(self, name, code=None):
        for kind in ("keyDown", "keyUp"):
            extra = {"text": "\r"} if name == "Enter" and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=code or name,
                      windowsVirtualKeyCode={"Enter": 13, "Tab": 9, "Escape": 27}.get(name, 0),
                      **extra)  # fmt: skip
