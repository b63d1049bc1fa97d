"""Compare the mesh reconstruction methods of pcgen and Open3D on the same shapes.

Each mesh is sampled (2048 points by area), reconstructed from the points alone, and compared with
the outer surface of the original in the box of side 2: 20,000 points on each, F-score at 0.02 (1 %
of the box), the mean cosine of normals, and the distance from mesh to surface that 99 % of the mesh
keeps, which webs raise. The same is done with true normals, and with more points. The table also
shows pieces and genus, the shares of watertight, manifold and non-intersecting results, and CPU
seconds per shape. "original" compares two samplings of the same mesh, which gives the highest
possible F-score.

With --run, the points of each mesh are also encoded and decoded by a run, and meshed without
normals and with predicted normals. These rows include the errors of the run. If the run has a
field, it also meshes the latents. --new adds shapes that the run draws, which have no original.
--sheet draws the meshes, one row per shape.

examples:
  pcgen bench mesh MESHES --shapes 40
  pcgen bench mesh MESHES --points 2048,16000 --no-peers
  pcgen bench mesh MESHES --list test.txt --run RUN --only-run --points 16000 --new 40 --no-peers
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pcgen import progress
from pcgen.errors import InputError, PcgenError
from pcgen.files import read_text
from pcgen.shapes.formats import MESH_SUFFIXES
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.reading import read_mesh

if TYPE_CHECKING:
    from torch import Tensor

    from pcgen.model import ShapeModel

Points = NDArray[np.float64]
Way = Callable[[Points, Points | None], Mesh]
#: Points and normals, or a latent and None, by what they are of and how many they are.
Drawn = dict[tuple[str, int], tuple[Points, Points | None]]
THRESHOLD = 0.02
SAMPLES = 20_000
ENCODED = 8192  # points of a cloud that a run encodes, at most
PICTURE = 320  # pixels
MOST_PICTURES = 12  # shapes on a sheet


class Case(NamedTuple):
    """A row of the table.

    Attributes:
        method: its name. cloud: ``surface``, ``run`` or ``new``; points: of it.
        normals: ``none``, ``true`` or ``predicted``.
        way: from points and normals to a mesh; None for the original itself. Of the field, which
            has no points, from a latent (1, D).
    """

    method: str
    cloud: str
    points: int
    normals: str
    way: Way | None


class Truth(NamedTuple):
    """Points of an outer surface, their outward normals, and which lie on open sheets."""

    points: Points
    normals: Points
    sheet: NDArray[np.bool_]


class MeshFigures(NamedTuple):
    """Of one mesh; NaN where there is no original to compare with, or no mesh.

    Attributes:
        why: it is not watertight; the others are numbers.
    """

    f_score: float = np.nan
    normal_agreement: float = np.nan
    distance_99: float = np.nan
    pieces: float = np.nan
    genus: float = np.nan
    watertight: float = 0.0
    manifold: float = 0.0
    uncrossed: float = 0.0
    cpu_s: float = 0.0
    failed: float = 0.0
    why: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="MESHES", type=Path, help="folder of meshes, searched")
    parser.add_argument("--list", type=Path, help="file with one mesh path per line, below MESHES")
    parser.add_argument("--shapes", type=int, default=20, help="number of shapes, chosen by --seed")
    parser.add_argument("--points", default="2048,10000", help="numbers of points")
    parser.add_argument("--methods", default="implicit", help="of pcgen mesh")
    parser.add_argument(
        "--run", metavar="RUN", type=Path, help="also mesh shapes decoded by this run"
    )
    parser.add_argument(
        "--only-run", action="store_true", help="leave out the points of the meshes themselves"
    )
    parser.add_argument("--new", type=int, default=0, metavar="N", help="shapes that RUN draws")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="draw the meshes as a PNG")
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
    if args.run is None and (args.only_run or args.new):
        raise InputError("--only-run and --new need a run; give one with --run")
    if args.new < 0:
        raise InputError(f"--new must not be negative, got {args.new}")
    import torch

    meshes = _meshes(args)
    if not methods or not counts or min(counts) < 1:
        raise InputError("at least one method and one positive number of points are needed")
    model = None
    if args.run is not None:
        from pcgen.model import ShapeModel
        from pcgen.model.pack import find_run

        model = ShapeModel.load(find_run(args.run))
    kinds = [*([] if args.only_run else ["surface"]), *(["run"] if model else [])]
    field = model is not None and model.surfaces is not None
    cases = list(_cases(kinds, counts, methods, not args.no_peers, model if field else None))
    new = list(
        _cases(
            ["new"] if args.new else [],
            counts,
            methods,
            not args.no_peers,
            model if field else None,
        )
    )
    values: dict[Case, list[MeshFigures]] = {case: [] for case in (*cases, *new)}
    pictures: list[tuple[str, list[tuple[Case, Mesh | None]]]] = []
    with progress.bar("bench mesh", len(meshes) + args.new) as bar:
        for number in range(len(meshes) + args.new):
            rng = np.random.default_rng([args.seed, number])
            made: list[tuple[Case, Mesh | None]] = []
            if number < len(meshes):
                mesh = meshes[number]
                truth: Truth | None = _outer(mesh, SAMPLES, rng)
                clouds: Drawn = {("surface", count): _draw(mesh, count, rng) for count in counts}
                if model is not None:
                    seen = clouds["surface", max(counts)][0][:ENCODED]
                    latent = model.encode(torch.tensor(seen[None], dtype=torch.float32))
                    clouds |= {("run", n): _decoded(model, latent, n, number) for n in counts}
                    clouds["run", 0] = latent.numpy(), None
                made.append((cases[0], mesh))
                values[cases[0]].append(_figures(mesh, truth, rng))
            else:
                assert model is not None
                truth, seed = None, args.seed * 1000 + number
                latent = model.sample_latents(1, seed=seed)
                clouds = {("new", n): _decoded(model, latent, n, seed) for n in counts}
                clouds["new", 0] = latent.numpy(), None
            for case in cases[1:] if truth else new:
                points, normals = clouds[case.cloud, case.points]
                found, figures = _meshed(case, points, normals, truth, rng)
                values[case].append(figures)
                made.append((case, found))
            pictures.append((f"shape {number}" if truth else f"new {number}", made))
            bar.advance()
    if args.sheet is not None:
        _draw_sheet(args.sheet, pictures)
    rows = []
    for case, figures_of in values.items():
        means = {
            name: _rounded([getattr(figures, name) for figures in figures_of])
            for name in MeshFigures._fields[:-1]
        }
        why = next((figures.why for figures in figures_of if figures.why), "")
        named = {name: value for name, value in case._asdict().items() if name != "way"}
        rows.append(named | means | {"why": why})
    return {"shapes": len(meshes), "new": args.new, "threshold": THRESHOLD, "rows": rows}


def _rounded(values: list[float]) -> float | None:
    """The mean of what is known."""
    known = np.array(values)[~np.isnan(values)]
    return round(float(known.mean()), 4) if len(known) else None


def describe(result: dict[str, Any]) -> str:
    new = f" and {result['new']} new ones" if result["new"] else ""
    lines = [f"{result['shapes']} shapes{new}, F-score at {result['threshold']} in a box of side 2"]
    columns = (
        ("F-score", "f_score", ".3f"),
        ("agreement", "normal_agreement", ".3f"),
        ("99 %", "distance_99", ".3f"),
        ("pieces", "pieces", ".1f"),
        ("genus", "genus", ".1f"),
        ("watertight", "watertight", ".0%"),
        ("manifold", "manifold", ".0%"),
        ("uncrossed", "uncrossed", ".0%"),
        ("CPU s", "cpu_s", ".2f"),
        ("failed", "failed", ".0%"),
    )
    head = f"{'method':<24}{'cloud':<9}{'points':>7}{'normals':>11}"
    lines.append(head + "".join(f"{title:>{len(title) + 2}}" for title, _, _ in columns))
    for row in result["rows"]:
        text = f"{row['method']:<24}{row['cloud']:<9}{row['points']:>7}{row['normals']:>11}"
        for title, name, kind in columns:
            cell = "-" if row[name] is None else format(row[name], kind)
            text += f"{cell:>{len(title) + 2}}"
        lines.append(text)
    whys = {row["method"]: row["why"] for row in result["rows"] if row["why"]}
    lines += [f"{method}: not watertight, such as: {why}" for method, why in whys.items()]
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


def _outer(mesh: Mesh, count: int, rng: np.random.Generator) -> Truth:
    """About ``count`` points of the outer surface of a mesh in the box, uniform by area."""
    from pcgen.shapes.signed_distances import OuterSurface

    surface = OuterSurface(mesh)
    points, normals, sheet = surface.sample(2 * count, rng)
    # The frame of solids is stretched: normals turn, and areas change by as much as these shrink.
    normals = normals / surface.half
    length = np.linalg.norm(normals, axis=1)
    chosen = rng.choice(len(points), size=count, p=length / length.sum())
    points = points * surface.half + surface.centre
    return Truth(points[chosen], (normals / length[:, None])[chosen], sheet[chosen])


def _decoded(
    model: ShapeModel, latent: Tensor, count: int, seed: int
) -> tuple[Points, Points | None]:
    """The points and normals that a run makes of a latent (1, D)."""
    shape = model.decode(latent, points=count, seed=seed)
    points, normals = (x[0].numpy().astype(np.float64) for x in (shape.points, shape.normals))
    return points, normals if normals.any() else None


def _cases(
    kinds: list[str],
    counts: list[int],
    methods: list[str],
    peers: bool,
    fields: ShapeModel | None,
) -> Iterator[Case]:
    """The rows of the table; the first of those with an original is the original."""
    if kinds != ["new"] and kinds:
        yield Case("original", "surface", SAMPLES, "none", None)
    for kind in kinds:
        known = "true" if kind == "surface" else "predicted"
        if fields is not None and kind != "surface":
            yield Case("field", kind, 0, "none", _field(fields))
        for count in counts:
            for normals in ("none", known):
                for name in methods:
                    yield Case(name, kind, count, normals, _ours(name))
            if peers:
                for name, way in _PEERS.items():
                    yield Case(name, kind, count, "none", way)
                    if way is _open3d_poisson:
                        yield Case(name, kind, count, known, way)


def _field(model: ShapeModel) -> Way:
    def way(latent: Points, normals: Points | None) -> Mesh:
        import torch

        assert model.surfaces is not None
        return model.surfaces.mesh(torch.from_numpy(latent[0]))

    return way


def _ours(name: str) -> Way:
    def way(points: Points, normals: Points | None) -> Mesh:
        from pcgen.reconstruct.methods import MeshSettings, reconstruct

        return reconstruct(points, normals, MeshSettings(method=name)).mesh

    return way


def _meshed(
    case: Case,
    points: Points,
    normals: Points | None,
    truth: Truth | None,
    rng: np.random.Generator,
) -> tuple[Mesh | None, MeshFigures]:
    """The mesh of a row, None where it failed, and its figures; the F-score of none is zero."""
    assert case.way is not None
    start = time.process_time()
    try:
        mesh = case.way(points, None if case.normals == "none" else normals)
        seconds = time.process_time() - start
        return mesh, _figures(mesh, truth, rng)._replace(cpu_s=seconds)
    except PcgenError:
        worst = np.nan if truth is None else 0.0
        return None, MeshFigures(f_score=worst, cpu_s=time.process_time() - start, failed=1.0)


def _figures(mesh: Mesh, truth: Truth | None, rng: np.random.Generator) -> MeshFigures:
    from scipy.spatial import cKDTree

    from pcgen.reconstruct.report import harmonic
    from pcgen.reconstruct.self_intersections import crossing_faces
    from pcgen.reconstruct.topology import open_edges, topology

    shape = topology(mesh.vertices, mesh.faces)
    figures = MeshFigures(
        pieces=shape.components,
        genus=np.nan if shape.genus is None else shape.genus,
        watertight=shape.watertight,
        manifold=shape.manifold,
        uncrossed=not len(crossing_faces(mesh.vertices, mesh.faces)),
        why="" if shape.watertight else open_edges(mesh.vertices, mesh.faces),
    )
    if truth is None:
        return figures
    points, normals = _draw(mesh, SAMPLES, rng)
    away, index = cKDTree(truth.points).query(points)
    missed = cKDTree(points).query(truth.points)[0]
    cosine = (normals * truth.normals[index]).sum(axis=1)
    cosine = np.where(truth.sheet[index], np.abs(cosine), cosine)
    return figures._replace(
        f_score=harmonic(float((away < THRESHOLD).mean()), float((missed < THRESHOLD).mean())),
        normal_agreement=float(cosine.mean()),
        distance_99=float(np.quantile(away, 0.99)),
    )


def _draw_sheet(path: Path, shapes: list[tuple[str, list[tuple[Case, Mesh | None]]]]) -> None:
    """One row a shape: the original, if there is one, and what each way made of it."""
    from pcgen import render

    # Half of the rows for shapes without an original, which come last.
    shown = shapes if len(shapes) <= MOST_PICTURES else _ends(shapes, MOST_PICTURES // 2)
    blank = np.full((PICTURE, PICTURE, 3), 255, np.uint8)
    rows, captions = [], []
    for name, made in shown:
        rows.append(
            [
                blank if mesh is None else render.mesh(mesh.vertices, mesh.faces, size=PICTURE)
                for _, mesh in made
            ]
        )
        captions.append(
            [
                f"{name}: {case.method}\n"
                + ("failed" if mesh is None else f"{case.points} points, normals {case.normals}")
                for case, mesh in made
            ]
        )
    render.save(render.sheet(rows, captions), path)


def _ends(values: list[Any], count: int) -> list[Any]:
    """The first and the last ``count``."""
    return values[:count] + values[-count:]


def _open3d_poisson(points: Points, normals: Points | None) -> Mesh:
    import open3d as o3d

    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))
    if normals is None:
        cloud.estimate_normals()
    else:
        cloud.normals = o3d.utility.Vector3dVector(normals)
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
