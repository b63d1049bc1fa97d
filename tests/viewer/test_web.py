"""The page with the window's controls, in a real browser."""

import threading
import time

import numpy as np
import pytest
import trimesh

from pcgen.errors import BackendError, InputError, MissingPackage
from pcgen.viewer import web
from pcgen.viewer.background import Jobs
from pcgen.viewer.controller import Controller
from pcgen.viewer.sources import RunSource, open_source
from pcgen.viewer.state import LAYERS
from tests.gallery.browser import BINARY, Browser
from tests.viewer.conftest import FakeModel

GL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
PATIENCE_S = 60


def test_a_page_without_its_package_names_the_extra(run_source, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "viser", None)
    with pytest.raises(MissingPackage, match=r"pcgen\[web\]"):
        web.Page(Controller(run_source), "run")


def test_a_page_and_pictures_at_once_are_refused(samples_file, tmp_path):
    import pcgen

    with pytest.raises(InputError, match="cannot be combined"):
        pcgen.view(samples_file, web=True, png=tmp_path / "a.png")


@pytest.mark.parametrize(
    ("host", "own"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False)]
)
def test_hosts_that_others_reach_are_known(host, own):
    assert web.loopback(host) is own


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 8080), ("127.0.0.1", 99_999)])
def test_an_address_that_is_none_of_this_machine_is_refused_at_once(run_source, host, port):
    with pytest.raises(BackendError, match=f"no page can be served at {host}:{port}"):
        web.Page(Controller(run_source), "run", host, port)


class Served:
    """A page in its own thread, and a browser that shows it."""

    def __init__(self, controller, folder):
        self.page = web.Page(controller, "test", port=18_080)
        self.thread = threading.Thread(target=self.page.run, daemon=True)
        self.thread.start()
        self.browser = Browser(folder, *GL)
        self.browser.call("Emulation.setDeviceMetricsOverride", width=1200, height=900,
                          deviceScaleFactor=1, mobile=False)  # fmt: skip
        self.browser.call("Page.navigate", url=self.page.url)

    def close(self):
        self.browser.close()
        self.page.close()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()

    def wait(self, condition):
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, "never became true"
            self.browser.settle()

    def click(self, label):
        """Press the button with the text ``label``."""
        found = f"[...document.querySelectorAll('button')].find((b) => b.innerText === '{label}')"
        self.browser.wait(f"!!{found} && !{found}.disabled")
        self.browser.run(f"{found}.click()")


@pytest.fixture
def controller():
    mesh = trimesh.creation.box((1, 1, 1))
    from pcgen.shapes.mesh_files import Mesh

    solid = Mesh(np.asarray(mesh.vertices), np.asarray(mesh.faces))
    return Controller(
        RunSource(FakeModel(), points=600),
        Jobs(deliver=lambda call: call()),
        mesh_of=lambda item: solid,
    )


@pytest.fixture
def served(controller, tmp_path):
    served = Served(controller, tmp_path)
    yield served
    served.close()


def blue(picture):
    """The share of pixels in the colour of generated shapes."""
    return (picture[..., 2] - picture[..., 0] > 25).mean()


needs_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="no Chromium on this machine"),
]


class TestBrowser:
    pytestmark = needs_browser

    def test_a_run_is_drawn_pinned_interpolated_meshed_and_saved(self, served, tmp_path):
        control, browser = served.page.controller, served.browser
        canvas = browser.screenshot
        served.wait(lambda: blue(canvas()[:, :700]) > 0.01)
        own = (served.page.url, "data:", "blob:")
        assert all(url.startswith(own) for url in browser.requests)
        first = canvas()

        served.click("Pin as A")
        served.wait(lambda: "A" in control.pins)
        served.click("New sample")
        served.wait(lambda: control.state.seed == 1 and control.item.seed == 1)
        served.wait(lambda: np.abs(canvas() - first).mean() > 0.5)
        served.click("Pin as B")
        served.wait(lambda: len(control.pins) == 2)
        browser.wait("document.body.innerText.includes('move the slider from A to B')")

        folder = tmp_path / "downloads"
        folder.mkdir()
        browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        served.click("Save")
        served.wait(lambda: list(folder.glob("*.glb")))
        assert trimesh.load(next(folder.glob("*.glb")), force="mesh").is_watertight
        assert browser.errors == []

    def test_several_shapes_of_a_file_stand_side_by_side(self, samples_file, tmp_path):
        served = Served(
            Controller(open_source(samples_file), Jobs(deliver=lambda c: c())), tmp_path
        )
        try:
            served.wait(lambda: blue(served.browser.screenshot()[:, :700]) > 0.003)
            page = served.page
            page._events.put(lambda: page._choose_count(3))
            served.wait(lambda: sum(name.startswith("points") for name in page._held) == 3)
            assert set(page._layers) == set(LAYERS) - {"base", "paths"}
        finally:
            served.close()
