"""Draw the pictures of the concept pages into a folder: python docs/pictures.py assets

Five pictures in the plane or on a line, each computed by pcgen; about a minute of one core.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment
from torch import Generator

import pcgen
from pcgen import ot
from pcgen.bench.densities import DENSITIES
from pcgen.flow.characteristic import (
    StudentSettings,
    characteristic_map,
    matching_loss,
    semigroup_loss,
    velocity_of,
)
from pcgen.flow.integrate import trajectory
from pcgen.flow.networks import LatentFlowNetwork
from pcgen.transport.conjugate.univariate import Distribution, conjugate_univariate

BLUE, RED, GREY = "#2f6f9f", "#c0392b", "#999999"


def moons(count: int, seed: int) -> torch.Tensor:
    """Two moons, (count, 2), of mean 0 and variance 1."""
    points = DENSITIES["two-moons"](count, Generator().manual_seed(seed))
    return (points - points.mean(0)) / points.std()


def panels(count: int, height: float = 3.4) -> tuple[Figure, list]:
    figure = Figure(figsize=(3.4 * count, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(np.atleast_1d(figure.subplots(1, count)))


def plane(axes, title: str, size: float = 3.0) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_aspect("equal")
    axes.set(xlim=(-size, size), ylim=(-size, size), xticks=[], yticks=[])
    axes.spines[:].set_color("0.8")


def base_initialisation(path: Path) -> None:
    """Optimal pairs of 300 draws of three bases with 300 data points."""
    data, latents = moons(300, 0).numpy(), moons(600, 1).numpy()
    figure, axes = panels(3)
    names = {"standard": "N(0, I)", "gaussian": "a fitted Gaussian", "ae-ot": "AE-OT"}
    for ax, (family, name) in zip(axes, names.items(), strict=True):
        start = pcgen.fit_base(family, latents, seed=0).sample(300, seed=2)
        cost = ((start[:, None] - data[None]) ** 2).sum(-1)
        rows, columns = linear_sum_assignment(cost)
        pairs = np.stack([start[rows], data[columns]], 1)
        ax.add_collection(LineCollection(list(pairs), colors=GREY, linewidths=0.5))
        ax.scatter(*start.T, s=6, c=BLUE, linewidths=0)
        ax.scatter(*data.T, s=6, c=RED, linewidths=0)
        plane(ax, f"from {name}: {cost[rows, columns].mean():.2f}")
    figure.savefig(path, dpi=110)


def conjugate(path: Path) -> None:
    """Data with two modes on a line, their base, and the map between them."""
    nodes = np.linspace(-6, 6, 2401)
    density = np.exp(-0.5 * ((nodes + 2) / 0.5) ** 2) + 0.6 * np.exp(
        -0.5 * ((nodes - 1.8) / 0.4) ** 2
    )
    solution = conjugate_univariate(Distribution.from_density(nodes, density))
    width = nodes[1] - nodes[0]
    middle = 0.5 * (nodes[1:] + nodes[:-1])
    figure, (left, right) = panels(2, 3.0)
    left.fill_between(middle, solution.target.masses / width, color=RED, alpha=0.35, label="ρ")
    left.plot(middle, solution.base.masses / width, color=BLUE, label="base $e^{-w}$")
    left.set_title("data ρ and their base", fontsize=10)
    left.legend(frameon=False)
    # Beyond the base's quantiles the map carries next to no mass.
    seen = slice(*np.searchsorted(solution.base.below, [1e-4, 1 - 1e-4]))
    right.plot(nodes[seen], solution.push(nodes[seen]), color="black")
    right.set_title("the map (w*)′ from the base to ρ", fontsize=10)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def semi_discrete(path: Path) -> None:
    """Cells, source, push-forward and flow of 60 atoms in two clusters."""
    rng = np.random.default_rng(3)
    atoms = rng.normal(size=(60, 2)) * 0.45 + np.repeat([[-1.5, 0.0], [1.5, 0.3]], [35, 25], 0)
    solution = ot.solve(ot.Problem(ot.Gaussian(2), torch.from_numpy(atoms)), seed=0)
    ot.plot(solution.require_converged(), path)


def extended_map(path: Path) -> None:
    """What three maps of one potential make of the same 1,500 draws."""
    atoms = moons(150, 4).double()
    solution = ot.solve(ot.Problem(ot.Gaussian(2), atoms), seed=0).require_converged()
    figure, axes = panels(3)
    titles = {"hard": "hard: atoms", "soft": "soft: mixes all", "extended": "extended"}
    for ax, (mode, title) in zip(axes, titles.items(), strict=True):
        points = ot.ExtendedMap(solution, mode).sample(1500, seed=1)
        ax.scatter(*atoms.T, s=16, facecolors="none", edgecolors=GREY, linewidths=0.6)
        ax.scatter(*points.T, s=4, c=BLUE, linewidths=0)
        plane(ax, title, 2.6)
    figure.savefig(path, dpi=110)


def characteristic(path: Path, steps: int = 1500) -> None:
    """A teacher's paths, a single Euler step of the teacher, a single evaluation of the student."""
    generator = Generator().manual_seed(0)
    data = moons(4096, 5).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        teacher, student = LatentFlowNetwork(2, 64, 2), LatentFlowNetwork(2, 64, 2)

    def learn(network, loss, steps):
        """On pairs drawn independently, so that the teacher's paths are curved."""
        optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(steps):
            start = torch.randn(512, 2, generator=generator)
            end = data[torch.randint(0, len(data), (512,), generator=generator)]
            optimiser.zero_grad()
            loss(start, end).backward()
            optimiser.step()
            schedule.step()

    learn(teacher, lambda x, y: matching_loss(teacher, x, y, generator), steps)
    teacher.requires_grad_(False)
    student.load_state_dict(teacher.state_dict())
    settings = StudentSettings()

    def semigroup(x, y):
        return semigroup_loss(student, student, teacher, x, y, settings, generator)

    learn(student, semigroup, 2 * steps)
    with torch.no_grad():
        x = torch.randn(400, 2, generator=generator)
        zero, one = torch.zeros(len(x)), torch.ones(len(x))
        paths = torch.stack(list(trajectory(velocity_of(teacher), x, steps=32)), 1)
        euler = torch.stack(list(trajectory(velocity_of(teacher), x, steps=1)), 1)
        single = torch.stack([x, characteristic_map(student, x, zero, one)], 1)
    figure, axes = panels(3)
    titles = ("teacher, 32 steps", "teacher, 1 step", "student, 1 evaluation")
    for ax, lines, title in zip(axes, (paths, euler, single), titles, strict=True):
        ax.add_collection(LineCollection(list(lines.numpy()), colors=GREY, linewidths=0.4))
        ax.scatter(*lines[:, 0].T, s=4, c="black", linewidths=0)
        ax.scatter(*lines[:, -1].T, s=8, c=BLUE, linewidths=0)
        plane(ax, title)
    figure.savefig(path, dpi=110)


PICTURES = {
    "base-initialisation.png": base_initialisation,
    "conjugate.png": conjugate,
    "semi-discrete.png": semi_discrete,
    "extended-map.png": extended_map,
    "characteristic.png": characteristic,
}


if __name__ == "__main__":
    for name, drawn in PICTURES.items():
        drawn(Path(sys.argv[1]) / name)
