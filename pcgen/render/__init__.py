"""Draw clouds and meshes without a screen: pictures, contact sheets, turntables.

Points or triangles enter in any frame with +Y up; 8-bit pictures (height, width, 3) leave. No
graphics driver is involved and nothing is random, so every machine reproduces a picture.

* :func:`cloud` draws points as small balls, :func:`mesh` draws triangles, with soft shadows and
  ambient occlusion; :func:`turntable` rotates either; :func:`sheet` arranges pictures with
  captions; :func:`explain` shows how the flow generates a shape from its base.
* :mod:`primitives` checks the input, :mod:`raster` finds the visible primitive of each pixel,
  :mod:`lighting` computes light, and :mod:`renderer` combines them; :mod:`image_files` writes
  files.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.render import primitives
from pcgen.render.camera import AZIMUTH, ELEVATION, fit
from pcgen.render.explain import explain
from pcgen.render.image_files import save, save_gif
from pcgen.render.renderer import Image, Renderer
from pcgen.render.sheet import pair, sheet

__all__ = [
    "Image",
    "cloud",
    "explain",
    "mesh",
    "pair",
    "save",
    "save_gif",
    "sheet",
    "still",
    "turntable",
]

Colour = str | tuple[float, float, float] | NDArray[np.float64] | None


def cloud(
    points: NDArray[np.floating[Any]],
    normals: NDArray[np.floating[Any]] | None = None,
    *,
    size: int | tuple[int, int] = 512,
    azimuth: float = AZIMUTH,
    elevation: float = ELEVATION,
    colour: Colour = None,
    point_size: float = 1.0,
    ground: bool = True,
) -> Image:
    """Draw a point cloud.

    Args:
        points: (n, 3) in any unit; rows that are not finite are ignored.
        normals: (n, 3), of any sign; None estimates them.
        size: pixels, one number for a square or (width, height).
        azimuth, elevation: degrees, see :func:`pcgen.render.camera.orbit_axes`.
        colour: a name of :mod:`pcgen.render.palette`, ``#rrggbb``, or sRGB in [0, 1], (3,) or one
            per point (n, 3).
        point_size: factor of the ball size, which follows the spacing of the points.
        ground: draw the soft shadow under the shape.
    Raises:
        InputError: wrong shapes, or no finite point.
    """
    body = primitives.balls(points, normals, colour, point_size)
    return still(body, size, azimuth, elevation, ground)


def mesh(
    vertices: NDArray[np.floating[Any]],
    faces: NDArray[np.integer[Any]],
    *,
    size: int | tuple[int, int] = 512,
    azimuth: float = AZIMUTH,
    elevation: float = ELEVATION,
    colour: Colour = None,
    ground: bool = True,
) -> Image:
    """Draw a triangle mesh; the other arguments are those of :func:`cloud`.

    Args:
        vertices: (v, 3); faces: (f, 3) indices. Above 400,000 faces, the mesh is simplified.
    Raises:
        MeshError: no faces, indices out of range, or no finite face.
    """
    body = primitives.triangles(vertices, faces, colour)
    return still(body, size, azimuth, elevation, ground)


def turntable(
    body: primitives.Primitives,
    *,
    frames: int = 36,
    size: int | tuple[int, int] = 360,
    elevation: float = ELEVATION,
) -> Iterator[Image]:
    """Yield the pictures of one full rotation of primitives."""
    angles = AZIMUTH + np.linspace(0, 360, frames, endpoint=False)
    width, height = _width_height(size)
    studio = Renderer(body)
    for camera in fit(body.points, angles, elevation, aspect=width / height):
        yield studio.shoot(camera, (width, height))


def still(
    body: primitives.Primitives,
    size: int | tuple[int, int] = 512,
    azimuth: float = AZIMUTH,
    elevation: float = ELEVATION,
    ground: bool = True,
) -> Image:
    """Draw primitives, see :mod:`pcgen.render.primitives`."""
    width, height = _width_height(size)
    camera = fit(body.points, azimuth, elevation, aspect=width / height)[0]
    return Renderer(body, ground=ground).shoot(camera, (width, height))


def _width_height(size: int | tuple[int, int]) -> tuple[int, int]:
    from pcgen.errors import InputError

    width, height = (size, size) if isinstance(size, int) else size
    if not (8 <= width <= 8192 and 8 <= height <= 8192):
        raise InputError(f"a picture's sides must be 8 to 8192 pixels, got {width} x {height}")
    return width, height
