"""A learned implicit from the latent, beside the surface of drawn points (``wrap``).

    python -m tests.benchmarks.implicit RUN SOURCE --out OUT --minutes 3,8

A field f(z, x), the distance from x to the surface and negative inside, is trained for so many
minutes of one core on the shapes of a finished RUN, whose autoencoder stays as it is: the latent
gives a volume of features, and beside them stands the log-density of the latent's mixture. Shapes
of both splits are encoded, decoded and meshed, and compared with the meshes of SOURCE, what the
data set was prepared from: 20,000 points each way in the box of side 2. OUT keeps the fields, and
the meshes of these and of new latents, to look at; a field that is there is not trained again.

Clouds have no inside, so inside is what air does not reach when the points have walls. What it
does reach, sheets and slim rods among it, has no negative distance: ``@64:0.012`` is the surface
where f is 0.012, by marching cubes on 64 cells a side, closed rooms filled. ``+cells``: of the
drawn points' Delaunay cells the small ones and those in whose middle f is below INSIDE; ``cells``:
the small ones alone.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import open3d as o3d
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from scipy import ndimage
from scipy.spatial import cKDTree
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pcgen.config import from_plain
from pcgen.latent.augment import augment
from pcgen.latent.autoencoder import EXTENT_SCALE, FLATTEST, Autoencoder, AutoencoderSettings
from pcgen.model import ShapeModel
from pcgen.model.trajectories import load_weights
from pcgen.reconstruct import MESH_POINTS
from pcgen.reconstruct.cloud import joggled, prepare_cloud
from pcgen.reconstruct.denoise import denoise
from pcgen.reconstruct.facets import facet_shape
from pcgen.reconstruct.inside_cells import cells, circumradius, delaunay, surface
from pcgen.reconstruct.methods import MeshSettings, reconstruct
from pcgen.reconstruct.report import harmonic, volume
from pcgen.reconstruct.thicken import compact
from pcgen.reconstruct.topology import topology
from pcgen.reconstruct.watertight import close, drop_crumbs
from pcgen.runfile import read_run
from pcgen.shapes.listing import read_entry, scan
from pcgen.shapes.mesh_files import Mesh, mesh_bytes
from pcgen.shapes.reading import read_mesh
from pcgen.shapes.store import Dataset
from pcgen.shapes.surface import sample_surface

Points = NDArray[np.floating]
BOX = 1.1  # half the side of what is looked at
WALL, CELLS = 0.02, 128  # half the thickness that keeps air out, on a grid of so many cells
CLAMP, INSIDE = 0.1, 0.005  # distances beyond are alike; below are inside
BATCH, PLACES, ENCODED, RATE = 8, 1024, 768, 2e-3  # shapes a step, places each, points encoded


class Distance:
    """Distances to the surface of a cloud with normals, whose points are overlapping discs."""

    def __init__(self, points: Points, normals: Points) -> None:
        self.points, self.normals, self._tree = points, normals, cKDTree(points)
        self._radius = np.median(self._tree.query(points, 7)[0][:, 6])
        middle = (np.indices((CELLS,) * 3).reshape(3, -1).T + 0.5) * (2 * BOX / CELLS) - BOX
        near = np.zeros((CELLS,) * 3, bool)
        near[tuple(((points + BOX) * CELLS / (2 * BOX)).astype(int).T)] = True
        near = ndimage.binary_dilation(near, iterations=3)
        shell = near.copy()
        shell[near] = self._unsigned(middle[near.reshape(-1)]) < WALL
        part = ndimage.label(~shell)[0]
        air = part == part[0, 0, 0]
        core, far = ~air & ~shell, ndimage.distance_transform_edt
        # The shell itself is inside where the core is nearer than the air.
        self._depth = far(~air) - far(~core) if core.any() else np.full(air.shape, -1.0)

    def _unsigned(self, x: Points) -> Points:
        index = self._tree.query(x, 6)[1]
        arm = x[:, None] - self.points[index]
        off = np.einsum("qkd,qkd->qk", arm, self.normals[index])
        along = np.sqrt(np.maximum((arm**2).sum(2) - off**2, 0))
        return np.hypot(off, np.maximum(along - self._radius, 0)).min(1)

    def examples(self, count: int, rng: np.random.Generator) -> Points:
        """Places and their distances (count, 4): half near the surface, a quarter anywhere."""
        near = self.points[rng.integers(len(self.points), size=count * 3 // 4)]
        spread = np.where(rng.random((len(near), 1)) < 2 / 3, 0.02, 0.07)
        anywhere = rng.uniform(-BOX, BOX, (count - len(near), 3))
        x = np.concatenate([near + spread * rng.normal(size=near.shape), anywhere])
        place = ((x + BOX) * CELLS / (2 * BOX) - 0.5).T
        depth = ndimage.map_coordinates(self._depth, place, order=1, mode="nearest")
        distance = np.where(depth > 0, -1, 1) * self._unsigned(x)
        return np.c_[x, distance].astype(np.float32)[rng.permutation(count)]


class Field(nn.Module):
    """Latents (batch, latent_dim) and places (batch, n, 3) to distances (batch, n)."""

    def __init__(self, codec: Autoencoder, channels: tuple[int, ...] = (64, 32, 24, 16)) -> None:
        super().__init__()
        torch.manual_seed(0)
        first, last, act = channels[0], channels[-1], nn.SiLU()
        body = [nn.Linear(codec.settings.latent_dim, 256), act, nn.Linear(256, 64 * first), act]
        body.append(nn.Unflatten(1, (first, 4, 4, 4)))
        for one, two in pairwise(channels):
            body += [nn.ConvTranspose3d(one, two, 4, 2, 1), act]
        self.body = nn.Sequential(*body[:-1])
        head = (nn.Linear(last + 4, 64), act, nn.Linear(64, 64), act, nn.Linear(64, 1))
        self.head = nn.Sequential(*head)
        self._codec = [codec]  # in a list, so that its weights are none of ours

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        logs = z[:, -3:] / EXTENT_SCALE
        sizes = (logs - logs.amax(1, keepdim=True)).exp().clamp_min(FLATTEST)
        code = x / sizes[:, None]  # the frame of the code, proportions taken out
        found = nn.functional.grid_sample(
            self.body(z), (code / (BOX + 0.05))[:, :, None, None],
            align_corners=False, padding_mode="border",
        )[..., 0, 0].mT  # fmt: skip
        return CLAMP * self.head(torch.cat([found, code, self._density(z, x)], -1))[..., 0]

    @torch.no_grad()
    def _density(self, z: Tensor, x: Tensor) -> Tensor:
        """log p(x) under the mixture of z, (batch, n, 1), scaled."""
        mixture = self._codec[0].decode(z).pruned(self._codec[0].settings.prune)
        covariance = mixture.covariance()
        precision = torch.linalg.inv(covariance)
        pull = torch.einsum("bkij,bkj->bki", precision, mixture.centre)
        constant = mixture.log_weight - 0.5 * (pull * mixture.centre).sum(-1)
        constant = constant - 0.5 * torch.logdet(covariance) - 1.5 * math.log(2 * math.pi)
        squares = (x[..., None] * x[..., None, :]).flatten(-2)
        value = -0.5 * squares @ precision.flatten(-2).mT + x @ pull.mT + constant[:, None]
        return (value.logsumexp(-1, keepdim=True) / 8).clamp(-4, 2)

    @torch.no_grad()
    def values(self, z: Tensor, x: Points) -> Points:
        parts = torch.tensor(x, dtype=torch.float32).split(2**17)
        return torch.cat([self(z, part[None])[0] for part in parts]).numpy()


def train(
    field: Field, codec: Autoencoder, clouds: Tensor, examples: Tensor, minutes: float
) -> None:
    """Train on augmented shapes, for this many minutes of processor time."""
    draw = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(field.parameters(), RATE, weight_decay=1e-4)
    mean = AveragedModel(field, multi_avg_fn=get_ema_multi_avg_fn(0.98))
    start, step = time.process_time(), 0
    while (done := (time.process_time() - start) / (60 * minutes)) < 1:
        rise, fall = min(1, (step + 1) / 50), 0.51 + 0.49 * math.cos(math.pi * done)
        optimiser.param_groups[0]["lr"] = RATE * rise * fall
        shapes = torch.randint(len(clouds), (BATCH,), generator=draw)
        first, place = (
            int(torch.randint(total - count, (1,), generator=draw))
            for total, count in ((clouds.shape[1], ENCODED), (examples.shape[1], PLACES))
        )
        cloud = clouds[shapes, first : first + ENCODED]
        moved, _ = augment(cloud, 0.2, draw)
        affine = torch.linalg.lstsq(nn.functional.pad(cloud, (0, 1), value=1.0), moved).solution
        x, distance = examples[shapes, place : place + PLACES].split([3, 1], -1)
        with torch.no_grad():
            z = codec.noisy(codec.encode(moved), draw)
        found = field(z, nn.functional.pad(x, (0, 1), value=1.0) @ affine)
        error = found.clamp(-CLAMP, CLAMP) - distance[..., 0].clamp(-CLAMP, CLAMP)
        optimiser.zero_grad()
        error.abs().mean().backward()
        nn.utils.clip_grad_norm_(field.parameters(), 1.0)
        optimiser.step()
        mean.update_parameters(field)
        step += 1
    field.load_state_dict(mean.module.state_dict())
    print(f"{minutes:g} minutes  {step} steps", flush=True)


def isosurface(field: Field, z: Tensor, side: int, level: float) -> Mesh:
    """The level set of the field on ``side``³ cells, without cavities and small components."""
    step = 2 * BOX / side
    x = (np.indices((side,) * 3).reshape(3, -1)[::-1].T + 0.5) * step - BOX  # x runs fastest
    grid = field.values(z, x).reshape((side,) * 3) - level
    grid[[0, -1]] = grid[:, [0, -1]] = grid[:, :, [0, -1]] = CLAMP
    part = ndimage.label(grid > 0)[0]
    grid[(grid > 0) & (part != part[0, 0, 0])] = -1e-3
    found = o3d.t.geometry.TriangleMesh.create_isosurfaces(o3d.core.Tensor(grid.astype("f4")))
    faces = found.triangle.indices.numpy().astype(np.int64)
    vertices = (found.vertex.positions.numpy().astype(np.float64) + 0.5) * step - BOX
    faces = faces if volume(vertices, faces) > 0 else faces[:, ::-1]
    return Mesh(*compact(vertices, drop_crumbs(vertices, faces)))


def of_cells(field: Field | None, z: Tensor, points: Points, normals: Points) -> Mesh:
    """The surface of the points' small Delaunay cells, and of those inside by the field."""
    cloud = denoise(prepare_cloud(points, normals))
    joggle = joggled(cloud.points, cloud)
    space = cells(delaunay(joggle))
    solid = circumradius(joggle, space.corners) < cloud.spacing
    if field is not None:
        middle = joggle[space.corners].mean(1) * cloud.scale + cloud.centre
        solid |= field.values(z, middle) < INSIDE
    sheets = facet_shape(joggle, space.facets)[1] < cloud.spacing
    facets = space.facets[surface(space, solid, sheets)]
    vertices, faces = close(joggle, facets, 0.008, full=True, delaunay=True)
    return Mesh(vertices * cloud.scale + cloud.centre, faces)


