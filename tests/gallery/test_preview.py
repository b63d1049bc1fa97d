"""When the page of a training is written, and what stops it."""

import pytest

from pcgen import pipeline
from pcgen.cli import main
from pcgen.gallery import preview
from pcgen.gallery.preview import Preview


class Clock:
    """A clock that steps and pictures advance."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watch(tmp_path, clock, monkeypatch):
    """A preview whose pictures take a number of seconds, and the times at which they were made."""
    made = Preview(tmp_path, "A title", clock=clock)
    made.seconds, made.times = 1.0, []

    def write(self, *, again):
        self.times.append(clock.now)
        clock.now += self.seconds

    monkeypatch.setattr(Preview, "_write", write)
    return made


def train(watch, clock, seconds, part="autoencoder"):
    while clock.now < seconds:
        clock.now += 0.1
        watch(None, part, None)


@pytest.mark.parametrize("seconds", [0.05, 1.0, 4.0])
def test_the_first_picture_comes_within_a_minute_and_all_take_less_than_a_fiftieth(
    watch, clock, seconds
):
    watch.seconds = seconds
    train(watch, clock, 1800)
    assert 50 <= watch.times[0] < 60
    assert len(watch.times) > 5
    assert seconds * len(watch.times) < 0.02 * 1800
    gaps = [later - early for early, later in zip(watch.times, watch.times[1:], strict=False)]
    assert min(gaps) >= preview.EVERY_S


def test_parts_without_a_picture_are_passed_over(watch, clock):
    for part in ("latent-flow/teacher", "latent-flow/student", "field"):
        train(watch, clock, clock.now + 200, part)
    watch.stopped()
    assert watch.times == []


def test_an_interruption_is_shown_whenever_it_comes(watch, clock):
    train(watch, clock, 3)
    watch.stopped()
    assert len(watch.times) == 1


def test_a_page_that_cannot_be_written_stops_no_training(tmp_path, clock, monkeypatch, capsys):
    (tmp_path / "file").write_text("x")
    made = Preview(tmp_path / "file", "A title", clock=clock)
    picture = preview.render.cloud([[0.0, 0, 0], [1, 1, 1]], size=16)
    monkeypatch.setattr(Preview, "_generated", lambda *_: ("text", picture))
    train(made, clock, 60, "point-flow/teacher")
    assert "was not written" in capsys.readouterr().err


def test_an_interrupted_demo_shows_what_it_has_and_says_where(tmp_path, monkeypatch, capsys):
    def train(data, run, *, watch, **options):
        watch(None, "autoencoder", None)
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "prepare", lambda *_: None)
    monkeypatch.setattr(pipeline, "train", train)
    monkeypatch.setattr(
        Preview, "_write", lambda self, *, again: self._save(f"<p>again: {again}</p>", "")
    )
    assert main(["demo", "--out", str(tmp_path)]) == 130
    page = tmp_path / preview.NAME
    told = capsys.readouterr().err
    assert f"after about a minute, {page}" in told
    assert f"made so far: {page}" in told
    assert "the same command resumes" in told
    assert "again: False" in page.read_text()
