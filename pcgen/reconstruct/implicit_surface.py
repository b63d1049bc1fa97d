"""An implicit surface around points with normals, noisy or not.

1. Normals are turned outwards. Those of thin parts, which air reaches from both sides, point away
   from the ridge of the density of the points; points of open sheets, which lie on it, get two
   sides. The others follow a Poisson equation: its solution is the winding number, which gaps in
   the points change little, and its slope turns normals again (Hou et al., "Iterative Poisson
   surface reconstruction for unoriented points", 2022).
2. Near the points the signed distance is the mean distance from their planes (Shen, O'Brien and
   Shewchuk, "Interpolating and approximating implicit surfaces from polygon soup", 2004), which
   averages noise out and keeps thin sheets; elsewhere the winding number decides. Planes of noisy
   points are averaged over more of them, those of clean points over few, which keeps detail.
3. Holes up to six cells wide, which thin sheets have in gaps of the points, are filled.
4. The zero level is extracted, its bubbles and hollows dropped; it is simplified and flattened.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError
from pcgen.reconstruct.cloud import CleanCloud
from pcgen.reconstruct.flatten import flattened
from pcgen.reconstruct.level_set import RESOLUTION, check_resolution
from pcgen.reconstruct.surface_nets import CORNERS, surface_nets
from pcgen.reconstruct.tunnels import close_tunnels
from pcgen.reconstruct.watertight import decimate, simplify, without_bubbles

Points = NDArray[np.float64]
Grid = NDArray[np.float32]
Faces = NDArray[np.int64]

WIDTH = 0.8  # of the weights of planes, in spacings of noisy points
NARROW = 0.4  # ... in spacings of clean points
LEAST = 1.1  # ... at least, in cells: less leaves gaps in thin parts
CLEAN, NOISY = 0.015, 0.037  # noise in spacings, up to which points are clean; from which noisy
COARSER = 2.0  # times a cell, in the grid that normals are turned on
OPEN = 0.06  # air is what is reached from outside by a ball of this radius; the box has side 2
EMPTY = 0.1  # density over the typical one, below which a place is empty
THIN = 1.2  # coarse cells: sheets of up to about this thickness are thin parts
RIDGE = 0.7  # coarse cells, width of the density whose ridge runs inside thin parts
SHEET = 0.07  # slope over the density, up to which a point lies on the ridge
ROUNDS = 4  # of the Poisson equation
INNER = 0.85  # winding number from which a point lies inside and has no say
FULL = 0.4  # winding number at the surface where no points are
BLEND = 0.1  # density over the typical one, at which winding number and planes count the same
QUICK = 0.1  # cells by which a quick simplification may move the surface
FACES = 20_000  # at most about so many are kept


def implicit_surface(
    cloud: CleanCloud, resolution: int = RESOLUTION, thickness: float = 0.0
) -> tuple[Points, Faces]:
    """A closed manifold in the box, its faces oriented outwards.

    Args:
        cloud: with normals of any sign and its noise.
        resolution: cells along the longest side, as far as the points are dense enough. Time and
            memory (about 100 bytes a cell of the bounding box) grow with its cube.
        thickness: at least so thick are open sheets; the box has side 2.
    Raises:
        InputError: a resolution out of range. MeshError: nothing is inside.
    """
    check_resolution(resolution)
    width = float(np.interp(cloud.noise, (CLEAN, NOISY), (NARROW, WIDTH))) * cloud.spacing
    cell = max(2 / resolution, min(width / LEAST, cloud.spacing / 2))
    low, values = _distances(cloud, cell, max(width / cell, LEAST), thickness / 2)
    close_tunnels(values)
    vertices, faces = surface_nets(values)
    if not len(faces):
        raise MeshError("nothing is inside of these points")
    vertices, faces = without_bubbles(vertices, faces)
    # Simplified first: flattening fewer faces takes a third of the time and ends the same. A quick
    # simplification before the thorough one halves its time.
    vertices, faces = decimate(*simplify(vertices, faces, QUICK), FACES)
    vertices = vertices * cell + low
    return flattened(vertices, faces), faces


def _distances(cloud: CleanCloud, cell: float, width: float, half: float) -> tuple[Points, Grid]:
    """The lowest node of a grid, and signed distances in cells on it, positive on its border.

    Args:
        width: of the weights of planes, in cells. half: of the thickness of open sheets, at least.
    """
    from scipy import ndimage

    points = cloud.points
    outward, sheet, winding, origin = _oriented(cloud, COARSER * cell)
    shift = max(half, width * cell / 2) * np.where(sheet[:, None], outward, 0)
    points = np.concatenate([points + shift, (points - shift)[sheet]])
    outward = np.concatenate([outward, -outward[sheet]])
    low, shape = _grid(points, cell, int(np.ceil(3 * width)) + 2)
    fine = np.full(3, 1 / COARSER)
    place = (points - low) / cell
    weight = 1.0 * (_read(winding, (points - origin) / (COARSER * cell)) < INNER)
    known = weight[:, None] * outward
    fields = [weight, *known.T, (place * known).sum(axis=1)]
    mass, x, y, z, level = (
        ndimage.gaussian_filter(field, width, truncate=3.0, mode="constant")
        for field in _spread(shape, place, fields)
    )
    off = -level
    for axis, field in enumerate((x, y, z)):
        along = np.arange(shape[axis], dtype=np.float32)
        off += field * along.reshape([-1 if i == axis else 1 for i in range(3)])
    # The same winding number beyond the coarse grid as at its border, where it is nought.
    filled = ndimage.affine_transform(
        winding, fine, (low - origin) / (COARSER * cell), shape, order=1, mode="nearest"
    )
    typical = BLEND * float(np.median(_read(mass, place)))
    values = off + typical * width * np.clip(4 * (FULL - filled), -1, 1)
    values /= mass + typical
    for side in (values, values.transpose(1, 0, 2), values.transpose(2, 0, 1)):
        side[[0, -1]] = 1
    return low, values


def _oriented(cloud: CleanCloud, cell: float) -> tuple[Points, NDArray[np.bool_], Grid, Points]:
    """Outward normals (P, 3), which points are of open sheets, and the winding number on a grid.

    Returns:
        the lowest node of that grid too.
    """
    from scipy import fft, ndimage

    points, normals = cloud.points, cloud.normals
    assert normals is not None
    low, shape = _grid(points, cell, 6)
    shape = tuple(fft.next_fast_len(size, real=True) for size in shape)
    place = (points - low) / cell
    mass = _spread(shape, place, [np.ones(len(points))])[0]
    density = ndimage.gaussian_filter(mass, 1.0, truncate=3.0)
    ridge = ndimage.gaussian_filter(mass, RIDGE, truncate=3.0)
    here = _read(density, place)
    typical = float(np.median(here))
    air = ndimage.distance_transform_edt(density < EMPTY * typical) > OPEN / cell
    parts = ndimage.label(air)[0]
    away = ndimage.distance_transform_edt(parts != parts[0, 0, 0]).astype(np.float32)
    deeper = _slope(away, place, 2 * normals)
    thin = np.abs(deeper) < THIN
    aside = _slope(ridge, place, RIDGE * normals)
    # Noise distributes points of a sheet on both sides already.
    sheet = thin & (np.abs(aside) < SHEET * _read(ridge, place)) & (cloud.noise < NOISY)
    outward = np.where(thin, aside, deeper) >= 0
    # The area that each point stands for, in cells: density falls off as a Gaussian.
    area = 1 / (np.maximum(here, 0.2 * typical) * (2 * np.pi) ** 0.5)
    area[thin] = 0
    waves = np.meshgrid(
        *(2 * np.pi * fft.fftfreq(size) for size in shape[:2]),
        2 * np.pi * fft.rfftfreq(shape[2]),
        indexing="ij",
    )
    square = np.square(waves).sum(axis=0)
    square[0, 0, 0] = 1
    damped = 1j * np.exp(-square / 2) / square
    for _ in range(ROUNDS):
        flux = _spread(shape, place, (np.where(outward, area, -area)[:, None] * normals).T)
        flow = sum(wave * fft.rfftn(part) for wave, part in zip(waves, flux, strict=True))
        winding = fft.irfftn(damped * flow, shape).astype(np.float32)
        outward = np.where(thin, outward, _slope(winding, place, normals) >= 0)
    winding -= winding[0, 0, 0]
    return np.where(outward[:, None], normals, -normals), sheet, winding, low


def _grid(points: Points, cell: float, margin: int) -> tuple[Points, tuple[int, ...]]:
    """The lowest node and the numbers of nodes of a grid around points."""
    low = points.min(axis=0) - margin * cell
    sizes = np.ceil((points.max(axis=0) - low) / cell).astype(int) + margin + 1
    return low, tuple(int(size) for size in sizes)


def _slope(values: Grid, place: Points, step: Points) -> Points:
    """How much values (n,) fall along a step (n, 3), from one step before to one after."""
    return _read(values, place - step) - _read(values, place + step)


def _read(values: Grid, place: Points) -> Points:
    """Values (n,) at places (n, 3), interpolated linearly."""
    from scipy import ndimage

    return np.asarray(ndimage.map_coordinates(values, place.T, order=1, mode="nearest"))


def _spread(shape: tuple[int, ...], place: Points, values: list[Points] | Points) -> Grid:
    """Values (k, n) of places (n, 3) shared among the eight nodes around each: (k, *shape)."""
    corner = np.floor(place).astype(np.int64)
    share = np.where(CORNERS[:, None], place - corner, 1 - place + corner).prod(axis=2)
    node = (corner + CORNERS[:, None]) @ [shape[1] * shape[2], shape[2], 1]
    total = np.empty((len(values), int(np.prod(shape))), np.float32)
    for row, value in zip(total, values, strict=True):
        row[:] = np.bincount(node.reshape(-1), (share * value).reshape(-1), len(row))
    return total.reshape(-1, *shape)
