"""Views of a trained run: its page, contact sheet and pictures."""

import itertools
import json
import pickle
import random
import re

import numpy as np
import pytest
import torch
from PIL import Image

from pcgen import pipeline
from pcgen.errors import InputError
from pcgen.gallery import contact_sheet, preview
from pcgen.gallery.preview import Preview
from pcgen.shapes.samples import Samples
from pcgen.viewer import Selection, stills
from pcgen.viewer.sources import open_source, training_shapes
from tests.boxes import boxes
from tests.datasets import write_dataset

LEARNED = "tall"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Boxes; a run learns the tall ones, and every fifth is held out."""
    clouds, normals = boxes(24, 1200, 0)
    names = [LEARNED if k % 2 else "other" for k in range(24)]
    splits = ["test" if k % 5 == 4 else "train" for k in range(24)]
    path = tmp_path_factory.mktemp("data") / "boxes"
    write_dataset(path, clouds, categories=names, splits=splits, normals=normals)
    return path


class Watch:
    """A preview whose clock advances by two seconds per reading, and its changes."""

    def __init__(self, folder):
        self.preview = Preview(folder, "Tall <boxes>", clock=itertools.count(0, 2).__next__)
        self.pages, self.changed = [], []

    def __call__(self, context, part, module):
        before = self.state(module)
        text = self.text()
        self.preview(context, part, module)
        if self.text() != text:
            self.pages.append((part, self.text()))
            self.changed += [a != b for a, b in zip(before, self.state(module), strict=True)]

    def text(self):
        return self.preview.page.read_text() if self.preview.page.exists() else ""

    @staticmethod
    def state(module):
        """The state of the process that the numbers of a training depend on."""
        return (
            torch.get_rng_state().tolist(),
            pickle.dumps(np.random.get_state()),  # noqa: NPY002
            random.getstate(), torch.get_num_threads(), torch.is_grad_enabled(),
            module.training, [p.requires_grad for p in module.parameters()],
            [p.grad is None for p in module.parameters()],
            pickle.dumps([t.numpy() for t in module.state_dict().values()]),
        )  # fmt: skip


@pytest.fixture(scope="module")
def watched(dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "tall"
    watch = Watch(path.parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preview, "SHAPES", 2)
        pipeline.train(
            dataset, path, preset="cpu-tiny", threads=1, categories=[LEARNED], watch=watch
        )
    return watch


@pytest.fixture(scope="module")
def run(watched):
    return watched.preview.page.parent / "tall"


def content(page):
    """The data for the page's script."""
    text = page.read_text()
    return text, json.loads(re.search(r'<script type="application/json"[^>]*>(.*?)</script>',
                                      text, re.S)[1])  # fmt: skip


def test_a_training_is_watched_and_nothing_of_it_changed(watched):
    parts = [part for part, _ in watched.pages]
    assert parts[0] == "autoencoder"
    assert {"point-flow/teacher", "point-flow/student"} <= set(parts)
    assert len(watched.changed) >= 9 * len(parts)
    assert not any(watched.changed)
    for part, text in watched.pages:
        assert "<h1>Tall &lt;boxes&gt;</h1>" in text
        assert 'http-equiv="refresh"' in text
        assert ("New shapes, sampled" in text) == part.startswith("point-flow")
    pictures = {re.search(r"base64,[^\"]+", text)[0] for _, text in watched.pages}
    assert len(pictures) == len(watched.pages)


def test_an_interrupted_training_leaves_a_page_that_does_not_refresh(watched):
    watched.preview.stopped()
    assert "the same command resumes it" in watched.text()
    assert "http-equiv" not in watched.text()
    watched.preview.ended("gallery/index.html")
    assert '<a href="gallery/index.html">' in watched.text()
    watched.preview.stopped()  # there is nothing left to stop
    assert "has ended" in watched.text()


def test_a_run_becomes_a_page_with_everything_known_of_it(run, tmp_path):
    found = pipeline.gallery(run, tmp_path / "page", count=3, points=300)
    assert found["shapes"] == found["nearest"] == 3
    assert set(found["curves"]) >= {"autoencoder", "point-flow/student"}
    text, data = content(tmp_path / "page" / "index.html")
    assert len(data["path"]["frames"]) == 9
    assert "How a shape is generated" in text
    assert {item["category"] for item in data["items"]} == {LEARNED}
    assert {item["nearest"]["id"].split("/")[0] for item in data["items"]} == {LEARNED}


def test_a_run_whose_data_is_gone_becomes_a_page_that_says_so(run, dataset, tmp_path):
    dataset.rename(dataset.parent / "away")
    try:
        found = pipeline.gallery(run, tmp_path / "page", count=2, points=300)
    finally:
        (dataset.parent / "away").rename(dataset)
    assert found["nearest"] == 0
    assert "training data was not found" in content(tmp_path / "page" / "index.html")[0]


def test_only_categories_that_were_learned_stand_beside_samples(run, dataset, tmp_path):
    samples = pipeline.sample(run, tmp_path / "s.npz", count=2, points=300)
    contact_sheet(samples, dataset, tmp_path / "sheet.png")
    assert np.asarray(Image.open(tmp_path / "sheet.png")).std() > 10
    for source in (run, tmp_path / "s.npz"):
        near = training_shapes(open_source(source), None)
        assert {near.nearest(cloud).category for cloud in boxes(6, 300, 0)[0]} == {LEARNED}
    assert Samples.load(tmp_path / "s.npz").meta["run"]


def test_a_run_is_drawn_without_a_window(run, tmp_path):
    (path,) = stills(run, Selection(points=300, steps=2), png=tmp_path / "a.png", count=2, size=192)
    assert np.asarray(Image.open(path)).std() > 10


def test_how_a_shape_came_to_be_is_drawn_in_five_panels(run, tmp_path):
    (path,) = stills(run, Selection(points=300), explained=tmp_path / "a.png", size=192)
    width, height = Image.open(path).size
    assert width > 5 * 96 > 2 * height
    samples = pipeline.sample(run, tmp_path / "s.npz", count=1, points=300)
    assert len(samples) == 1
    with pytest.raises(InputError, match="only samples of a run"):
        stills(tmp_path / "s.npz", Selection(), explained=tmp_path / "a.png")
