"""The page in a real browser: drawing, rotation, downloads, no error on the console."""

import numpy as np
import pytest

from pcgen import gallery
from tests.gallery.browser import BINARY, Browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="no Chromium on this machine"),
]
SOFTWARE_GL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
NO_GL = ("--disable-gpu", "--disable-3d-apis")


@pytest.fixture(scope="module")
def page(tmp_path_factory, samples, nearest, meshes, path_frames):
    out = tmp_path_factory.mktemp("browser") / "gallery"
    parents = [[gallery.Parent(one.id, one.points), gallery.Parent("gone")] for one in nearest]
    gallery.build(samples, out, nearest=nearest, parents=parents[:4], meshes=meshes,
                  interpolation=path_frames,
                  curves={"flow": [(k, 1 / (k + 1)) for k in range(40)]})  # fmt: skip
    return out / "index.html"


@pytest.fixture(scope="module", params=[SOFTWARE_GL, NO_GL], ids=["webgl", "painter"])
def browser(request, tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"), *request.param)
    yield browser
    browser.close()


@pytest.fixture
def opened(browser, page):
    browser.errors.clear()
    browser.requests.clear()
    browser.open(page.as_uri())
    yield browser
    assert browser.errors == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in browser.requests)


def drawn_pixels(browser, selector):
    """Opaque pixels of a canvas, and a digest of them all."""
    return browser.run(f"""(() => {{
      const c = document.querySelector('{selector}');
      const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
      let opaque = 0, sum = 0;
      for (let i = 0; i < p.length; i += 4) {{
        opaque += p[i + 3] > 250;
        sum = (sum * 31 + p[i]) % 1e9;
      }}
      return [opaque / (c.width * c.height), sum];
    }})()""")


def test_the_sheet_shows_every_sample(opened):
    picture = opened.screenshot()
    assert opened.run("document.querySelectorAll('.card').length") == 5
    opened.wait("[...document.querySelectorAll('.card img')].every((i) => i.complete && i.src)")
    assert (np.ptp(picture, axis=2) > 25).mean() > 0.02  # blue shapes on grey paper


def test_dragging_a_card_turns_its_shape_and_does_not_open_it(opened):
    before = opened.screenshot()
    opened.drag("#card-1 .stage", 60, 15)
    after = opened.screenshot()
    x, y = (round(v) for v in opened.middle("#card-1 .stage"))
    there = (slice(y - 60, y + 60), slice(x - 60, x + 60))
    assert (np.abs(before[there] - after[there]).max(2) > 20).mean() > 0.05
    assert opened.run("document.getElementById('closer').open") is False
    opened.drag("#card-1 .stage", 30, 0)
    assert (np.abs(opened.screenshot()[there] - after[there]).max(2) > 20).mean() > 0.02


def test_a_click_opens_the_sample_beside_its_nearest_training_shape(opened):
    opened.click("#card-3 .stage")
    opened.settle()
    assert opened.run("document.getElementById('closer').open") is True
    assert opened.run("document.getElementById('training-name').textContent") == "train <3>"
    for canvas in ("#sample", "#training"):
        share, _ = drawn_pixels(opened, canvas)
        assert 0.05 < share < 0.9


def test_dragging_in_the_dialog_turns_the_sample_its_nearest_shape_and_its_parent(opened):
    canvases = ("#sample", "#training", "#parents canvas")
    opened.click("#card-0 .stage")
    opened.settle()
    before = [drawn_pixels(opened, canvas) for canvas in canvases]
    opened.drag("#sample", 80, 30)
    opened.settle()
    after = [drawn_pixels(opened, canvas) for canvas in canvases]
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_parents_are_named_and_drawn_if_they_are_known(opened):
    opened.click("#card-1 .stage")
    opened.settle()
    text = "document.getElementById('{}').textContent"
    assert opened.run(text.format("parents")) == "Parent: train <1>, the nearest one"
    assert opened.run(text.format("other-parents")) == "Parents that are not shown: gone"
    share, _ = drawn_pixels(opened, "#parents canvas")
    assert 0.02 < share < 0.9
    for _ in range(3):
        opened.click("#next")
    assert opened.run("document.getElementById('name').textContent") == "Sample 5"
    assert opened.run(text.format("parents") + "+" + text.format("other-parents")) == ""


