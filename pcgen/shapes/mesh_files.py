"""Triangle meshes, their checks, and writing them as GLB, PLY, OBJ or STL.

A mesh has vertices and triangles only. :mod:`pcgen.shapes.reading` reads mesh files.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError, MeshError
from pcgen.shapes.formats.polygons import check_range

WRITE_SUFFIXES = (".glb", ".ply", ".obj", ".stl")
COLOURED = (".glb", ".ply", ".obj")  # formats that keep colours at vertices
GLTF_VERTICES, GLTF_INDICES = 34962, 34963  # buffer view targets of glTF 2.0
_FAR = 1000.0  # distance to the origin over size; single precision leaves 4 digits there
_FEW, _LARGE = 64, 1e70  # faces, and coordinates whose areas cannot overflow
GLTF_GREY = [0.6, 0.6, 0.6, 1.0]

#: Larger files are refused before they are read, in bytes. The largest meshes of ModelNet40 and
#: ShapeNet stay below 0.3 GB.
FILE_LIMIT = 2 * 2**30


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh in any unit.

    Attributes:
        vertices: (V, 3) float64.
        faces: (F, 3) int64 vertex numbers; counter-clockwise from outside, if oriented.
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


def check_mesh(mesh: Mesh) -> None:
    """Refuse a mesh without a surface to sample.

    Raises:
        MeshError: no faces, indices out of range, NaN or infinite vertices, or zero area.
    """
    if len(mesh.faces) == 0:
        raise MeshError("no faces")
    check_range(mesh.faces, len(mesh.vertices))
    finite = np.asarray(np.isfinite(mesh.vertices))
    if not finite.all():
        finite = np.asarray(finite.all(1))
        used = np.zeros(len(finite), bool)
        used[mesh.faces] = True
        finite |= ~used  # vertices without a face do not matter
    if not finite.all():
        raise MeshError(f"{int((~finite).sum())} vertices are NaN or infinite")
    with np.errstate(over="ignore", invalid="ignore"):
        # A few faces suffice to see that a common mesh has area; NaN is not below the bound.
        few = Mesh(mesh.vertices, mesh.faces[:_FEW])
        if np.abs(mesh.vertices).max() < _LARGE and face_areas(few).any():
            return
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


def far_offset(vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    """The offset (3,) to subtract before vertices (V, 3) are stored in single precision.

    It is zero unless the distance to the origin is over 1000 times the size, as in survey
    coordinates (UTM), where single precision would lose the shape; then it is a round number near
    the centre.
    """
    low, high = vertices.min(0), vertices.max(0)
    size = float((high - low).max())
    if not (size > 0 and np.abs([low, high]).max() > _FAR * size):
        return np.zeros(3)
    unit = 10.0 ** np.floor(np.log10(size))
    return np.asarray(np.round((low + high) / 2 / unit) * unit)


def mesh_bytes(
    mesh: Mesh,
    suffix: str,
    *,
    normals: NDArray[np.floating] | None = None,
    colours: NDArray[np.uint8] | None = None,
    name: str = "mesh",
) -> bytes:
    """The content of a mesh file that ends in ``suffix``.

    A shape far from the origin keeps its precision: PLY by doubles, OBJ as text, GLB by the
    translation of its node. STL has no such means and loses :func:`far_offset`.

    Args:
        name: of the object, for GLB.
        normals: (V, 3) unit normals of the vertices, for GLB, PLY and OBJ.
        colours: (V, 3) or (V, 4) of 0-255 of the vertices, for GLB, PLY and OBJ.
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

    offset = far_offset(mesh.vertices[mesh.faces.ravel()]) if len(mesh.faces) else np.zeros(3)
    far = bool(offset.any())
    if far and suffix == ".ply" and normals is None and colours is None:
        return _double_ply(mesh)
    shifted = mesh.vertices - offset if far and suffix in (".glb", ".stl") else mesh.vertices
    solid = trimesh.Trimesh(
        shifted, mesh.faces, process=False, vertex_normals=normals, vertex_colors=colours
    )
    options: dict[str, Any] = {}
    if suffix in (".ply", ".obj", ".glb"):
        options["vertex_normal" if suffix == ".ply" else "include_normals"] = normals is not None
    if suffix == ".glb":
        options["tree_postprocessor"] = functools.partial(_finish_gltf, name, offset)
    data: Any = solid.export(file_type=suffix[1:], **options)
    return data.encode() if isinstance(data, str) else bytes(data)


def _double_ply(mesh: Mesh) -> bytes:
    header = (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {len(mesh.vertices)}\n"
        "property double x\nproperty double y\nproperty double z\n"
        f"element face {len(mesh.faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    faces = np.empty(len(mesh.faces), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, mesh.faces
    return header.encode() + mesh.vertices.astype("<f8").tobytes() + faces.tobytes()


def _finish_gltf(name: str, offset: NDArray[np.float64], tree: dict[str, Any]) -> None:
    """Add what trimesh leaves out of glTF: a name, buffer view targets, and a plain material.

    The default material of the standard is bare metal, which viewers draw nearly black.
    """
    indices = {part["indices"] for mesh in tree["meshes"] for part in mesh["primitives"]}
    for number, accessor in enumerate(tree["accessors"]):
        view = tree["bufferViews"][accessor["bufferView"]]
        view["target"] = GLTF_INDICES if number in indices else GLTF_VERTICES
    for named in (*tree["meshes"], *tree["nodes"]):
        if "mesh" in named or "primitives" in named:
            named["name"] = name
        if "mesh" in named and offset.any():
            named["translation"] = offset.tolist()
    parts = [part for mesh in tree["meshes"] for part in mesh["primitives"]]
    if any("COLOR_0" in part["attributes"] for part in parts):
        return  # with a material, trimesh would ignore the colours
    matt = {"baseColorFactor": GLTF_GREY, "metallicFactor": 0.0, "roughnessFactor": 0.7}
    tree["materials"] = [{"name": "matt", "pbrMetallicRoughness": matt}]
    for part in parts:
        part["material"] = 0


def read_file(path: Path, limit: int = FILE_LIMIT) -> bytes:
    """The content of a file of at most ``limit`` bytes."""
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
