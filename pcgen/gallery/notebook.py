"""Rotatable shapes as HTML for notebooks, without files, network or WebGL.

The result is an ``iframe`` with its own document. It draws with the painter's algorithm of the
gallery (``static/scene.js`` without three.js).
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.gallery import web_geometry
from pcgen.gallery.page import STATIC, as_json, scene_data
from pcgen.render.camera import fit

MOST = 12  # largest number of shapes shown
SIDE = 180  # pixels of one shape among several; a single one is twice as large

STYLE = """
body { margin: 0; font: 13px/1.4 system-ui, sans-serif; color: #292b30; background: #f8f7f4; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(%dpx, 1fr)); gap: 6px;
  padding: 6px; }
figure { margin: 0; max-width: %dpx; }
canvas { width: 100%%; aspect-ratio: 1; display: block; cursor: grab; touch-action: none; }
figcaption { text-align: center; }
p { margin: 0 8px 6px; color: #6d7076; }
"""


@dataclass(frozen=True)
class NotebookShape:
    """One shape to show.

    Attributes:
        points: (n, 3), or the vertices of a mesh. normals: (n, 3), or None.
        faces: (f, 3) of a mesh, or None for a cloud.
        caption: text under it. colour: a name of :data:`pcgen.render.palette.NAMED`.
        given: number of first points that a completion kept; they have their own colour.
    """

    points: NDArray[np.floating[Any]]
    normals: NDArray[np.floating[Any]] | None = None
    faces: NDArray[np.int64] | None = None
    caption: str = ""
    colour: str = "generated"
    given: int = 0


def notebook_view(exhibits: Sequence[NotebookShape], note: str = "") -> str:
    """HTML of the first :data:`MOST` shapes, which the mouse or arrow keys rotate.

    Args:
        note: a line under them; the number of omitted shapes is added.
    """
    shown = list(exhibits[:MOST])
    if len(exhibits) > MOST:
        note = f"{note} The first {MOST} of {len(exhibits)} are shown.".strip()
    packed = [_packed(one) for one in shown]
    data = {
        **scene_data(),
        "items": [
            {"header": one.header, "colour": exhibit.colour}
            for one, exhibit in zip(packed, shown, strict=True)
        ],
    }
    side = SIDE if len(shown) > 1 else 2 * SIDE
    figures = "".join(
        f'<figure><canvas tabindex="0" aria-label="A shape; arrow keys rotate it"></canvas>'
        f"<figcaption>{html.escape(one.caption)}</figcaption></figure>"
        for one in shown
    )
    blobs = "".join(
        f'<script type="text/plain" id="shape-{number}">{one.data}</script>'
        for number, one in enumerate(packed)
    )
    scripts = "".join((STATIC / name).read_text(encoding="utf-8") for name in
                      ("scene.js", "turn.js"))  # fmt: skip
    document = (
        f"<!doctype html><meta charset='utf-8'><style>{STYLE % (side, side)}</style>"
        f"<main>{figures}</main><p>{html.escape(note)}</p>"
        f'<script type="application/json" id="data">{as_json(data)}</script>{blobs}'
        f"<script>{scripts}</script>"
    )
    columns = max(1, 900 // SIDE)
    rows = -(-len(shown) // columns)
    height = rows * (side + 30) + (30 if note else 8)
    return as_iframe(document, height)


def as_iframe(document: str, height: int) -> str:
    """An ``iframe`` with a complete HTML document."""
    return (
        f'<iframe srcdoc="{html.escape(document)}" style="width:100%;height:{height}px;border:0" '
        'loading="lazy"></iframe>'
    )


def table(rows: Sequence[tuple[str, str]], caption: str = "") -> str:
    """A plain table of two columns."""
    body = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
        for name, value in rows
    )
    title = f"<caption style='text-align:left'>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<tbody>{body}</tbody></table>"


def _packed(one: NotebookShape) -> web_geometry.PackedGeometry:
    """The encoded shape, with the camera target and distance."""
    if one.faces is None:
        packed = web_geometry.cloud(one.points, one.normals, one.colour, 0, one.given)
    else:
        packed = web_geometry.mesh(np.asarray(one.points, np.float64), one.faces)
    points = np.asarray(one.points, np.float64)
    cameras = fit(points, np.arange(0.0, 360.0, 45.0))  # every side must fit
    packed.header["target"] = ((points.min(0) + points.max(0)) / 2).tolist()
    packed.header["distance"] = cameras[0].distance
    return packed
