"""Readers for files of one shape, by suffix.

A reader takes the bytes of a file and returns a :class:`RawShape`, or raises
:class:`pcgen.errors.MeshError` if they are faulty. :mod:`pcgen.shapes.reading` decides what is a
mesh or a scan and how NaN is treated. To add a format, write a reader and add it to
:data:`READERS`. docs/notes/data.md compares the readers with those of other libraries.
"""

from __future__ import annotations

from pcgen.shapes.formats.gltf import read_gltf
from pcgen.shapes.formats.obj import read_obj
from pcgen.shapes.formats.off import read_off
from pcgen.shapes.formats.pcd import read_pcd
from pcgen.shapes.formats.ply import read_ply
from pcgen.shapes.formats.raw import Reader
from pcgen.shapes.formats.stl import read_stl
from pcgen.shapes.formats.text import read_coloured, read_text
from pcgen.shapes.formats.threemf import read_3mf

READERS: dict[str, Reader] = {
    ".obj": read_obj,
    ".off": read_off,
    ".ply": read_ply,
    ".stl": read_stl,
    ".glb": read_gltf,
    ".gltf": read_gltf,
    ".vrm": read_gltf,
    ".3mf": read_3mf,
    ".xyz": read_text,
    ".xyzn": read_text,
    ".xyzrgb": read_coloured,
    ".pts": read_text,
    ".pcd": read_pcd,
    ".asc": read_text,
    ".txt": read_text,
    ".csv": read_text,
}
#: Suffixes that usually mean meshes; of several files of one shape, the first of these is used.
MESH_SUFFIXES = (".obj", ".off", ".ply", ".stl", ".glb", ".gltf", ".3mf", ".vrm")
POINT_SUFFIXES = (".xyz", ".xyzn", ".xyzrgb", ".pts", ".pcd", ".asc")
#: Suffixes of text that may be clouds, see :func:`pcgen.shapes.formats.text.looks_like_points`.
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
_VOLUME = "it holds neither a surface nor surface points"
#: Unsupported files of shapes, and what to do about them.
UNUSABLE: dict[str, str] = {
    **dict.fromkeys((".fbx", ".blend", ".abc", ".usd", ".usda", ".usdc", ".usdz", ".pmx", ".pmd",
                     ".nif"), _BLENDER),
    **dict.fromkeys((".dae", ".3ds", ".x3d", ".wrl", ".lwo", ".ac", ".dxf", ".amf", ".x", ".b3d",
                     ".md2", ".md3", ".ms3d", ".ase", ".smd"), _ASSIMP),
    **dict.fromkeys((".max", ".ma", ".mb", ".c4d", ".skp", ".bgeo", ".ztl", ".unitypackage",
                     ".uasset"), "export it as glTF or OBJ in the program that made it"),
    **dict.fromkeys((".step", ".stp", ".iges", ".igs", ".brep", ".3dm", ".ifc", ".dwg"), _CAD),
    **dict.fromkeys((".osg", ".osgb", ".ive"), "convert it with: osgconv IN OUT.obj"),
    **dict.fromkeys((".sldprt", ".sldasm", ".catpart", ".prt", ".jt", ".x_t", ".sat", ".f3d"),
                    "export it as STL or OBJ in the program that made it"),
    **dict.fromkeys((".las", ".laz", ".e57", ".ptx"), _SCAN),
    **dict.fromkeys((".fls", ".rcp"), "export it as PLY or E57 in the program of the scanner"),
    **dict.fromkeys((".bag", ".mcap"), "save the clouds that it records as PCD"),
    **dict.fromkeys((".vtk", ".vtu", ".msh", ".mesh", ".meshb", ".inp", ".nas", ".bdf", ".su2",
                     ".xdmf"), _MESHIO),
    **dict.fromkeys((".vtp", ".ctm", ".vrml", ".x3dv"),
                    "open it in ParaView or MeshLab and save it as PLY"),
    ".drc": "decode it with: draco_decoder -i IN -o OUT.ply",
    **dict.fromkeys((".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst", ".lz4",
                     ".001", ".z01"), _UNPACK),
    ".zip": "unpack it first; only 'pcgen prepare' reads zip archives",
    **dict.fromkeys((".hdf", ".he5", ".nc"), "if it is HDF5, rename it to .h5"),
    **dict.fromkeys((".ldr", ".mpd"), "open it in LeoCAD and export it as OBJ"),
    ".b3dm": "convert it with: 3d-tiles-tools b3dmToGlb -i IN -o OUT.glb",
    **dict.fromkeys((".pkl", ".pickle"), "it could run code; save its arrays with numpy.savez"),
    **dict.fromkeys((".mat", ".tfrecord", ".lmdb"), "save its clouds as .npy, (N, P, 3)"),
    **dict.fromkeys((".splat", ".ksplat", ".spz"), _SPLAT),
    **dict.fromkeys((".binvox", ".vox", ".nii", ".vdb", ".nrrd", ".mha"), _VOLUME),
}  # fmt: skip