def test_the_training_shape_can_have_the_proportions_of_the_sample(opened):
    opened.click("#card-1 .stage")
    opened.settle()
    own = drawn_pixels(opened, "#training")
    opened.run("document.getElementById('stretched').click()")
    opened.settle()
    assert drawn_pixels(opened, "#training") != own
    opened.run("document.getElementById('stretched').click()")
    opened.settle()
    # WebGL shades a few pixels otherwise, but the outline is the same.
    assert drawn_pixels(opened, "#training")[0] == own[0]


def test_the_keyboard_alone_opens_turns_and_closes(opened):
    opened.run("document.getElementById('card-0').focus()")
    opened.key("ArrowRight")
    opened.wait("document.querySelector('#card-0 canvas').dataset.drawn === 'yes'")
    opened.key("Enter")
    opened.wait("document.getElementById('closer').open")
    opened.settle()
    before = drawn_pixels(opened, "#sample")
    opened.key("ArrowLeft")
    opened.settle()
    assert drawn_pixels(opened, "#sample") != before
    opened.key("n")
    assert opened.run("document.getElementById('name').textContent") == "Sample 2"
    opened.key("Escape")
    opened.wait("!document.getElementById('closer').open")
    opened.wait("document.activeElement.id === 'card-1'")


def test_the_arrow_keys_turn_what_a_click_has_opened(opened):
    opened.click("#card-1 .stage")
    opened.wait("document.activeElement.id === 'sample'")
    before = drawn_pixels(opened, "#sample")
    opened.key("ArrowUp")
    opened.settle()
    assert drawn_pixels(opened, "#sample") != before


def test_the_parts_of_the_page_are_reached_past_the_cards(opened):
    names = opened.run("[...document.querySelectorAll('#parts a')].map((a) => a.textContent)")
    assert names == ["Interpolation", "Learning curves"]
    opened.run("document.querySelector('#parts a').click()")
    opened.wait("document.getElementById('between').dataset.drawn === 'yes'")


def test_the_mesh_replaces_the_points_when_asked_for(opened):
    opened.click("#card-0 .stage")
    opened.settle()
    points = drawn_pixels(opened, "#sample")
    opened.key("m")
    opened.wait("document.getElementById('as-mesh').checked")
    opened.wait("performance.now() > 0")
    opened.settle()
    opened.settle()
    assert drawn_pixels(opened, "#sample") != points
    assert opened.run("document.getElementById('report').textContent").startswith("watertightyes")
    opened.click("#next")
    opened.click("#next")
    assert opened.run("document.getElementById('as-mesh').disabled") is True


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_link_downloads_the_very_file(opened, page, tmp_path, number):
    opened.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    opened.click("#card-0 .stage")
    opened.settle()
    href = opened.run(f"document.querySelectorAll('#files a')[{number}].getAttribute('href')")
    opened.run(f"document.querySelectorAll('#files a')[{number}].scrollIntoView()")
    opened.run(f"document.querySelectorAll('#files a')[{number}].click()")
    wanted = (page.parent / href).read_bytes()
    saved = tmp_path / href.split("/")[-1]
    for _ in range(200):
        opened.settle()
        if saved.exists() and saved.read_bytes() == wanted:
            break
    assert saved.read_bytes() == wanted
    assert opened.run("document.getElementById('closer').open") is True


def test_the_slider_moves_along_the_path(opened):
    opened.run("document.getElementById('between').scrollIntoView()")
    opened.wait("document.getElementById('between').dataset.drawn === 'yes'")
    first = drawn_pixels(opened, "#between")
    opened.set("moment", 2.5, "input")
    opened.settle()
    assert drawn_pixels(opened, "#between") != first


def test_shapes_can_be_chosen_by_category_and_ordered_by_distance(opened):
    visible = (
        "[...document.querySelectorAll('#sheet li')].filter((l) => !l.hidden)"
        ".map((l) => l.firstChild.id)"
    )
    opened.set("category", "disc", "change")
    assert opened.run(visible) == ["card-2", "card-3"]
    opened.set("order", "far", "change")
    assert opened.run(visible) == ["card-3", "card-2"]


def test_dark_and_narrow_pages_fit(opened, page):
    opened.open(page.as_uri(), width=390, height=800, dark=True, mobile=True)
    picture = opened.screenshot()
    assert picture[2, 2].max() < 60
    assert opened.run("document.documentElement.scrollWidth") <= 390
    opened.click("#card-0 .stage")
    opened.settle()
    assert opened.run("document.getElementById('closer').getBoundingClientRect().width") <= 390
