"""The size of the screen, which Open3D does not report before a window is open."""

from __future__ import annotations

import ctypes

X11 = "libX11.so.6"


def fit_to_screen(wanted: tuple[int, int]) -> tuple[int, int]:
    """``wanted`` pixels of a window, or the whole screen where that is smaller.

    Only X (and XWayland) is asked, as there a window without a window manager may hang off the
    screen; elsewhere the system sees to it.
    """
    found = _x_screen()
    if found is None:
        return wanted
    return min(wanted[0], found[0]), min(wanted[1], found[1])


def _x_screen() -> tuple[int, int] | None:
    """Pixels of the default screen of DISPLAY; None where no X answers."""
    try:
        x11 = ctypes.CDLL(X11)
    except OSError:
        return None
    x11.XOpenDisplay.restype = ctypes.c_void_p
    display = x11.XOpenDisplay(None)
    if not display:
        return None
    handle = ctypes.c_void_p(display)
    screen = x11.XDefaultScreen(handle)
    size = x11.XDisplayWidth(handle, screen), x11.XDisplayHeight(handle, screen)
    x11.XCloseDisplay(handle)
    return size
