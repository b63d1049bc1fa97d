"""Triangle meshes in and out: OBJ, OFF, PLY, STL, GLB and glTF in; GLB, PLY, OBJ, STL out.

A mesh here is geometry alone: one list of vertices, one of triangles. Scene graphs are flattened
with their transforms, instances repeated, lines and points dropped, materials never opened.
"""

from __future__ import annotations

import functools
import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError, MeshError
from pcgen.files import atomic_file, parse_json
from pcgen.shapes.formats.obj import read_obj
from pcgen.shapes.formats.off import read_off
from pcgen.shapes.formats.ply import read_ply
from pcgen.shapes.formats.stl import read_stl

if TYPE_CHECKING:
    from trimesh import Trimesh

MESH_SUFFIXES = (".obj", ".off", ".ply", ".stl", ".glb", ".gltf")
WRITE_SUFFIXES = (".glb", ".ply", ".obj", ".stl")
GLTF_VERTICES, GLTF_INDICES = 34962, 34963  # what a buffer view of glTF 2.0 holds
GLTF_GREY = [0.6, 0.6, 0.6, 1.0]

#: Larger files are refused before they are read, in bytes. The largest meshes of ModelNet40 and
#: ShapeNet stay below 0.3 GB.
FILE_LIMIT = 2 * 2**30

#: Finds the file that a glTF names beside itself; gets the name as it stands in the file.
Sibling = Callable[[str], bytes]


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh in any unit.

    Attributes:
        vertices: (V, 3) float64.
        faces: (F, 3) int64, corner numbers, counter-clockwise seen from outside where the
            author cared.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]

    def triangles(self) -> NDArray[np.float64]:
        """The corners of each face, (F, 3, 3)."""
        return self.vertices[self.faces]

    def used_vertices(self) -> NDArray[np.float64]:
        """The vertices that some face uses, (U, 3)."""
        used = np.zeros(len(self.vertices), bool)
        used[self.faces] = True
        return self.vertices[used]


def read_mesh(
    source: Path | str | bytes, *, suffix: str | None = None, sibling: Sibling | None = None
) -> Mesh:
    """Read and check one mesh.

    Args:
        source: a path, or the content of a file. A glTF is read by a library, hence, by its
            path, in a process of its own; its content is read here.
        suffix: such as ``.obj``; needed with bytes, else taken from the path.
        sibling: gives the files that the content of a glTF refers to; those of a path are in
            its own folder.
    Raises:
        MeshError: not a mesh of that format, or one that :func:`check_mesh` refuses.
        InputError: no such file, an unknown suffix, or a file beyond :data:`FILE_LIMIT`.
    """
    if not isinstance(source, bytes):
        path = Path(source)
        suffix = (suffix or path.suffix).lower()
        if suffix in (".glb", ".gltf") and path.is_file():
            from pcgen.shapes.apart import read_apart

            return Mesh(**read_apart("gltf", path))
        source = read_file(path)
    suffix = (suffix or "").lower()
    if suffix not in MESH_SUFFIXES:
        raise InputError(f"mesh files end in {', '.join(MESH_SUFFIXES)}, got {suffix!r}")
    if not source:
        raise MeshError("the file is empty")
    if suffix == ".obj":
        mesh = Mesh(*read_obj(source))
    elif suffix == ".off":
        mesh = Mesh(*read_off(source))
    elif suffix == ".ply":
        ply = read_ply(source)
        if ply.faces is None:
            raise MeshError("no faces: the PLY file is a point cloud")
        mesh = Mesh(ply.vertices, ply.faces)
    elif suffix == ".stl":
        mesh = Mesh(*read_stl(source))
    else:
        mesh = _read_gltf(source, suffix, sibling)
    check_mesh(mesh)
    return mesh


def parse_gltf(path: Path) -> dict[str, NDArray[Any]]:
    """The vertices and faces of a glTF file, read in this process; see :func:`read_mesh`."""
    mesh = read_mesh(
        read_file(path), suffix=path.suffix, sibling=lambda name: _read_beside(path, name)
    )
    return {"vertices": mesh.vertices, "faces": mesh.faces}


