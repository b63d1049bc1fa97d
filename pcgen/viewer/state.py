"""The settings of the viewer, and their keys."""

from __future__ import annotations

from dataclasses import dataclass, field

LAYERS = {  # and their labels
    "points": "points",
    "mesh": "mesh",
    "normals": "normals",
    "base": "base points",
    "paths": "flow paths",
    "training": "training shape",
}
COLOURS = ("plain", "height", "normal", "part")
MOST_STEPS = 16

# Key, command, description: for the window and its help. Digits are for the fields of seed and
# number.
KEYS = (
    ("N", "forward", "next shape, or new sample of a run"),
    ("P", "back", "previous shape"),
    ("C", "toggle:points", "point cloud"),
    ("L", "toggle:normals", "normals"),
    ("M", "toggle:mesh", "mesh"),
    ("O", "toggle:base", "base points, the origin of the flow"),
    ("F", "toggle:paths", "flow paths"),
    ("T", "toggle:training", "nearest training shape"),
    ("Space", "play", "play the flow from base to shape"),
    (",", "scrub_by:-0.1", "step back along the flow"),
    (".", "scrub_by:0.1", "step forward along the flow"),
    ("A", "pin:A", "pin this shape as A"),
    ("B", "pin:B", "pin this shape as B"),
    ("[", "blend_by:-0.1", "towards A"),
    ("]", "blend_by:0.1", "towards B"),
    ("K", "next_colour", "next colouring"),
    ("-", "size_by:0.8", "smaller points"),
    ("=", "size_by:1.25", "larger points"),
    ("S", "screenshot", "save a picture"),
    ("E", "export", "export cloud or mesh"),
    ("R", "reset_view", "reset the camera"),
    ("H", "help", "show these keys"),
)


@dataclass
class ViewState:
    """All settings. ``index`` is the number of a file, ``seed`` that of a sample.

    The window sets ``coarse``: balls with few triangles, for a driver that draws with the CPU. The
    page sets ``dots``: no balls, which are many times as large to send.
    """

    index: int = 0
    seed: int = 0
    category: str | None = None
    steps: int = 1
    time: float = 1.0
    share: float = 0.0
    layers: set[str] = field(default_factory=lambda: {"points"})
    colour: str = "plain"
    point_size: float = 1.0
    playing: bool = False
    coarse: bool = False
    dots: bool = False
    status: str = ""
