"""Show how a shape is generated in one picture: base, couplings, flow paths, cloud, mesh.

All panels share a camera, and a point has the colour of its part of the base in all of them. With a
good base, couplings and paths are too short to see, so they are drawn longer by a stated factor,
away from their end points.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError
from pcgen.render import palette, primitives
from pcgen.render.camera import AZIMUTH, ELEVATION, fit
from pcgen.render.renderer import Image, Renderer
from pcgen.render.sheet import sheet

Array = NDArray[np.float64]

PATHS = 300  # couplings and paths drawn
PATH_BALLS = 40  # balls along each path
PATH_RADIUS = 0.3  # of the balls of a path, relative to those of points
END_RADIUS = 0.6  # of the ball at the end of a path, likewise
VISIBLE = 0.09  # mean length of drawn couplings, as a share of the shape's longest side
FACTORS = (1, 2, 5, 10, 20, 50, 100)  # by which paths may be drawn longer
BACKGROUND_GREY = 0.82  # of the shape behind the paths


class DecodedBatch(Protocol):
    """The output of a decoder for a batch of shapes; arrays or tensors, in one frame.

    Rows of ``points`` and ``base`` (batch, n, 3) correspond; ``normals`` and the labels ``part``
    (batch, n) may be None; ``trace`` (times, batch, n, 3) leads from base to points, or is None if
    the flow takes one step.
    """

    @property
    def points(self) -> Any: ...
    @property
    def normals(self) -> Any: ...
    @property
    def base(self) -> Any: ...
    @property
    def part(self) -> Any: ...
    @property
    def trace(self) -> Any: ...


def explain(
    decoded: DecodedBatch,
    *,
    mesh: Any = None,
    size: int = 400,
    azimuth: float = AZIMUTH,
    elevation: float = ELEVATION,
) -> Image:
    """Draw how the first shape of a decoded batch was generated.

    The caption of the paths states their length relative to straight lines.

    Args:
        mesh: its mesh, an object with ``vertices`` and ``faces`` in the frame of the points.
        size: side of one panel in pixels.
    """
    points, base = _array(decoded.points), _array(decoded.base)
    if points is None or base is None or points.shape != base.shape:
        raise InputError("the shape needs as many base points as points")
    finite = np.isfinite(points).all(1) & np.isfinite(base).all(1)
    if not finite.any():
        raise InputError("no point of the shape is finite together with its base point")
    normals, part = _array(decoded.normals), _array(decoded.part)
    trace = None if decoded.trace is None else to_numpy(decoded.trace)[:, 0]
    points, base = points[finite], base[finite]
    normals = None if normals is None else normals[finite]
    colours = (
        palette.by_height(points)
        if part is None
        else palette.by_part(part[finite].astype(np.int64))
    )
    chosen = np.linspace(0, len(points) - 1, min(PATHS, len(points))).astype(np.int64)
    mean = float(np.linalg.norm(points - base, axis=1).mean())
    times = display_factor(mean, float(np.ptp(points, axis=0).max()))
    longer = f"\ndrawn {times} times as long" if times > 1 else ""
    straight = np.stack([base, points])
    paths = None if trace is None or len(trace) < 3 else trace[:, finite]
    drawn = [
        points[chosen] + times * (way[:, chosen] - points[chosen])
        for way in (straight, paths)
        if way is not None
    ]
    seen = np.concatenate([points, base, *(way.reshape(-1, 3) for way in drawn)])
    camera = fit(seen, azimuth, elevation)[0]

    def panel(body: primitives.Primitives, ground: bool = True) -> Image:
        return Renderer(body, ground=ground).shoot(camera, (size, size))

    final = primitives.balls(points, normals, colours)
    panels = [
        (panel(replace(primitives.balls(base, None, colours), radii=final.radii)), "1  base points")
    ]
    texts = [f"couplings, {mean:.2g} long{longer}"]
    if paths is not None:
        texts.append(f"flow paths, {relative_path_length(paths):.2f} × straight{longer}")
    for way, text in zip(drawn, texts, strict=True):
        body = _path_balls(way, final, colours[chosen])
        panels.append((panel(body, False), f"{len(panels) + 1}  {text}"))
    panels.append((panel(final), f"{len(panels) + 1}  point cloud"))
    if mesh is not None:
        surface = panel(primitives.triangles(mesh.vertices, mesh.faces))
        panels.append((surface, f"{len(panels) + 1}  mesh"))
    pictures, captions = zip(*panels, strict=True)
    return sheet([pictures], [captions])


def display_factor(mean: float, side: float) -> int:
    """The factor by which paths of mean length ``mean`` are drawn longer in a box of ``side``."""
    return max((k for k in FACTORS if k * mean <= VISIBLE * side), default=1) if mean > 0 else 1


def relative_path_length(paths: Array) -> float:
    """The length of paths (times, n, 3) over that of the straight lines between their ends."""
    length = np.linalg.norm(np.diff(paths, axis=0), axis=2).sum()
    straight = np.linalg.norm(paths[-1] - paths[0], axis=1).sum()
    return float(length / straight) if straight > 0 else 1.0


def _path_balls(paths: Array, shape: primitives.Balls, colours: Array) -> primitives.Balls:
    """Paths (times, n, 3) as rows of small balls that end in a larger one, over the grey shape."""
    times = np.linspace(0, len(paths) - 1, PATH_BALLS)
    early = np.minimum(times.astype(np.int64), len(paths) - 2)
    late_share = (times - early)[:, None, None]
    beads = (1 - late_share) * paths[early] + late_share * paths[early + 1]
    # Paths start pale and end in the colour of their point.
    strength = np.linspace(0.35, 1.0, PATH_BALLS)[:, None, None]
    shades = strength * colours + (1 - strength) * 0.85
    ghost = np.full(shape.points.shape, BACKGROUND_GREY)
    everywhere = np.concatenate([beads.reshape(-1, 3), paths[-1], shape.points])
    albedo = palette.to_linear(np.concatenate([shades.reshape(-1, 3), colours, ghost]))
    sizes = [
        PATH_RADIUS * shape.radius,
        END_RADIUS * shape.radius,
        0.5 * PATH_RADIUS * shape.radius,
    ]
    radii = np.repeat(sizes, [beads.size // 3, paths.shape[1], len(shape.points)])
    return primitives.Balls(everywhere, np.zeros_like(everywhere), albedo, radii)


def to_numpy(values: Any) -> NDArray[Any]:
    """An array or a tensor as an array."""
    return np.asarray(values.detach().cpu().numpy() if hasattr(values, "detach") else values)


def _array(values: Any) -> Array | None:
    return None if values is None else to_numpy(values)[0].astype(np.float64)
