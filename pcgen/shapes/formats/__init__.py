"""Our own readers: strict, vectorised, geometry only.

A format is here where the libraries at hand are slow on real collections (OBJ with thousands of
groups), refuse files that are common (OFF with a broken first line), or drop what we need (PLY
and PCD clouds with normals). Every reader takes the bytes of one file and raises
:class:`pcgen.errors.MeshError` for everything that is wrong with them.
"""
