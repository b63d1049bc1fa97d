"""Get the size of the screen, which Open3D does not report before a window is open."""

from __future__ import annotations

import ctypes

X11 = "libX11.so.6"


def fit_to_screen(wanted: tuple[int, int]) -> tuple[int, int]:
    """The size of a window in pixels: ``wanted``, or the screen if that is smaller.

    Only X (and XWayland) is queried, where a window without a window manager may exceed the screen.
    """
    found = _x_screen()
    if found is None:
        return wanted
    return min(wanted[0], found[0]), min(wanted[1], found[1])


def _x_screen() -> tuple[int, int] | None:
    """Pixels of the default screen of DISPLAY; None without X."""
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
