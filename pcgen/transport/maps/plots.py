"""Plots of 2D problems: cells and singular set, source samples, the push-forward, the flow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator

from pcgen.errors import InputError
from pcgen.files import atomic_file
from pcgen.transport.exact.densities import ConvexDomain
from pcgen.transport.exact.measures import exact_measure
from pcgen.transport.exact.power_diagram import PowerDiagram, power_diagram
from pcgen.transport.exact.radial_densities import GaussianDensity
from pcgen.transport.maps.extended import SemidiscreteMap
from pcgen.transport.solution import SemidiscreteSolution

# Standard deviations of an unbounded source that the plot shows.
WINDOW = 3.0

# Number of plotted paths of the flow.
MOST_PATHS = 500


@dataclass(frozen=True, eq=False)
class CellGeometry:
    """The plotted geometry of a 2D solution, in coordinates of the source.

    Attributes:
        polygons: the corners (k, 2) of each cell, in order; empty for a cell outside the plot.
        facets: (W, 2, 2) the facets between cells; jump: (W,) the scale-free jump across each.
        singular: (W,) bool, the facets of the singular set.
    """

    polygons: list[NDArray[np.float64]]
    facets: NDArray[np.float64]
    jump: NDArray[np.float64]
    singular: NDArray[np.bool_]


def cell_geometry(extended: SemidiscreteMap) -> CellGeometry:
    """Divide the source's domain, or a window of it, into the cells of the solution.

    Raises:
        InputError: the problem is not 2D.
    """
    solution = extended.solution
    if solution.problem.dim != 2:
        raise InputError(f"a picture needs atoms in 2D, got dimension {solution.problem.dim}")
    distinct = solution.problem.distinct
    atoms = solution.problem.atoms[distinct.first].double().cpu().numpy()
    offset = distinct.gather(solution.potential).cpu().numpy()
    cells = power_diagram(atoms, offset, _window(solution))
    inner = cells.inner
    ends = cells.facets.ends
    if ends is None:
        raise InputError("a picture needs atoms in 2D")
    pair = [torch.from_numpy(side[inner]) for side in (cells.facets.inside, cells.facets.outside)]
    jump = extended.jump(*pair).cpu().numpy()
    return CellGeometry(_polygons(cells), ends[inner], jump, jump > extended.largest_jump)


def plot_solution(
    solution: SemidiscreteSolution,
    path: Path | str,
    *,
    samples: int = 2000,
    seed: int = 0,
) -> None:
    """Write a figure with four panels (PNG, PDF or SVG, according to the suffix).

    The source divided into cells, each in the colour of its atom, with the singular set in red;
    samples of the base; their images under the extended map; and the flow between them, the
    straight paths (1 - t) x + t T(x), which diverge on either side of the singular set.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.figure import Figure

    extended = SemidiscreteMap(solution)
    picture = cell_geometry(extended)
    x = solution.problem.source.sample(samples, Generator().manual_seed(seed))
    mapped = extended(x)
    start, end = x.double().cpu().numpy(), mapped.points.double().cpu().numpy()
    atoms = solution.problem.atoms.double().cpu().numpy()
    first = solution.problem.distinct.first.cpu().numpy()
    shown = [i for i, polygon in enumerate(picture.polygons) if len(polygon) > 2]
    polygons = [picture.polygons[i] for i in shown]
    colour = _colours(atoms)
    own = colour[mapped.cell.cpu().numpy()]

    figure = Figure(figsize=(10, 10.4), layout="constrained")
    FigureCanvasAgg(figure)
    (cells, base), (pushed, flow) = figure.subplots(2, 2)

    crowd = min(1.0, (300 / len(shown)) ** 0.5)  # thinner lines between more cells
    cells.add_collection(PolyCollection(polygons, facecolors=colour[first[shown]], alpha=0.85))
    for chosen, colour_of, width in (
        (~picture.singular, "white", 0.6 * crowd),
        (picture.singular, "#d00000", 2.2),
    ):
        facets = list(picture.facets[chosen])
        cells.add_collection(LineCollection(facets, colors=colour_of, linewidths=width))
    all_shown = len(shown) == len(picture.polygons)
    number = f"{len(shown)}" if all_shown else f"{len(shown)} of {len(picture.polygons)}"
    cells.set_title(f"{number} cells; singular set: {int(picture.singular.sum())} facets")

    base.scatter(*start.T, s=4, c=own, linewidths=0)
    base.set_title(f"base: {samples} samples, coloured by their atom")
    corners = np.concatenate(polygons)
    for axes in (cells, base):
        axes.set_xlim(corners[:, 0].min(), corners[:, 0].max())
        axes.set_ylim(corners[:, 1].min(), corners[:, 1].max())

    pushed.scatter(*end.T, s=5, c=own, linewidths=0, zorder=2)
    pushed.scatter(*atoms.T, s=14, facecolors="none", edgecolors="0.35", linewidths=0.4, zorder=1)
    statistics = mapped.statistics()
    pushed.set_title(
        f"push-forward: {statistics['interpolated']:.0%} new (atoms: circles), "
        f"{statistics['rejected']:.1%} at a jump"
    )

    some = slice(0, MOST_PATHS)
    paths = list(np.stack([start[some], end[some]], 1))
    flow.add_collection(LineCollection(paths, colors=own[some], linewidths=0.5, alpha=0.45))
    flow.scatter(*start[some].T, s=3, c="black", linewidths=0, zorder=2)
    flow.scatter(*end[some].T, s=7, c=own[some], linewidths=0, zorder=3)
    flow.set_title("flow: from the base (black) to the push-forward")
    for axes in (cells, base, pushed, flow):
        axes.set_aspect("equal")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color("0.8")
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format=Path(path).suffix.lstrip(".") or "png", dpi=130)


def _window(solution: SemidiscreteSolution) -> ConvexDomain:
    exact = exact_measure(solution.problem.source)
    if exact is not None and not isinstance(exact.density, GaussianDensity):
        return exact.domain
    x = solution.problem.source.sample(4096, Generator().manual_seed(0)).double().numpy()
    mean, size = x.mean(0), WINDOW * x.std(0)
    return ConvexDomain.box(mean - size, mean + size)


def _polygons(cells: PowerDiagram) -> list[NDArray[np.float64]]:
    inner = cells.inner
    ends: Any = cells.facets.ends
    owner = np.concatenate([cells.facets.inside, cells.facets.outside[inner]]).repeat(2)
    corners = np.concatenate([ends, ends[inner]]).reshape(-1, 2)
    order = np.argsort(owner, kind="stable")
    groups = np.split(corners[order], np.searchsorted(owner[order], np.arange(1, cells.count)))
    polygons = []
    for group in groups:
        around = group - group.mean(0) if len(group) else group
        polygons.append(group[np.argsort(np.arctan2(around[:, 1], around[:, 0]))])
    return polygons


def _colours(atoms: NDArray[Any]) -> NDArray[np.float64]:
    """A hue by the direction of each atom from the mean: neighbours have similar colours."""
    from matplotlib.colors import hsv_to_rgb

    centred = atoms - atoms.mean(0)
    hue = (np.arctan2(centred[:, 1], centred[:, 0]) / (2 * np.pi)) % 1
    radius = np.linalg.norm(centred, axis=1)
    strength = 0.4 + 0.5 * radius / max(radius.max(), 1e-300)
    return hsv_to_rgb(np.stack([hue, strength, np.full_like(hue, 0.85)], 1))