def check_mesh(mesh: Mesh) -> None:
    """Refuse a mesh that has no surface to draw points from.

    Raises:
        MeshError: no faces, indices out of range, NaN or infinite vertices, or zero area.
    """
    if len(mesh.faces) == 0:
        raise MeshError("no faces")
    low, high = int(mesh.faces.min()), int(mesh.faces.max())
    if low < 0 or high >= len(mesh.vertices):
        bad = low if low < 0 else high
        raise MeshError(
            f"face index {bad} is out of range: there are {len(mesh.vertices)} vertices"
        )
    finite = np.isfinite(mesh.vertices).all(1)
    if not finite.all():
        raise MeshError(f"{int((~finite).sum())} vertices are NaN or infinite")
    with np.errstate(over="ignore", invalid="ignore"):
        area = float(face_areas(mesh).sum())
    if not np.isfinite(area):
        raise MeshError("coordinates are too large: the area overflows")
    if not area > 0:
        raise MeshError("the area of the surface is zero")


def face_areas(mesh: Mesh) -> NDArray[np.float64]:
    """The area of each face, (F,)."""
    crosses = face_crosses(mesh)
    return np.sqrt(np.einsum("ij,ij->i", crosses, crosses)) / 2


def face_crosses(mesh: Mesh) -> NDArray[np.float64]:
    """(b - a) × (c - a) of each face, (F, 3): its normal times twice its area."""
    # By coordinate: three times as fast as numpy.cross on gathered corners.
    x, y, z = np.ascontiguousarray(mesh.vertices.T)
    a, b, c = np.ascontiguousarray(mesh.faces.T)
    ux, uy, uz = x[b] - x[a], y[b] - y[a], z[b] - z[a]
    vx, vy, vz = x[c] - x[a], y[c] - y[a], z[c] - z[a]
    return np.stack([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx], 1)


def write_mesh(
    path: Path | str,
    mesh: Mesh,
    *,
    normals: NDArray[np.floating] | None = None,
    colours: NDArray[np.uint8] | None = None,
) -> Path:
    """Write one mesh atomically in the format its suffix names; gives the path.

    Arguments and errors are those of :func:`mesh_bytes`; StorageError: it cannot be written.
    """
    path = Path(path)
    data = mesh_bytes(mesh, path.suffix, normals=normals, colours=colours, name=path.stem)
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)
    return path


def mesh_bytes(
    mesh: Mesh,
    suffix: str,
    *,
    normals: NDArray[np.floating] | None = None,
    colours: NDArray[np.uint8] | None = None,
    name: str = "mesh",
) -> bytes:
    """One mesh as the content of a file that ends in ``suffix``.

    Args:
        name: of the object, which GLB keeps.
        normals: (V, 3) unit normals at the vertices (GLB, PLY and OBJ keep them).
        colours: (V, 3) or (V, 4) of 0-255 at the vertices (GLB, PLY and OBJ keep them).
    Raises:
        InputError: an unknown suffix, or arrays that do not fit the mesh.
    """
    suffix = suffix.lower()
    if suffix not in WRITE_SUFFIXES:
        raise InputError(f"meshes are written as {', '.join(WRITE_SUFFIXES)}, got {suffix!r}")
    count = len(mesh.vertices)
    if normals is not None and normals.shape != (count, 3):
        raise InputError(f"normals must be ({count}, 3), got {normals.shape}")
    if colours is not None and (len(colours) != count or colours.shape[1:] not in ((3,), (4,))):
        raise InputError(f"colours must be ({count}, 3) or ({count}, 4), got {colours.shape}")
    import trimesh

    solid = trimesh.Trimesh(
        mesh.vertices, mesh.faces, process=False, vertex_normals=normals, vertex_colors=colours
    )
    options: dict[str, Any] = {}
    if suffix in (".ply", ".obj", ".glb"):
        options["vertex_normal" if suffix == ".ply" else "include_normals"] = normals is not None
    if suffix == ".glb":
        options["tree_postprocessor"] = functools.partial(_finish_gltf, name)
    data: Any = solid.export(file_type=suffix[1:], **options)
    return data.encode() if isinstance(data, str) else bytes(data)


