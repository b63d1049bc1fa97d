"""Points to meshes: our methods and Open3D's own, on the same shapes, in one run.

Each mesh is sampled (2048 points by area), meshed again from the points alone, and compared with
the original in the box of side 2: 20,000 points on each, F-score at 0.02 (1 % of the box). Then
with the true normals, and with more points. Shares of watertight and of manifold results, and CPU
seconds a shape, stand beside. "original" compares two draws of the same mesh: the most that this
F-score can reach.

examples:
  pcgen bench mesh MESHES --shapes 40
  pcgen bench mesh MESHES --points 2048,10000 --methods facets,poisson
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen import progress
from pcgen.errors import InputError, PcgenError
from pcgen.shapes.mesh_files import MESH_SUFFIXES, Mesh, read_mesh

Points = NDArray[np.float64]
Way = Callable[[Points, Points | None], Mesh]
THRESHOLD = 0.02
SAMPLES = 20_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="MESHES", type=Path, help="folder of meshes, searched")
    parser.add_argument("--list", type=Path, help="file with one mesh path a line, below MESHES")
    parser.add_argument("--shapes", type=int, default=20, help="how many, drawn by --seed")
    parser.add_argument("--points", default="2048,10000", help="numbers of points")
    parser.add_argument(
        "--methods", default="auto,facets,poisson,alpha,pivoting", help="of pcgen mesh"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave out Open3D's own methods")
    parser.add_argument("--seed", type=int, default=0, help="of the choice and the samples")


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
    cases = list(_cases(counts, methods, not args.no_peers))
    values: list[list[list[float]]] = [[] for _ in cases]
    with progress.bar("bench mesh", len(meshes)) as bar:
        for number, mesh in enumerate(meshes):
            rng = np.random.default_rng([args.seed, number])
            truth = _draw(mesh, SAMPLES, rng)[0]
            clouds = {count: _draw(mesh, count, rng) for count in counts}
            for row, (_, count, given, way) in zip(values, cases, strict=True):
                points, normals = clouds[count]
                row.append(_scored(way, points, normals if given else None, truth, mesh, rng))
            bar.advance()
    rows = []
    for (name, count, given, _), row in zip(cases, values, strict=True):
        f_score, watertight, manifold, seconds, done = np.mean(row, axis=0)
        rows.append(
            {
                "method": name,
                "points": count,
                "normals": "true" if given else "none",
                "f_score": round(float(f_score), 4),
                "watertight": round(float(watertight), 4),
                "manifold": round(float(manifold), 4),
                "cpu_s": round(float(seconds), 3),
                "failed": round(1 - float(done), 4),
            }
        )
    return {"shapes": len(meshes), "threshold": THRESHOLD, "rows": rows}


def describe(result: dict[str, Any]) -> str:
    lines = [f"{result['shapes']} shapes, F-score at {result['threshold']} in a box of side 2"]
    lines.append(
        f"{'method':<24}{'points':>8}{'normals':>9}{'F-score':>9}{'watertight':>12}"
        f"{'manifold':>10}{'CPU s':>8}{'failed':>8}"
    )
    lines += [
        f"{row['method']:<24}{row['points']:>8}{row['normals']:>9}{row['f_score']:>9.3f}"
        f"{row['watertight']:>12.0%}{row['manifold']:>10.0%}{row['cpu_s']:>8.2f}"
        f"{row['failed']:>8.0%}"
        for row in result["rows"]
    ]
    return "\n".join(lines)


def _meshes(args: argparse.Namespace) -> list[Mesh]:
    """The meshes drawn, each in the box of side 2."""
    if args.list is not None:
        try:
            names = args.list.read_text().split("\n")
        except OSError as error:
            raise InputError(f"cannot read {args.list}: {error.strerror}") from None
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


def _cases(
    counts: list[int], methods: list[str], peers: bool
) -> Iterator[tuple[str, int, bool, Way | None]]:
    """Name, points, whether normals are given, and the way; no way is the original itself."""
    yield "original", counts[0], False, None
    for count in counts:
        for given in (False, True):
            for name in methods:
                yield name, count, given, _ours(name)
        if peers:
            for name, way in _PEERS.items():
                yield name, count, False, way


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
    """F-score, watertight, manifold, CPU seconds, done; a failure scores zero."""
    from pcgen.reconstruct.topology import topology

    if way is None:
        shape = topology(original.vertices, original.faces)
        score = _f_score(_draw(original, SAMPLES, rng)[0], truth)
        return [score, shape.watertight, shape.manifold, 0.0, 1.0]
    start = time.process_time()
    try:
        mesh = way(points, normals)
        seconds = time.process_time() - start
        score = _f_score(_draw(mesh, SAMPLES, rng)[0], truth)
    except PcgenError:
        return [0.0, 0.0, 0.0, time.process_time() - start, 0.0]
    shape = topology(mesh.vertices, mesh.faces)
    return [score, shape.watertight, shape.manifold, seconds, 1.0]


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