def score(mesh: Mesh, truth: Points) -> list[float]:
    """F-scores at 1 and 2 % of the box, genus, number of components, watertightness."""
    found = sample_surface(mesh, len(truth), np.random.default_rng(1))[0]
    there, back = cKDTree(truth).query(found)[0], cKDTree(found).query(truth)[0]
    shape = topology(mesh.vertices, mesh.faces)
    genus = math.nan if shape.genus is None else shape.genus
    f_scores = [harmonic((there < near).mean(), (back < near).mean()) for near in (0.02, 0.04)]
    return [*f_scores, genus, shape.components, shape.watertight]


def originals(data: Dataset, rows: NDArray[np.int64], source: Path) -> list[Points | None]:
    entries = {entry.where: entry for entry in scan(source).entries}
    found: list[Points | None] = []
    for row in rows:
        entry, frame = entries[data.rows[row].source], data.frame(row)
        mesh = read_mesh(read_entry(entry), suffix=entry.suffix)
        points, _ = sample_surface(mesh, 20_000, np.random.default_rng(row))
        found.append((points - frame.centre) / frame.scale)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", default="3", help="of training, of each field")
    parser.add_argument("--grids", default="64:0.007,64:0.012", help="cells a side, and the level")
    parser.add_argument("--shapes", default="4,3", help="of the training and of the test split")
    parser.add_argument("--new", type=int, default=4, help="new latents, at least 1")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    model, config = ShapeModel.load(args.run), read_run(args.run)
    sizes = from_plain(AutoencoderSettings, config["settings"]["autoencoder"])
    codec = Autoencoder.trained(sizes, load_weights(args.run / "autoencoder"))
    data = Dataset.open(config["dataset"])
    split = [data.select(split=name, categories=config["categories"]) for name in ("train", "test")]

    fields = {minutes: Field(codec) for minutes in args.minutes.split(",")}
    examples = None
    for minutes, field in fields.items():
        if not (args.out / f"{minutes}.safetensors").exists():
            if examples is None:
                rng, start = np.random.default_rng(0), time.process_time()
                clouds = zip(data.points(split[0]), data.normals(split[0]), strict=True)
                distances = (Distance(*map(np.float64, cloud)) for cloud in clouds)
                examples = torch.from_numpy(np.stack([d.examples(60_000, rng) for d in distances]))
                print(f"examples  {time.process_time() - start:.0f} CPU s", flush=True)
            seen = torch.from_numpy(data.points(split[0], 4096, part="first"))
            train(field, codec, seen, examples, float(minutes))
            save_file(field.state_dict(), args.out / f"{minutes}.safetensors")
        field.load_state_dict(load_file(args.out / f"{minutes}.safetensors"))

    counts = map(int, args.shapes.split(","))
    rows = np.concatenate([these[:count] for these, count in zip(split, counts, strict=True)])
    truths = [*originals(data, rows, args.source), *[None] * args.new]
    encoded = model.encode(torch.from_numpy(data.points(rows, 2048)))
    latents = torch.cat([encoded, model.sample_latents(args.new, seed=0)]).split(1)
    table: dict[str, list[list[float]]] = {}
    for number, (z, truth) in enumerate(zip(latents, truths, strict=True)):
        start = time.process_time()
        shape = model.decode(z, points=MESH_POINTS, seed=number)
        drawing = time.process_time() - start
        drawn = shape.points[0].numpy(), shape.normals[0].numpy()
        ways: dict[str, Callable[[], Mesh]] = {
            "wrap": lambda drawn=drawn: reconstruct(*drawn, MeshSettings(method="wrap")).mesh,
            "cells": partial(of_cells, None, z, *drawn),
        }
        for minutes, field in fields.items():
            for side, level in (grid.split(":") for grid in args.grids.split(",")):
                way = partial(isosurface, field, z, int(side), float(level))
                ways[f"{minutes} minutes@{side}:{level}"] = way
            ways[f"{minutes} minutes+cells"] = partial(of_cells, field, z, *drawn)
        for name, way in ways.items():
            start = time.process_time()
            mesh = way()
            seconds = time.process_time() - start + (0 if "@" in name else drawing)
            path = args.out / f"{number}-{name.replace(' ', '-')}.ply"
            path.write_bytes(mesh_bytes(mesh, ".ply"))
            if truth is not None:
                table.setdefault(name, []).append([*score(mesh, truth), seconds])
    print(f"{'':24}{'F 1 %':>8}{'F 2 %':>8}{'genus':>8}{'pieces':>8}{'closed':>8}{'CPU s':>8}")
    for name, scores in table.items():
        print(f"{name:24}" + "".join(f"{value:8.3f}" for value in np.nanmean(scores, axis=0)))


if __name__ == "__main__":
    main()
