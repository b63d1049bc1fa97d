"""A window has the requested size, or that of the screen."""

import os

import pytest

from pcgen.viewer import screen_size


def test_a_window_is_no_larger_than_the_screen(monkeypatch):
    monkeypatch.setattr(screen_size, "_x_screen", lambda: (800, 1080))
    assert screen_size.fit_to_screen((1240, 740)) == (800, 740)


def test_without_a_display_it_is_as_wanted(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    assert screen_size.fit_to_screen((1240, 740)) == (1240, 740)


def test_without_the_library_it_is_as_wanted(monkeypatch):
    monkeypatch.setattr(screen_size, "X11", "libNoSuch.so.0")
    assert screen_size.fit_to_screen((1240, 740)) == (1240, 740)


@pytest.mark.slow
@pytest.mark.skipif("DISPLAY" in os.environ, reason="asks a display of its own")
def test_a_screen_is_measured(tmp_path, monkeypatch):
    from tests.viewer.screen import MISSING, Server

    if MISSING:
        pytest.skip(f"not installed: {', '.join(MISSING)}")
    server = Server(tmp_path)
    monkeypatch.setenv("DISPLAY", server.display)
    try:
        assert screen_size.fit_to_screen((5000, 5000)) == (1300, 860)
    finally:
        server.close()
