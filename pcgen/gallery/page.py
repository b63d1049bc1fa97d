"""Fill the template of the page with style, scripts, data and blobs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from pcgen import __version__
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
    "notes": "notes",
}


def report_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Labels and values of a mesh report."""
    return [
        [label, _value(report[key])]
        for key, label in REPORT_LABELS.items()
        if report.get(key) not in (None, [], ())
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


def assemble(data: Mapping[str, Any], **content: Any) -> str:
    """The HTML of the page.

    Args:
        data: JSON for the scripts.
        content: what else ``static/page.html`` names: ``title`` and ``notes``, plain text;
            ``blobs``, base64 text by element id; ``explained``, the data URI of a picture;
            ``frames`` of an interpolation, a number; ``curves``, SVG by name.
    """
    from jinja2 import Environment

    read = {name: (STATIC / name).read_text(encoding="utf-8") for name in
            ("page.html", "page.css", "three.min.js", "scene.js", "page.js")}  # fmt: skip
    return (
        Environment(autoescape=True)
        .from_string(read["page.html"])
        .render(
            content,
            style=read["page.css"],
            three=read["three.min.js"],
            scripts=read["scene.js"] + read["page.js"],
            data=as_json(data),
            version=__version__,
        )
    )


def as_json(data: Mapping[str, Any]) -> str:
    """JSON that cannot end the script element that it stands in."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else "; ".join(map(str, value))
