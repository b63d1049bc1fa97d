"""Convert the state of the viewer to arrays that any 3D library can draw.

Points are drawn as balls, as in :mod:`pcgen.render`, with the ambient occlusion in their colours.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pcgen.evaluate.neighbours import Neighbour
from pcgen.render import lighting, palette, primitives
from pcgen.render.camera import AZIMUTH, ELEVATION, orbit_axes
from pcgen.render.renderer import Renderer
from pcgen.render.simplification import simplify
from pcgen.shapes.mesh_files import Mesh
from pcgen.viewer.sources import ViewedShape

if TYPE_CHECKING:
    from pcgen.viewer.state import ViewState

Array = NDArray[np.float64]

PLAY_SECONDS = 3.0  # of the animation of the flow
FINE_BALLS = 2500  # largest number of finely tessellated balls for a CPU
MOST_BALLS = 6000  # more points are drawn as dots
MOST_PATHS = 400
MOST_NORMALS = 1000  # more would hide the points
MOST_FACES = 300_000
GAP = 0.25  # between shapes side by side, in box units
NORMAL_LENGTH = 0.06
BACK = 0.22  # strength of the light from behind
DARKEST = 0.42  # brightness of a fully occluded dot
MOST_LIT_FACES = 60_000  # occlusion of larger meshes would take too long
_RIGHT = orbit_axes(AZIMUTH, ELEVATION)[0]
_KEY = primitives.normalised(np.array(lighting.KEY_FROM) @ orbit_axes(AZIMUTH, ELEVATION))


@dataclass(frozen=True)
class Drawable:
    """One geometry to draw.

    Attributes:
        name: of the layer; key: equal for equal content, which is then not uploaded again.
        kind: ``triangles`` (vertices, faces), ``lines`` (vertices, faces = pairs) or ``dots``
            (vertices only).
        colours: (v, 3) sRGB per vertex, including light; for lines, one per line.
        radius: of a dot, in box units.
    """

    name: str
    key: tuple[Any, ...]
    kind: str
    vertices: Array
    colours: Array
    faces: NDArray[np.int64] | None = None
    radius: float = 0.0


def precompute_lighting(item: ViewedShape) -> ViewedShape:
    """Compute the lighting of a shape, which would block the window; returns the shape."""
    cloud_lighting(item.points)
    if item.mesh is not None:
        mesh_lighting(item.mesh)
    return item


def drawables(
    item: ViewedShape | None, state: ViewState, nearest: Neighbour | None
) -> list[Drawable]:
    """The geometries of all layers that are shown and available."""
    if item is None:
        return []
    shown = []
    layers, size = state.layers, state.point_size
    balls_as = "dots" if state.dots else "coarse" if state.coarse else "fine"
    here = (item.serial, state.time)
    points = item.drawn(item.at(state.time)).astype(np.float64)
    # Light and size are those of the final shape, so that they do not change during the flow.
    light, radius = cloud_lighting(item.points)
    key: tuple[Any, ...]
    if "points" in layers:
        colours = cloud_colours(item, state.colour)
        key = ("points", *here, state.colour, size)
        shown.append(_points(key, points, colours, light, size * radius, balls_as))
    if "normals" in layers and item.normals is not None:
        shown.append(_normals(("normals", *here), points, item.normals))
    mesh = item.mesh or item.sketch
    if "mesh" in layers and mesh is not None:
        shown.append(_mesh(("mesh", item.serial, item.mesh is None), mesh))
    if "base" in layers and item.base is not None:
        base = item.drawn(item.base).astype(np.float64)
        by_part = state.colour == "part" and item.part is not None
        colours = palette.by_part(item.part) if by_part else _one(palette.BASE, base)  # type: ignore[arg-type]
        key = ("base", item.serial, by_part, size)
        shown.append(
            # As large as the points, because a short flow would hide smaller ones.
            _points(key, base, colours, np.ones(len(base)), size * radius, balls_as)
        )
    if "paths" in layers and item.trace is not None:
        shown.append(_paths(("paths", item.serial), item.drawn(item.trace)))
    if "training" in layers and nearest is not None:
        other = nearest.points.astype(np.float64)
        # Beside it in the initial view.
        apart = float(np.nanmax(item.points @ _RIGHT) - (other @ _RIGHT).min()) + GAP
        light, radius = cloud_lighting(nearest.points)
        key = ("training", item.serial, nearest.row, size)
        colours = _one(palette.TRAINING, other)
        shown.append(_points(key, other + apart * _RIGHT, colours, light, size * radius, balls_as))
    return shown


_lights: dict[int, tuple[Any, Any]] = {}
_KEPT_LIGHTS = 24
_changing = threading.Lock()


def cloud_lighting(points: NDArray[Any]) -> tuple[Array, float]:
    """The visible share (n,) of the sky at each point, and the ball radius.

    This takes a tenth of a second, so recent results are cached, and the background job that loads
    a shape computes it. The same holds for :func:`mesh_lighting`.
    """
    return _cached(points, _light_cloud)


def mesh_lighting(mesh: Mesh) -> tuple[Array, Array, Array]:
    """The corners (3 f, 3) of a simplified mesh, their normals, and their sky share (3 f,)."""
    return _cached(mesh, _light_mesh)


def _cached(key: Any, make: Callable[[Any], Any]) -> Any:
    held = _lights.get(id(key))
    if held is None or held[0] is not key:
        held = (key, make(key))
        with _changing:  # the window and its workers light shapes
            while len(_lights) >= _KEPT_LIGHTS:
                _lights.pop(next(iter(_lights)))
            _lights[id(key)] = held
    return held[1]


def _light_cloud(points: NDArray[Any]) -> tuple[Array, float]:
    body = primitives.balls(points)
    light = np.ones(len(points))
    light[np.isfinite(points).all(1)] = Renderer(body).occlusion()
    return light, body.radius


def _light_mesh(mesh: Mesh) -> tuple[Array, Array, Array]:
    body = primitives.triangles(*simplify(mesh.vertices, mesh.faces, MOST_FACES)[:2])
    loose = np.arange(3 * len(body.faces)).reshape(-1, 3)
    corners, normals = body.points[body.faces].reshape(-1, 3), body.corners.reshape(-1, 3)
    split = replace(body, points=corners, faces=loose, albedo=corners)
    few = len(loose) <= MOST_LIT_FACES
    return corners, normals, Renderer(split).occlusion() if few else np.ones(len(corners))


def shaded(colours: Array, normals: Array, light: Array) -> Array:
    """sRGB colours (n, 3) under the lights of :mod:`pcgen.render`, fixed in the world.

    Light in the colours makes the picture equal on all drivers, and fast on software drivers; a
    back light keeps a rotated shape visible.
    """
    cosine = normals @ _KEY
    key = lighting.key_term(cosine) + BACK * np.clip(-cosine, 0, None)
    total = key * np.clip((light - 0.05) / 0.7, 0.15, 1) + lighting.ambient(light, normals[:, 1])
    return palette.to_srgb(palette.to_linear(colours) * total[:, None])


def _points(
    key: tuple[Any, ...],
    points: Array,
    colours: Array,
    light: Array,
    radius: float,
    balls_as: str,
) -> Drawable:
    finite = np.isfinite(points).all(1)
    points, colours, light = points[finite], colours[finite], light[finite]
    if balls_as == "dots" or len(points) > MOST_BALLS:
        dots = colours * (DARKEST + (1 - DARKEST) * light)[:, None]
        return Drawable(str(key[0]), key, "dots", points, dots, radius=radius)
    coarse = balls_as == "coarse" and len(points) > FINE_BALLS
    vertices, faces, normals = balls(points, radius, coarse)
    each = len(vertices) // max(1, len(points))
    shades = shaded(np.repeat(colours, each, axis=0), normals, np.repeat(light, each))
    return Drawable(str(key[0]), key, "triangles", vertices, shades, faces)


def _one(colour: tuple[float, float, float], points: Array) -> Array:
    return np.broadcast_to(np.array(colour), points.shape)


def cloud_colours(item: ViewedShape, mode: str) -> Array:
    """One colour per point: ``plain``, ``height``, ``normal``, or ``part`` if known."""
    points = item.points.astype(np.float64)
    if mode == "height":
        return palette.by_height(points)
    if mode == "normal":
        normals = item.normals if item.normals is not None else primitives.balls(points).normals
        return palette.by_normal(primitives.normalised(np.asarray(normals, dtype=np.float64)))
    if mode == "part" and item.part is not None:
        return palette.by_part(item.part)
    colours = np.array(_one(palette.GENERATED, points))
    colours[: item.given] = palette.GIVEN
    return colours


def _normals(key: tuple[Any, ...], points: Array, normals: NDArray[Any]) -> Drawable:
    few = np.linspace(0, len(points) - 1, min(MOST_NORMALS, len(points))).astype(np.int64)
    unit = primitives.normalised(normals[few].astype(np.float64))
    vertices = np.stack([points[few], points[few] + NORMAL_LENGTH * unit], 1).reshape(-1, 3)
    pairs = np.arange(len(vertices)).reshape(-1, 2)
    colours = palette.by_normal(unit)
    return Drawable("normals", key, "lines", vertices, colours, pairs)


def _paths(key: tuple[Any, ...], trace: NDArray[Any]) -> Drawable:
    chosen = np.linspace(0, trace.shape[1] - 1, min(MOST_PATHS, trace.shape[1])).astype(np.int64)
    paths = trace[:, chosen].astype(np.float64)
    times, count = paths.shape[:2]
    index = np.arange(times * count).reshape(times, count)
    pairs = np.stack([index[:-1], index[1:]], -1).reshape(-1, 2)
    share = np.repeat(np.linspace(0, 1, times - 1) if times > 2 else [0.5], count)[:, None]
    colours = (1 - share) * np.array(palette.BASE) + share * np.array(palette.GENERATED)
    return Drawable("paths", key, "lines", paths.reshape(-1, 3), colours, pairs)


def _mesh(key: tuple[Any, ...], mesh: Mesh) -> Drawable:
    corners, normals, light = mesh_lighting(mesh)
    colours = shaded(_one(palette.MESH, corners), normals, light)
    loose = np.arange(len(corners)).reshape(-1, 3)
    return Drawable("mesh", key, "triangles", corners, colours, loose)


def balls(
    points: Array, radius: float, coarse: bool = False
) -> tuple[Array, NDArray[np.int64], Array]:
    """Every point as a ball: vertices, faces and normals, in the order of the points."""
    unit, faces = _ball(0 if coarse else 1)
    vertices = points[:, None, :] + radius * unit
    index = faces + len(unit) * np.arange(len(points))[:, None, None]
    normals = np.broadcast_to(unit, vertices.shape)
    return vertices.reshape(-1, 3), index.reshape(-1, 3), normals.reshape(-1, 3)


@functools.cache
def _ball(subdivisions: int) -> tuple[Array, NDArray[np.int64]]:
    """A unit sphere of 20 · 4ⁿ faces: its vertices, which are their normals, and its faces."""
    from trimesh.creation import icosphere

    ball = icosphere(subdivisions=subdivisions)
    return np.asarray(ball.vertices), np.asarray(ball.faces)