def _finish_gltf(name: str, tree: dict[str, Any]) -> None:
    """What trimesh leaves out of glTF: a name, the use of each buffer view, and a plain material.

    Without a material the standard means bare metal, which viewers draw nearly black.
    """
    indices = {part["indices"] for mesh in tree["meshes"] for part in mesh["primitives"]}
    for number, accessor in enumerate(tree["accessors"]):
        view = tree["bufferViews"][accessor["bufferView"]]
        view["target"] = GLTF_INDICES if number in indices else GLTF_VERTICES
    for named in (*tree["meshes"], *tree["nodes"]):
        if "mesh" in named or "primitives" in named:
            named["name"] = name
    parts = [part for mesh in tree["meshes"] for part in mesh["primitives"]]
    if any("COLOR_0" in part["attributes"] for part in parts):
        return  # trimesh reads a material in place of the colours
    matt = {"baseColorFactor": GLTF_GREY, "metallicFactor": 0.0, "roughnessFactor": 0.7}
    tree["materials"] = [{"name": "matt", "pbrMetallicRoughness": matt}]
    for part in parts:
        part["material"] = 0


def read_file(path: Path, limit: int = FILE_LIMIT) -> bytes:
    """The content of a file that exists and is not beyond ``limit`` bytes."""
    if not path.is_file():
        raise InputError(f"no file at {path}")
    size = path.stat().st_size
    if size > limit:
        raise InputError(f"{path} has {size} bytes; the limit for one mesh is {limit}")
    with path.open("rb") as stream:
        data = stream.read(size + 1)
    if len(data) > size:
        raise InputError(f"{path} holds more than its {size} bytes; copy it to an ordinary file")
    return data


def _read_gltf(data: bytes, suffix: str, sibling: Sibling | None) -> Mesh:
    import trimesh

    _refuse_compressed(data)
    logging.getLogger("trimesh").setLevel(logging.CRITICAL)
    try:
        scene = trimesh.load_scene(
            io.BytesIO(data),
            file_type=suffix[1:],
            resolver=_Resolver(sibling),  # type: ignore[arg-type]
            process=False,
            skip_materials=True,
        )
        return _flatten(scene)
    except MeshError:
        raise
    except Exception as error:  # a parser of foreign bytes: it may fail in any way
        reason = f"{type(error).__name__}: {error}"[:200]
        raise MeshError(f"not a readable {suffix} file ({reason})") from None


def _flatten(scene: Any) -> Mesh:
    """All triangles of a trimesh scene in world coordinates."""
    vertices, faces, offset = [], [], 0
    for node in sorted(scene.graph.nodes_geometry):
        transform, name = scene.graph[node]
        part: Trimesh = scene.geometry[name]
        if not hasattr(part, "faces") or len(part.faces) == 0:
            continue  # lines and points
        moved = np.asarray(part.vertices, np.float64) @ transform[:3, :3].T + transform[:3, 3]
        corners = np.asarray(part.faces, np.int64)
        if np.linalg.det(transform[:3, :3]) < 0:
            corners = corners[:, ::-1]  # a mirror turns faces inside out
        vertices.append(moved)
        faces.append(corners + offset)
        offset += len(moved)
    if not faces:
        raise MeshError("no faces")
    return Mesh(np.concatenate(vertices), np.concatenate(faces))


def _refuse_compressed(data: bytes) -> None:
    """glTF extensions that replace the geometry itself cannot be skipped."""
    start = data.find(b"{") if data[:4] == b"glTF" else 0
    length = int.from_bytes(data[12:16], "little") if data[:4] == b"glTF" else len(data)
    try:
        tree = parse_json(data[start : start + length])
        needed = tree.get("extensionsRequired", [])
    except (ValueError, AttributeError, RecursionError):
        raise MeshError("not a readable glTF file: its JSON part is damaged") from None
    for name in needed if isinstance(needed, list) else []:
        if name in ("KHR_draco_mesh_compression", "EXT_meshopt_compression"):
            raise MeshError(f"its geometry is compressed with {name}; export it uncompressed")


class _Resolver:
    """What trimesh asks for the files that a glTF names."""

    def __init__(self, sibling: Sibling | None) -> None:
        self._sibling = sibling

    def get(self, name: str) -> bytes:
        if self._sibling is None:
            raise MeshError(f"it needs the file {name}, which cannot be found from here")
        return self._sibling(name)

    __getitem__ = get


def _read_beside(path: Path, name: str) -> bytes:
    """A file in the folder of ``path`` or below it, never outside."""
    folder = path.parent.resolve()
    target = (folder / name).resolve()
    if not target.is_relative_to(folder):
        raise MeshError(f"it refers to {name}, outside its own folder; refused")
    return read_file(target)
