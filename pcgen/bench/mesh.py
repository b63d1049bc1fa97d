"""Compare the mesh reconstruction methods of pcgen and Open3D on the same shapes.

Each mesh is sampled (2048 points by area), reconstructed from the points alone, and compared with
the original in the box of side 2: 20,000 points on each, F-score at 0.02 (1 % of the box). The same
is done with true normals, and with more points. The table also shows the shares of watertight,
manifold and non-intersecting results, and CPU seconds per shape. "original" compares two samplings
of the same mesh, which gives the highest possible F-score.

With --run, the points of each mesh are also encoded and decoded by a run, and meshed without
normals and with predicted normals. These rows include the errors of the run; they show the effect
of more points and of predicted normals.

examples:
  pcgen bench mesh MESHES --shapes 40
  pcgen bench mesh MESHES --points 2048,10000 --methods facets,poisson
  pcgen bench mesh MESHES/seat --run runs/seats --methods auto --no-peers
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pcgen import progress
from pcgen.errors import InputError, PcgenError
from pcgen.files import read_text
from pcgen.shapes.formats import MESH_SUFFIXES
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.reading import read_mesh

if TYPE_CHECKING:
    from pcgen.model import ShapeModel

Points = NDArray[np.float64]
Way = Callable[[Points, Points | None], Mesh]
THRESHOLD = 0.02
SAMPLES = 20_000
ENCODED = 2048  # points that a run encodes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="MESHES", type=Path, help="folder of meshes, searched")
    parser.add_argument("--list", type=Path, help="file with one mesh path per line, below MESHES")
    parser.add_argument("--shapes", type=int, default=20, help="number of shapes, chosen by --seed")
    parser.add_argument("--points", default="2048,10000", help="numbers of points")
    parser.add_argument(
        "--methods", default="auto,facets,wrap,poisson,alpha,pivoting", help="of pcgen mesh"
    )
    parser.add_argument(
        "--run", metavar="RUN", type=Path, help="also mesh shapes decoded by this run"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave out Open3D's own methods")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice and the samples")


def run(args: argparse.Namespace) -> dict[str, Any]:
    from pcgen.reconstruct.methods import MeshSettings

    methods = [name for name in args.methods.split(",") if name]
    for name in methods:
        MeshSettings(method=name)  # refuses unknown names before any work
    try:
        counts = [int(text) for text in args.points.split(",")]
    except ValueError:
        raise InputError(f"points must be numbers with commas, got {args.points!r}") from None
    meshes = _meshes(args)
    if not methods or not counts or min(counts) < 1:
        raise InputError("at least one method and one positive number of points are needed")
    model = None
    if args.run is not None:
        from pcgen.model import ShapeModel

        model = ShapeModel.load(args.run)
    cases = list(_cases(counts, methods, not args.no_peers, model is not None))
    values: list[list[list[float]]] = [[] for _ in cases]
    with progress.bar("bench mesh", len(meshes)) as bar:
        for number, mesh in enumerate(meshes):
            rng = np.random.default_rng([args.seed, number])
            truth = _draw(mesh, SAMPLES, rng)[0]
            clouds = {("true", count): _draw(mesh, count, rng) for count in counts}
            if model is not None:
                seen = clouds["true", max(counts)][0][:ENCODED]
                clouds |= {("predicted", n): _decoded(model, seen, n, number) for n in counts}
            for row, (_, cloud, given, way) in zip(values, cases, strict=True):
                points, normals = clouds[cloud]
                row.append(_scored(way, points, normals if given else None, truth, mesh, rng))
            bar.advance()
    rows = []
    for (name, (kind, count), given, _), row in zip(cases, values, strict=True):
        f_score, watertight, manifold, uncrossed, seconds, done = np.mean(row, axis=0)
        rows.append(
            {
                "method": name,
                "cloud": "surface" if kind == "true" else "run",
                "points": count,
                "normals": kind if given else "none",
                "f_score": round(float(f_score), 4),
                "watertight": round(float(watertight), 4),
                "manifold": round(float(manifold), 4),
                "uncrossed": round(float(uncrossed), 4),
                "cpu_s": round(float(seconds), 3),
                "failed": round(1 - float(done), 4),
            }
        )
    return {"shapes": len(meshes), "threshold": THRESHOLD, "rows": rows}


def describe(result: dict[str, Any]) -> str:
    lines = [f"{result['shapes']} shapes, F-score at {result['threshold']} in a box of side 2"]
    lines.append(
        f"{'method':<24}{'cloud':<9}{'points':>7}{'normals':>11}{'F-score':>9}{'watertight':>12}"
        f"{'manifold':>10}{'uncrossed':>11}{'CPU s':>8}{'failed':>8}"
    )
    lines += [
        f"{row['method']:<24}{row['cloud']:<9}{row['points']:>7}{row['normals']:>11}"
        f"{row['f_score']:>9.3f}"
        f"{row['watertight']:>12.0%}{row['manifold']:>10.0%}{row['uncrossed']:>11.0%}"
        f"{row['cpu_s']:>8.2f}"
        f"{row['failed']:>8.0%}"
        for row in result["rows"]
    ]
    return "\n".join(lines)


def _meshes(args: argparse.Namespace) -> list[Mesh]:
    """The meshes drawn, each in the box of side 2."""
    if args.list is not None:
        try:
            names = read_text(args.list).split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read {args.list}: {error}") from None
        files = [args.source / name.strip() for name in names if name.strip()]
    else:
        files = sorted(p for p in args.source.rglob("*") if p.suffix.lower() in MESH_SUFFIXES)
    if not files:
        raise InputError(f"{args.source} holds no mesh ({', '.join(MESH_SUFFIXES)})")
    meshes: list[Mesh] = []
    for place in np.random.default_rng(args.seed).permutation(len(files)):
        if len(meshes) == args.shapes:
            break
        try:
            meshes.append(_boxed(read_mesh(files[place])))
        except PcgenError as error:
            progress.say(f"left out: {files[place]}: {error}")
    if not meshes:
        raise InputError(f"none of the {len(files)} meshes could be read")
    return meshes


def _boxed(mesh: Mesh) -> Mesh:
    used = mesh.used_vertices()
    low, high = used.min(axis=0), used.max(axis=0)
    return Mesh((mesh.vertices - (low + high) / 2) * (2 / (high - low).max()), mesh.faces)


def _draw(mesh: Mesh, count: int, rng: np.random.Generator) -> tuple[Points, Points]:
    from pcgen.shapes.surface import sample_surface

    return sample_surface(mesh, count, rng)


def _decoded(model: ShapeModel, points: Points, count: int, seed: int) -> tuple[Points, Points]:
    """The points and normals that a run makes of the latent of ``points``."""
    import torch

    latent = model.encode(torch.tensor(points[None], dtype=torch.float32))
    shape = model.decode(latent, points=count, seed=seed)
    return shape.points[0].numpy().astype(np.float64), shape.normals[0].numpy().astype(np.float64)


def _cases(
    counts: list[int], methods: list[str], peers: bool, run: bool
) -> Iterator[tuple[str, tuple[str, int], bool, Way | None]]:
    """Name, kind of cloud and its points, whether normals are given, and the way.

    A cloud's kind is named after its normals. No way is the original itself.
    """
    yield "original", ("true", counts[0]), False, None
    for kind in ("true", "predicted") if run else ("true",):
        for count in counts:
            for given in (False, True):
                for name in methods:
                    yield name, (kind, count), given, _ours(name)
            if peers:
                for name, way in _PEERS.items():
                    yield name, (kind, count), False, way


def _ours(name: str) -> Way:
    def way(points: Points, normals: Points | None) -> Mesh:
        from pcgen.reconstruct.methods import MeshSettings, reconstruct

        return reconstruct(points, normals, MeshSettings(method=name)).mesh

    return way


def _scored(
    way: Way | None,
    points: Points,
    normals: Points | None,
    truth: Points,
    original: Mesh,
    rng: np.random.Generator,
) -> list[float]:
    """F-score, watertight, manifold, uncrossed, CPU seconds, done; a failure scores zero."""
    from pcgen.reconstruct.self_intersections import crossing_faces
    from pcgen.reconstruct.topology import topology

    if way is None:
        shape = topology(original.vertices, original.faces)
        uncrossed = not len(crossing_faces(original.vertices, original.faces))
        score = _f_score(_draw(original, SAMPLES, rng)[0], truth)
        return [score, shape.watertight, shape.manifold, uncrossed, 0.0, 1.0]
    start = time.process_time()
    try:
        mesh = way(points, normals)
        seconds = time.process_time() - start
        score = _f_score(_draw(mesh, SAMPLES, rng)[0], truth)
    except PcgenError:
        return [0.0, 0.0, 0.0, 0.0, time.process_time() - start, 0.0]
    shape = topology(mesh.vertices, mesh.faces)
    uncrossed = not len(crossing_faces(mesh.vertices, mesh.faces))
    return [score, shape.watertight, shape.manifold, uncrossed, seconds, 1.0]


def _f_score(found: Points, truth: Points) -> float:
    from scipy.spatial import cKDTree

    from pcgen.reconstruct.report import harmonic

    precision = (cKDTree(truth).query(found)[0] < THRESHOLD).mean()
    recall = (cKDTree(found).query(truth)[0] < THRESHOLD).mean()
    return harmonic(float(precision), float(recall))


def _open3d_poisson(points: Points, normals: Points | None) -> Mesh:
    import open3d as o3d

    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))
    cloud.estimate_normals()
    cloud.orient_normals_consistent_tangent_plane(12)
    mesh, _ = o3d.geometry.TriangleMesh.create_from_point_cloud_poisson(cloud, depth=8, n_threads=1)
    return _mesh_of(mesh)


def _open3d_alpha(alpha: float) -> Way:
    def way(points: Points, normals: Points | None) -> Mesh:
        import open3d as o3d

        cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))
        with o3d.utility.VerbosityContextManager(o3d.utility.VerbosityLevel.Error):
            mesh = o3d.geometry.TriangleMesh.create_from_point_cloud_alpha_shape(cloud, alpha)
        return _mesh_of(mesh)

    return way


def _mesh_of(mesh: Any) -> Mesh:
    faces = np.asarray(mesh.triangles, np.int64)
    if not len(faces):
        raise InputError("Open3D found no face")
    return Mesh(np.asarray(mesh.vertices, np.float64), faces)


_PEERS: dict[str, Way] = {
    "Open3D Poisson, depth 8": _open3d_poisson,
    "Open3D alpha 0.1": _open3d_alpha(0.1),
    "Open3D alpha 0.05": _open3d_alpha(0.05),
}
