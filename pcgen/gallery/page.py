"""Fill the template of the page with style, scripts, data and blobs."""

from __future__ import annotations

import html
import json
import string
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from pcgen.render import lighting, palette
from pcgen.render.camera import AZIMUTH, ELEVATION, FIELD_OF_VIEW

STATIC = resources.files("pcgen.gallery") / "static"
GENERATOR = '<meta name="generator" content="pcgen gallery">'

# Keys of mesh reports and their labels, in the order shown.
REPORT_LABELS = {
    "watertight": "watertight",
    "manifold": "manifold",
    "components": "components",
    "genus": "genus",
    "crossings": "pairs of faces that cross",
    "faces": "faces",
    "vertices": "vertices",
    "area": "area",
    "volume": "volume",
    "points_to_mesh": "points to mesh, mean",
    "mesh_to_points": "mesh to points, mean",
    "f_score": "F-score at 1 %",
    "method": "method",
    "seconds": "seconds",
}


def report_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Labels and values of a mesh report."""
    return [
        [label, _value(report[key])]
        for key, label in REPORT_LABELS.items()
        if report.get(key) is not None
    ]


def scene_data() -> dict[str, Any]:
    """The camera, colours and lights that ``static/scene.js`` needs."""
    return {
        "azimuth": AZIMUTH,
        "elevation": ELEVATION,
        "field_of_view": FIELD_OF_VIEW,
        "colours": {name: list(colour) for name, colour in palette.NAMED.items()},
        "ramp": palette.RAMP.tolist(),
        "light": lighting.constants(),
    }


def assemble(
    *,
    title: str,
    notes: Sequence[str],
    data: Mapping[str, Any],
    blobs: Mapping[str, str],
    sections: Sequence[str],
    footer: str,
) -> str:
    """The HTML of the page.

    Args:
        notes: paragraphs under the title, plain text.
        data: JSON for the scripts; blobs: base64 text by element id.
        sections: HTML after the shapes.
    """
    read = {name: (STATIC / name).read_text(encoding="utf-8") for name in
            ("page.html", "page.css", "three.min.js", "scene.js", "page.js")}  # fmt: skip
    # Escape "<", so that data cannot end the script element.
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    kept = "\n".join(
        f'<script type="text/plain" id="{html.escape(key)}">{blob}</script>'
        for key, blob in blobs.items()
    )
    return string.Template(read["page.html"]).substitute(
        title=html.escape(title),
        notes="\n".join(f"<p>{html.escape(note)}</p>" for note in notes),
        style=read["page.css"],
        three=read["three.min.js"],
        scripts=read["scene.js"] + read["page.js"],
        data=text,
        blobs=kept,
        sections="\n".join(sections),
        footer=html.escape(footer),
    )


def path_section(count: int) -> str:
    """The slider between two shapes."""
    return f"""<section><h2>Interpolation</h2>
<div class="between">
<canvas id="between" tabindex="0" aria-label="An interpolated shape; arrow keys rotate it"></canvas>
<input type="range" id="moment" min="0" max="{count - 1}" step="0.02" value="0"
 aria-label="Position between the two shapes">
<ul id="strip" role="list"></ul>
</div></section>"""


def picture_section(heading: str, uri: str, text: str) -> str:
    """A wide picture with heading and description."""
    return (
        f"<section><h2>{html.escape(heading)}</h2>\n<p>{html.escape(text)}</p>\n"
        f'<a href="{uri}" download="explained.webp"><img class="wide" loading="lazy" '
        f'src="{uri}" alt=""></a></section>'
    )


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
