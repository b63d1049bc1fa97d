"""Files of one shape: which suffix is read by what, and what cannot be read and why.

A reader takes the bytes of a file and gives a :class:`RawShape`, or raises
:class:`pcgen.errors.MeshError` for everything that is wrong with them. It makes no decision: what
is a mesh, what a scan, what becomes of NaN is settled once, in :mod:`pcgen.shapes.reading`. To add
a format, write its reader and give it a row in :data:`READERS`.

The readers are ours where the libraries fall short; :mod:`obj`, :mod:`gltf` and :mod:`pcd` say by
how much, in processor time on one core. Polygons are cut by manifold3d, HDF5 is read by h5py,
PyTorch files by PyTorch.
"""

from __future__ import annotations

from pcgen.shapes.formats.gltf import read_gltf
from pcgen.shapes.formats.obj import read_obj
from pcgen.shapes.formats.off import read_off
from pcgen.shapes.formats.pcd import read_pcd
from pcgen.shapes.formats.ply import read_ply
from pcgen.shapes.formats.raw import Reader
from pcgen.shapes.formats.stl import read_stl
from pcgen.shapes.formats.text import read_text

READERS: dict[str, Reader] = {
    ".obj": read_obj,
    ".off": read_off,
    ".ply": read_ply,
    ".stl": read_stl,
    ".glb": read_gltf,
    ".gltf": read_gltf,
    ".xyz": read_text,
    ".pts": read_text,
    ".pcd": read_pcd,
    ".asc": read_text,
    ".txt": read_text,
    ".csv": read_text,
}
#: Meshes as a rule; of several files of one shape the first of these is the best.
MESH_SUFFIXES = (".obj", ".off", ".ply", ".stl", ".glb", ".gltf")
POINT_SUFFIXES = (".xyz", ".pts", ".pcd", ".asc")
#: Clouds where they look like it, see :func:`pcgen.shapes.formats.text.looks_like_points`.
LOOSE_SUFFIXES = (".txt", ".csv")
#: Arrays of one cloud or of many; read by :mod:`pcgen.shapes.cloud_arrays`.
ARRAY_SUFFIXES = (".npy", ".npz", ".pt", ".pth", ".h5", ".hdf5")

_BLENDER = "open it in Blender and export it as glTF"
_ASSIMP = "convert it with: assimp export IN OUT.obj"
_CAD = "mesh it in a CAD program such as FreeCAD and export that as STL or OBJ"
_SCAN = "convert it with: pdal translate IN OUT.ply"
_MESHIO = "convert it with: meshio convert IN OUT.ply"
_UNPACK = "unpack it first, or make it a zip archive"
_SPLAT = "it holds Gaussians; export it as PLY"
_VOLUME = "it holds no surface or points of one"
#: Files of shapes that are not read, and what to do about them.
UNUSABLE: dict[str, str] = {
    **dict.fromkeys((".fbx", ".blend", ".abc", ".usd", ".usda", ".usdc", ".usdz"), _BLENDER),
    **dict.fromkeys((".dae", ".3ds", ".x3d", ".wrl", ".lwo", ".ac", ".dxf", ".3mf", ".amf"),
                    _ASSIMP),
    **dict.fromkeys((".max", ".ma", ".mb", ".c4d", ".skp"), "export it as glTF or OBJ there"),
    **dict.fromkeys((".step", ".stp", ".iges", ".igs", ".brep", ".3dm", ".ifc", ".sldprt"), _CAD),
    **dict.fromkeys((".las", ".laz", ".e57", ".ptx"), _SCAN),
    **dict.fromkeys((".vtk", ".vtu", ".msh", ".mesh"), _MESHIO),
    **dict.fromkeys((".vtp", ".ctm"), "open it in ParaView or MeshLab and save it as PLY"),
    ".drc": "decode it with: draco_decoder -i IN -o OUT.ply",
    **dict.fromkeys((".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst"), _UNPACK),
    **dict.fromkeys((".pkl", ".pickle"), "it could run code; save its arrays with numpy.savez"),
    **dict.fromkeys((".mat", ".tfrecord", ".lmdb"), "save its clouds as .npy, (N, P, 3)"),
    **dict.fromkeys((".splat", ".ksplat", ".spz"), _SPLAT),
    **dict.fromkeys((".binvox", ".vox", ".nii"), _VOLUME),
}  # fmt: skip
