"""The sides of a shape by name."""

from __future__ import annotations

PARTS = {
    "top": (0.0, 1.0, 0.0),
    "bottom": (0.0, -1.0, 0.0),
    "right": (1.0, 0.0, 0.0),
    "left": (-1.0, 0.0, 0.0),
    "front": (0.0, 0.0, 1.0),
    "back": (0.0, 0.0, -1.0),
}
"""Each as a direction in the box frame: +Y up, +Z to the front."""
