"""Small shapes with known measures, and a file of each format for one shape."""

import numpy as np
import trimesh

from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.threemf import write_3mf


def box_mesh(extents=(2.0, 1.0, 0.5), centre=(3.0, -1.0, 10.0)) -> Mesh:
    solid = trimesh.creation.box(extents)
    return Mesh(np.asarray(solid.vertices) + centre, np.asarray(solid.faces, np.int64))


def obj_bytes(mesh: Mesh) -> bytes:
    lines = [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in mesh.vertices]
    lines += [f"f {a} {b} {c}" for a, b, c in mesh.faces + 1]
    return "\n".join(lines).encode()


def off_bytes(mesh: Mesh, head: str = "OFF\n") -> bytes:
    lines = [f"{head}{len(mesh.vertices)} {len(mesh.faces)} 0"]
    lines += [f"{x:.9g} {y:.9g} {z:.9g}" for x, y, z in mesh.vertices]
    lines += [f"3 {a} {b} {c}" for a, b, c in mesh.faces]
    return "\n".join(lines).encode()


def every_format(mesh: Mesh) -> dict[str, bytes]:
    """The mesh as file bytes by suffix; trimesh writes the formats that pcgen does not."""
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    gltf = trimesh.exchange.gltf.export_gltf(solid.scene(), merge_buffers=True)
    return {
        ".obj": obj_bytes(mesh),
        ".off": off_bytes(mesh),
        ".ply": solid.export(file_type="ply"),
        ".stl": solid.export(file_type="stl"),
        ".glb": solid.export(file_type="glb"),
        ".vrm": solid.export(file_type="glb"),
        ".gltf": gltf["model.gltf"],
        ".3mf": write_3mf(mesh),
        "buffer": gltf["gltf_buffer.bin"],
    }
