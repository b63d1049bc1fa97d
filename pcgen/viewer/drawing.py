"""From the viewer's state to plain arrays that any 3D library can draw.

Points are drawn as little balls, as in :mod:`pcgen.render`, with the sky's occlusion baked into
their colours: a cloud then reads as a solid thing, also while it turns.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pcgen.evaluate.neighbours import Neighbour
from pcgen.render import bodies, palette
from pcgen.render.camera import AZIMUTH, ELEVATION, orbit_axes
from pcgen.render.display import simplify
from pcgen.render.picture import KEY_FROM, Studio
from pcgen.shapes.mesh_files import Mesh
from pcgen.viewer.sources import Item

if TYPE_CHECKING:
    from pcgen.viewer.state import ViewState

Array = NDArray[np.float64]

PLAY_SECONDS = 3.0  # of the whole flow, when it plays by itself
FINE_BALLS = 2500  # round also where a CPU draws them
MOST_BALLS = 6000  # more points are drawn as plain dots
MOST_PATHS = 400
MOST_NORMALS = 1000  # more hide the points they stand on
MOST_FACES = 300_000
GAP = 0.25  # between shapes that stand side by side, in box units
NORMAL_LENGTH = 0.06
DARKEST = 0.42  # share of its colour that a dot keeps which sees no sky
MOST_LIT_FACES = 60_000  # of a mesh whose occlusion is worth the wait
_RIGHT = orbit_axes(AZIMUTH, ELEVATION)[0]
_KEY = bodies.normalised(np.array(KEY_FROM) @ orbit_axes(AZIMUTH, ELEVATION))


@dataclass(frozen=True)
class Drawable:
    """One thing to draw.

    Attributes:
        name: of the layer; key: equal for equal content, so that nothing is uploaded twice.
        kind: ``triangles`` (vertices, faces), ``lines`` (vertices, faces = pairs) or ``dots``
            (vertices alone).
        colours: (v, 3) sRGB, one a vertex, light included; of lines one a line.
        radius: of a dot, in box units.
    """

    name: str
    key: tuple[Any, ...]
    kind: str
    vertices: Array
    colours: Array
    faces: NDArray[np.int64] | None = None
    radius: float = 0.0


def ready(item: Item) -> Item:
    """The item with its light computed, which would hold up the window."""
    lit(item.points)
    if item.mesh is not None:
        lit_mesh(item.mesh)
    return item


def drawables(item: Item | None, state: ViewState, nearest: Neighbour | None) -> list[Drawable]:
    """Everything that the state asks for and the item has."""
    if item is None:
        return []
    shown = []
    layers, size = state.layers, state.point_size
    balls_as = "dots" if state.dots else "coarse" if state.coarse else "fine"
    here = (item.serial, state.time)
    points = item.drawn(item.at(state.time)).astype(np.float64)
    # Light and size follow the finished shape, so that they hold still while it forms.
    light, radius = lit(item.points)
    key: tuple[Any, ...]
    if "points" in layers:
        colours = cloud_colours(item, state.colour)
        key = ("points", *here, state.colour, size)
        shown.append(_points(key, points, colours, light, size * radius, balls_as))
    if "normals" in layers and item.normals is not None:
        shown.append(_normals(("normals", *here), points, item.normals))
    if "mesh" in layers and item.mesh is not None:
        shown.append(_mesh(("mesh", item.serial), item.mesh))
    if "base" in layers and item.base is not None:
        base = item.drawn(item.base).astype(np.float64)
        by_part = state.colour == "part" and item.part is not None
        colours = palette.by_part(item.part) if by_part else _one(palette.BASE, base)  # type: ignore[arg-type]
        key = ("base", item.serial, by_part, size)
        shown.append(
            # As large as the points: a short flow would hide smaller ones inside them.
            _points(key, base, colours, np.ones(len(base)), size * radius, balls_as)
        )
    if "paths" in layers and item.trace is not None:
        shown.append(_paths(("paths", item.serial), item.drawn(item.trace)))
    if "training" in layers and nearest is not None:
        other = nearest.points.astype(np.float64)
        # Beside it as the camera first sees them.
        apart = float(np.nanmax(item.points @ _RIGHT) - (other @ _RIGHT).min()) + GAP
        light, radius = lit(nearest.points)
        key = ("training", item.serial, nearest.row, size)
        colours = _one(palette.TRAINING, other)
        shown.append(_points(key, other + apart * _RIGHT, colours, light, size * radius, balls_as))
    return shown


_lights: dict[int, tuple[Any, Any]] = {}
_KEPT_LIGHTS = 24


def lit(points: NDArray[Any]) -> tuple[Array, float]:
    """Share (n,) of the sky that each point sees, and the ball radius that suits the spacing.

    Takes a tenth of a second, so results for the last clouds are cached, and the background job
    that loads a shape calls it. The same holds for :func:`lit_mesh`.
    """
    return _kept(points, _light_cloud)


def lit_mesh(mesh: Mesh) -> tuple[Array, Array, Array]:
    """Corners (3 f, 3) of a mesh simplified for display, their normals and their sky (3 f,)."""
    return _kept(mesh, _light_mesh)


def _kept(key: Any, make: Callable[[Any], Any]) -> Any:
    held = _lights.get(id(key))
    if held is None or held[0] is not key:
        result = make(key)
        while len(_lights) >= _KEPT_LIGHTS:
            _lights.pop(next(iter(_lights)))
        held = _lights[id(key)] = (key, result)
    return held[1]


def _light_cloud(points: NDArray[Any]) -> tuple[Array, float]:
    body = bodies.balls(points)
    light = np.ones(len(points))
    light[np.isfinite(points).all(1)] = Studio(body).occlusion()
    return light, body.radius


def _light_mesh(mesh: Mesh) -> tuple[Array, Array, Array]:
    body = bodies.triangles(*simplify(mesh.vertices, mesh.faces, MOST_FACES)[:2])
    loose = np.arange(3 * len(body.faces)).reshape(-1, 3)
    corners, normals = body.points[body.faces].reshape(-1, 3), body.corners.reshape(-1, 3)
    split = replace(body, points=corners, faces=loose, albedo=corners)
    few = len(loose) <= MOST_LIT_FACES
    return corners, normals, Studio(split).occlusion() if few else np.ones(len(corners))


def shaded(colours: Array, normals: Array, light: Array) -> Array:
    """sRGB colours (n, 3) under the lamps of :mod:`pcgen.render`, which stand still in the world.

    Baked into the colours, so that the picture is the same on every driver, and quick on one
    that is a program; the light from behind keeps a turned shape readable.
    """
    cosine = normals @ _KEY
    key = 0.84 * np.clip((cosine + 0.15) / 1.15, 0, None) + 0.22 * np.clip(-cosine, 0, None)
    sky = 0.56 * (0.18 + 0.82 * light**1.3) * (0.86 + 0.14 * normals[:, 1])
    total = key * np.clip((light - 0.05) / 0.7, 0.15, 1) + sky
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


def cloud_colours(item: Item, mode: str) -> Array:
    """One colour a point: ``plain``, ``height``, ``normal``, or ``part`` where it is known."""
    points = item.points.astype(np.float64)
    if mode == "height":
        return palette.by_height(points)
    if mode == "normal":
        normals = item.normals if item.normals is not None else bodies.balls(points).normals
        return palette.by_normal(bodies.normalised(np.asarray(normals, dtype=np.float64)))
    if mode == "part" and item.part is not None:
        return palette.by_part(item.part)
    return _one(palette.GENERATED, points)


def _normals(key: tuple[Any, ...], points: Array, normals: NDArray[Any]) -> Drawable:
    few = np.linspace(0, len(points) - 1, min(MOST_NORMALS, len(points))).astype(np.int64)
    unit = bodies.normalised(normals[few].astype(np.float64))
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
    corners, normals, light = lit_mesh(mesh)
    colours = shaded(_one(palette.MESH, corners), normals, light)
    loose = np.arange(len(corners)).reshape(-1, 3)
    return Drawable("mesh", key, "triangles", corners, colours, loose)


def balls(
    points: Array, radius: float, coarse: bool = False
) -> tuple[Array, NDArray[np.int64], Array]:
    """Every point as a little ball: vertices, faces, normals, in the order of the points."""
    unit, faces = _coarse_ball() if coarse else _ball()
    vertices = points[:, None, :] + radius * unit
    index = faces + len(unit) * np.arange(len(points))[:, None, None]
    normals = np.broadcast_to(unit, vertices.shape)
    return vertices.reshape(-1, 3), index.reshape(-1, 3), normals.reshape(-1, 3)


@functools.cache
def _coarse_ball() -> tuple[Array, NDArray[np.int64]]:
    """An icosahedron: 12 vertices on the unit sphere, 20 faces turned outwards."""
    golden = (1 + 5**0.5) / 2
    signs = [(a, b) for a in (-1.0, 1.0) for b in (-1.0, 1.0)]
    corners = [(0.0, a, b * golden) for a, b in signs]
    corners += [(a, b * golden, 0.0) for a, b in signs]
    corners += [(b * golden, 0.0, a) for a, b in signs]
    points = bodies.normalised(np.array(corners))
    apart = np.linalg.norm(points[:, None] - points, axis=2)
    near = apart < 1.01 * apart[apart > 1e-9].min()
    triples = itertools.combinations(range(12), 3)
    faces = np.array(
        [t for t in triples if near[t[0], t[1]] and near[t[1], t[2]] and near[t[0], t[2]]]
    )
    inwards = np.linalg.det(points[faces]) < 0
    faces[inwards] = faces[inwards][:, ::-1]
    return points, faces


@functools.cache
def _ball() -> tuple[Array, NDArray[np.int64]]:
    """The icosahedron with each face cut in four: 42 vertices, 80 faces."""
    points, triples = _coarse_ball()
    vertices, middle, faces = list(points), {}, []
    for i, j, k in triples:
        for a, b in ((i, j), (j, k), (k, i)):
            if (min(a, b), max(a, b)) not in middle:
                middle[min(a, b), max(a, b)] = len(vertices)
                vertices.append(bodies.normalised(points[a] + points[b]))
        ij, jk, ki = (middle[min(a, b), max(a, b)] for a, b in ((i, j), (j, k), (k, i)))
        faces += [(i, ij, ki), (ij, j, jk), (ki, jk, k), (ij, jk, ki)]
    return np.array(vertices), np.array(faces)
