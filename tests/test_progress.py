"""Progress: the remaining time by the last minute, lines in a log, one line on a terminal."""

import io
import re
from types import SimpleNamespace

import pytest

from pcgen import progress


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def take(bar, clock, steps, seconds):
    """Make this many steps, evenly over the seconds."""
    for _ in range(steps):
        clock.seconds += seconds / steps
        bar.advance(note="loss 1")


def test_the_time_left_follows_the_last_minute(clock, capsys):
    """Fast for an hour, then ten times slower: soon only the slow minutes count."""
    with progress.bar("points", 40_000) as bar:
        take(bar, clock, 36_000, 3600)
        assert bar._pace.left() == pytest.approx(400, rel=0.02)
        take(bar, clock, 60, 60)
        assert bar._pace.left() == pytest.approx(3940, rel=0.05)
        clock.seconds += 300
        assert bar._pace.left() is None  # nothing moved for minutes
        assert bar._pace.ahead() == "? left"


def test_a_log_has_a_line_every_half_minute(clock, capsys):
    with progress.bar("points", 1000, unit=" s") as bar:
        take(bar, clock, 600, 600)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 600 / 30 + 1
    assert lines[9] == "points         300/1000 s  loss 1  11 min 40 s left"
    assert lines[-1] == "points         600/1000 s  loss 1  took 10 min 00 s"


def test_the_time_left_of_the_whole_stands_beside_it(clock, capsys):
    with progress.within(lambda: 7200.0), progress.bar("points", 100) as bar:
        take(bar, clock, 40, 40)
    with progress.bar("points", 100) as bar:
        take(bar, clock, 40, 40)
    inside, outside = (line for line in capsys.readouterr().err.splitlines() if "left" in line)
    assert inside.endswith("1 min 10 s left, 2 h 00 min in all")
    assert outside.endswith("1 min 10 s left")


def test_a_bar_that_begins_half_way_does_not_count_what_was_there(clock):
    pace = progress._Pace("points", 100, 50, "")
    clock.seconds += 10
    pace.advance_to(60, "")
    assert pace.left() == pytest.approx(40)


def test_a_terminal_has_one_line_that_fits(clock, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    with progress.within(lambda: 7200.0), progress.bar("autoencoder", 248, unit=" s") as bar:
        take(bar, clock, 61, 61)
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    lines = [line.strip() for line in re.split(r"[\r\n]+", seen) if line.strip()]
    assert all(line.startswith("autoencoder") and len(line) <= 80 for line in lines)
    assert re.search(r"61/248 s .*took 1 min 01 s", lines[-1])
