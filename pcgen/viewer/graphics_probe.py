"""Test in another process whether a window can open, because a driver may crash."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from pcgen.jobs.child import probe

PATIENCE_S = 120.0  # the window gets ready beside it

_CODE = """
from open3d.visualization import gui
application = gui.Application.instance
application.initialize()
window = application.create_window("probe", 64, 64)
assert window is not None
for _ in range(3):
    application.run_one_tick()
print("window opened", flush=True)
import os
os._exit(0)
"""


@dataclass(frozen=True)
class Graphics:
    """The graphics of this machine.

    Attributes:
        problem: why no window can be opened; "" if one can.
        software: whether the driver draws with the CPU.
    """

    problem: str = ""
    software: bool = False


def missing_display() -> str:
    """Why there is no display; "" if there is one, or none is needed."""
    named = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return "there is no display" if sys.platform.startswith("linux") and not named else ""


def probe_graphics(code: str = _CODE) -> Graphics:
    """Open a small window in another process.

    Args:
        code: of the other process; it prints ``window opened`` on success.
    """
    if problem := missing_display():
        return Graphics(problem)
    done = probe(code, PATIENCE_S)
    if done.code is None:
        return Graphics(f"the graphics driver did not respond within {PATIENCE_S:.0f} s")
    output = done.err + done.out
    if "headless" in output:  # Open3D 0.20 then opens invisible windows
        return Graphics(f"the display {os.environ.get('DISPLAY', '')} does not respond")
    if done.code == 0 and "window opened" in done.out:
        return Graphics(software="llvmpipe" in output or "software device" in output)
    if done.code < 0:
        return Graphics(f"the graphics driver crashed (signal {-done.code})")
    return Graphics(done.lines[-1][:160] if done.lines else f"it ended with code {done.code}")
