"""Write the current shape to a file in the format of its suffix.

Meshes and clouds are in the frame of their file or, for samples of a run, of its data set, as from
``pcgen mesh``. A samples file (``.npz``) is in the box frame and names the run.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pcgen.errors import InputError
from pcgen.files import atomic_file
from pcgen.reconstruct.export import Export, checked_bytes
from pcgen.shapes.cloud_writing import write_cloud
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.samples import Samples
from pcgen.viewer.sources import ViewedShape

MESH_ENDINGS = (".glb", ".obj", ".stl", ".3mf", ".ply")
CLOUD_ENDINGS = (".ply", ".xyz", ".npz")


def holds_mesh(path: Path, prefer_mesh: bool) -> bool:
    """Whether a file holds a mesh: ``.glb .obj .stl .3mf`` do, ``.xyz .npz`` do not, ``.ply`` may.

    Raises:
        InputError: an unknown suffix.
    """
    ending = path.suffix.lower()
    if ending not in (*MESH_ENDINGS, *CLOUD_ENDINGS):
        known = ", ".join(dict.fromkeys((*MESH_ENDINGS, *CLOUD_ENDINGS)))
        raise InputError(f"{path.name}: exports end in {known}, not {ending or 'nothing'!r}")
    return ending in MESH_ENDINGS and (ending not in CLOUD_ENDINGS or prefer_mesh)


def export(item: ViewedShape, path: Path, *, as_mesh: bool) -> Path:
    """Write a shape as its mesh, which it must have, or as its cloud; see :func:`holds_mesh`.

    Raises:
        StorageError: the folder cannot be written. MeshError: the format would change the mesh.
    """
    ending = path.suffix.lower()
    if as_mesh:
        if item.mesh is None:
            raise InputError(f"{item.name} has no mesh; make one first")
        own = Mesh(item.frame.restore(item.mesh.vertices), item.mesh.faces)
        placed, unit = Export().placed(own, ending[1:], unit=item.frame.unit, up=item.frame.up)
        data = checked_bytes(placed, ending, path.stem, unit=unit)
        with atomic_file(path) as temporary:
            temporary.write_bytes(data)
    elif ending == ".npz":
        category = np.array([item.category or ""], dtype=np.str_)
        normals = None if item.normals is None else item.normals[None]
        meta = {"name": item.name, "seed": item.seed, **item.origin}
        Samples(points=item.points[None], category=category, normals=normals, meta=meta).save(path)
    else:
        turned = None if item.normals is None else item.frame.turn(item.normals)
        write_cloud(path, item.frame.restore(item.points), turned)
    return path
