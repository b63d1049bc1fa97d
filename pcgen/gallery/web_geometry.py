"""Encode shapes for the page: quantised, with ambient occlusion, as base64.

A cloud of 2,048 points takes 22 kB of text. The bytes are little-endian, one array after the other;
the header has their sizes:

=========  =================  ===========================================================
positions  uint16 (n, 3)      ``low + value / 65535 * extent``
normals    int8 (n, 2)        octahedral code of a unit vector
light      uint8 (n,)         visible share of the sky
ground     uint8 (g, g)       shadow on the plane below, clouds only
faces      uint32 (f, 3)      meshes only
=========  =================  ===========================================================
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.render import primitives
from pcgen.render.camera import fit
from pcgen.render.image_files import webp_uri
from pcgen.render.palette import GIVEN, resolve
from pcgen.render.renderer import Renderer
from pcgen.render.simplification import simplify

Array = NDArray[np.float64]

GROUND_CELLS = 32
DISPLAY_POINTS = 4096  # of a cloud on the page
DISPLAY_FACES = 16_000  # of a mesh on the page; the download links lead to the full one
THUMBNAIL = 300  # pixels


@dataclass(frozen=True)
class PackedGeometry:
    """An encoded shape.

    Attributes:
        header: JSON-ready sizes and frame; data: the bytes as base64 text.
        thumbnail: a WebP picture with transparent background as a data URI, or "".
    """

    header: dict[str, Any]
    data: str
    thumbnail: str = ""


def cloud(
    points: NDArray[np.floating[Any]],
    normals: NDArray[np.floating[Any]] | None,
    colour: str,
    thumbnail: int = THUMBNAIL,
    given: int = 0,
) -> PackedGeometry:
    """Encode a cloud (n, 3) with its picture; see ``render.cloud`` for faulty points.

    Args:
        thumbnail: side of the picture in pixels, 0 for none.
        given: number of first points that a completion kept; they have their own colour.
    """
    points = np.asarray(points)
    if len(points) > DISPLAY_POINTS:
        few = np.linspace(0, len(points) - 1, DISPLAY_POINTS).astype(np.int64)
        points, normals = points[few], None if normals is None else np.asarray(normals)[few]
        given = int((few < given).sum())
    colours = np.array(resolve(colour, len(points)))
    colours[:given] = GIVEN
    body = primitives.balls(points, normals, colours)
    studio = Renderer(body)
    camera = fit(body.points)[0]
    picture = ""
    if thumbnail:
        shot = studio.shoot(camera, (thumbnail, thumbnail), transparent=True)
        picture = webp_uri(shot, 80)
    ground = studio.ground_map(cells=GROUND_CELLS)
    low, extent, positions = _quantise(body.points)
    parts: list[NDArray[Any]] = [
        positions,
        octahedral(body.normals),
        np.round(255 * studio.occlusion()).astype(np.uint8),
        np.round(255 * ground.dark).astype(np.uint8),
    ]
    header = {
        "count": len(body.points),
        "given": given,
        "low": _rounded(low),
        "extent": _rounded(extent),
        "radius": _rounded(body.radius),
        "ground": [_rounded(v) for v in (ground.x, ground.floor, ground.z, ground.radius)],
        "cells": GROUND_CELLS,
        "target": _rounded(camera.target),
        "distance": _rounded(camera.distance),
    }
    return PackedGeometry(header, _text(parts), picture)


def mesh(vertices: Array, faces: NDArray[np.int64]) -> PackedGeometry:
    """Encode a mesh, simplified for display, with vertices split at creases."""
    body = primitives.triangles(
        *simplify(np.asarray(vertices), np.asarray(faces), DISPLAY_FACES)[:2]
    )
    coded = octahedral(body.corners.reshape(-1, 3))
    rows = np.concatenate([body.faces.reshape(-1, 1), coded.astype(np.int64)], axis=1)
    unique, index = np.unique(rows, axis=0, return_inverse=True)
    split = replace(
        body,
        points=body.points[unique[:, 0]],
        faces=index.reshape(-1, 3),
        albedo=body.albedo[unique[:, 0]],
    )
    low, extent, positions = _quantise(split.points)
    parts: list[NDArray[Any]] = [
        positions,
        unique[:, 1:].astype(np.int8),
        np.round(255 * Renderer(split).occlusion()).astype(np.uint8),
        split.faces.astype("<u4"),
    ]
    header = {
        "count": len(split.points),
        "faces": len(split.faces),
        "low": _rounded(low),
        "extent": _rounded(extent),
    }
    return PackedGeometry(header, _text(parts))


def octahedral(normals: Array) -> NDArray[np.int8]:
    """Unit vectors (n, 3) as two bytes (Meyer et al. 2010), within about a degree; zero is +Z."""
    normals = np.where(np.abs(normals).sum(1, keepdims=True) > 0, normals, [0.0, 0.0, 1.0])
    flat = normals / np.abs(normals).sum(1, keepdims=True)
    sign = np.where(flat[:, :2] >= 0, 1.0, -1.0)
    folded = np.where(flat[:, 2:] < 0, (1 - np.abs(flat[:, 1::-1])) * sign, flat[:, :2])
    return np.round(127 * folded).astype(np.int8)


def _quantise(points: Array) -> tuple[Array, float, NDArray[np.uint16]]:
    low = points.min(0)
    extent = float(np.ptp(points, axis=0).max()) or 1.0
    return low, extent, np.round((points - low) / extent * 65535).astype("<u2")


def _rounded(value: Any) -> Any:
    return [float(f"{v:.5g}") for v in value] if np.ndim(value) else float(f"{value:.5g}")


def _text(parts: list[NDArray[Any]]) -> str:
    return base64.b64encode(b"".join(part.tobytes() for part in parts)).decode()
