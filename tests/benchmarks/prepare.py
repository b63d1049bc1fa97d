"""Compare the sampling of mesh files with trimesh and Open3D, and measure several workers.

The first table is for one core: CPU milliseconds to read a mesh file, sample points with normals
and transform them to the box frame, by format and size. "area" is the relative error of the surface
area, which reveals readers that lose faces. The meshes are wrinkled spheres, with OBJ files like
those of ShapeNet (normals, groups, materials).

The second table is for `pcgen prepare` on --shapes of them, or on --source, by number of workers:
shapes per second of wall-clock time (the machine should be idle), and the core-hours that the
51,300 meshes of ShapeNetCore would take at that rate: shapes / rate * workers.

examples:
  python -m tests.benchmarks.prepare
  python -m tests.benchmarks.prepare --workers 1,2,4 --shapes 400
  python -m tests.benchmarks.prepare --source ShapeNetCore.v2/03001627 --points 15000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pcgen.cli import run_module
from pcgen.errors import InputError
from pcgen.progress import say
from pcgen.shapes.mesh_files import Mesh, face_areas

SHAPENET_MESHES = 51_300
SUFFIXES = (".obj", ".off", ".ply", ".stl", ".glb")
SUBDIVISIONS = (3, 5, 6)  # 1,280, 20,480 and 81,920 faces
REPEATS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", type=Path, help="meshes for the second table")
    parser.add_argument("--points", type=int, default=2048, help="points per cloud")
    parser.add_argument("--shapes", type=int, default=200, help="shapes of the second table")
    parser.add_argument("--workers", default="1,2", help="numbers separated by commas")
    parser.add_argument("--seed", type=int, default=0, help="seed of meshes and points")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.points < 1 or args.shapes < 1:
        raise InputError(f"expected 1 point and 1 shape, got {args.points} and {args.shapes}")
    workers = [_count(word) for word in args.workers.split(",")]
    files = list(_files(args.seed))
    rows: list[dict[str, Any]] = []
    for mesh, suffix, data in files:
        say(f"{suffix} with {len(mesh.faces)} faces")
        rows += _compare(mesh, suffix, data, args.points)
    return {
        "points": args.points,
        "rows": rows,
        "workers": list(_scaling(args, workers)),
        "shapenet_meshes": SHAPENET_MESHES,
    }


def describe(result: dict[str, Any]) -> str:
    lines = [f"{result['points']} points with normals, one core"]
    lines.append(f"{'file':<8}{'faces':>8}  {'way':<10}{'ms':>10}{'ratio':>8}{'area':>10}")
    for row in result["rows"]:
        head = f"{row['suffix']:<8}{row['faces']:>8}  {row['way']:<10}"
        if "absent" in row:
            lines.append(head + f"  {row['absent']}")
        else:
            lines.append(f"{head}{row['ms']:>10.2f}{row['ratio']:>8.1f}{row['area']:>10.1e}")
    lines += ["", f"{'workers':<10}{'shapes':>8}{'shapes/s':>10}{'speed-up':>10}{'ShapeNet':>22}"]
    lines += [
        f"{row['workers']:<10}{row['shapes']:>8}{row['rate']:>10.1f}{row['speed_up']:>10.2f}"
        f"{row['core_hours']:>11.2f} core-hours"
        for row in result["workers"]
    ]
    return "\n".join(lines)


def _count(word: str) -> int:
    if not word.isdigit() or int(word) < 1:
        raise InputError(f"--workers must be numbers of at least 1, such as 1,2,4; got {word!r}")
    return int(word)


def _wrinkled(subdivisions: int, seed: int) -> Mesh:
    """A wavy sphere; its area is that of its triangles."""
    import trimesh

    ball = trimesh.creation.icosphere(subdivisions)
    waves = np.random.default_rng(seed).normal(size=(3, 5)) * 4
    radius = 1 + 0.1 * np.sin(ball.vertices @ waves).sum(1, keepdims=True) / 5
    return Mesh(np.asarray(ball.vertices) * radius, np.asarray(ball.faces, np.int64))


def _files(seed: int) -> Iterator[tuple[Mesh, str, bytes]]:
    import trimesh

    for subdivisions in SUBDIVISIONS:
        mesh = _wrinkled(subdivisions, seed)
        solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        for suffix in SUFFIXES:
            if suffix == ".obj":
                yield mesh, suffix, _shapenet_obj(mesh)
            else:
                data: Any = solid.export(file_type=suffix[1:])
                yield mesh, suffix, data.encode() if isinstance(data, str) else data


def _shapenet_obj(mesh: Mesh) -> bytes:
    """An OBJ with a material library that is missing, normals, and a group every 200 faces."""
    lines = ["mtllib model_normalized.mtl"]
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices]
    lines += [f"vn {x:.4f} {y:.4f} {z:.4f}" for x, y, z in mesh.vertices]
    for number, (a, b, c) in enumerate(mesh.faces + 1):
        if number % 200 == 0:
            lines += [f"g mesh{number // 200}", f"usemtl material_{number // 200 % 9}"]
        lines.append(f"f {a}//{a} {b}//{b} {c}//{c}")
    return "\n".join(lines).encode()


def _compare(mesh: Mesh, suffix: str, data: bytes, points: int) -> Iterator[dict[str, Any]]:
    exact = float(face_areas(mesh).sum())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"mesh{suffix}"
        path.write_bytes(data)
        found: list[dict[str, Any]] = []
        for name, way in WAYS.items():
            row: dict[str, Any] = {"suffix": suffix, "faces": len(mesh.faces), "way": name}
            try:
                row["area"] = abs(way(path, points) / exact - 1)  # also imports what it needs
                row["ms"] = 1e3 * min(_cpu(way, path, points) for _ in range(REPEATS))
            except ImportError as error:
                row["absent"] = f"absent: {error}"
            found.append(row)
    ours = found[0]["ms"]
    for row in found:
        if "ms" in row:
            row["ratio"] = row["ms"] / ours
    yield from found


def _cpu(way: Callable[[Path, int], float], path: Path, points: int) -> float:
    start = time.process_time()
    way(path, points)
    return time.process_time() - start


def _ours(path: Path, points: int) -> float:
    from pcgen.shapes.normalise import box_frame
    from pcgen.shapes.reading import read_mesh
    from pcgen.shapes.surface import sample_surface

    mesh = read_mesh(path)
    cloud, _ = sample_surface(mesh, points, np.random.default_rng(0))
    box_frame(mesh.used_vertices()[None]).apply(cloud[None].astype(np.float32))
    return float(face_areas(mesh).sum())


def _trimesh(path: Path, points: int) -> float:
    import trimesh

    mesh: Any = trimesh.load(path, force="mesh", process=False, skip_materials=True)
    cloud, face = trimesh.sample.sample_surface(mesh, points, seed=0)
    _ = mesh.face_normals[face]
    low, high = mesh.bounds
    (cloud - (low + high) / 2) / ((high - low).max() / 2)
    return float(mesh.area)


def _open3d(path: Path, points: int) -> float:
    import open3d

    mesh = open3d.io.read_triangle_mesh(path)
    mesh.compute_triangle_normals()
    cloud = mesh.sample_points_uniformly(points, use_triangle_normal=True)
    box = cloud.get_axis_aligned_bounding_box()
    (np.asarray(cloud.points) - box.get_center()) / (box.get_max_extent() / 2)
    return float(mesh.get_surface_area())


WAYS = {"pcgen": _ours, "trimesh": _trimesh, "Open3D": _open3d}


def _scaling(args: argparse.Namespace, workers: list[int]) -> Iterator[dict[str, Any]]:
    from pcgen.shapes.prepare import prepare

    with tempfile.TemporaryDirectory() as folder:
        source = args.source or _collection(Path(folder) / "meshes", args.shapes, args.seed)
        first = None
        for count in workers:
            start = time.monotonic()
            report = prepare(
                source,
                Path(folder) / f"set{count}",
                points=args.points,
                workers=count,
                seed=args.seed,
            )
            rate = report["count"] / (time.monotonic() - start)
            first = first or rate
            yield {
                "workers": count,
                "shapes": report["count"],
                "rate": rate,
                "speed_up": rate / first,
                "core_hours": SHAPENET_MESHES / rate * count / 3600,
                "content_hash": report["content_hash"],
            }


def _collection(folder: Path, shapes: int, seed: int) -> Path:
    """OBJ files of 20,480 faces, about the mean of ShapeNetCore, in its layout."""
    for number in range(shapes):
        model = folder / "sphere" / f"{number:05d}" / "models"
        model.mkdir(parents=True)
        (model / "model_normalized.obj").write_bytes(_shapenet_obj(_wrinkled(5, seed + number)))
    return folder


if __name__ == "__main__":
    raise SystemExit(
        run_module(sys.modules[__name__], "python -m tests.benchmarks.prepare", sys.argv[1:])
    )
