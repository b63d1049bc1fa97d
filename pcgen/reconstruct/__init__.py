"""Meshes from points: closed, manifold and oriented outwards, for printing, rendering and editing.

A cloud (P, 3) with or without normals, in any unit, becomes a triangle mesh in the same unit, with
a :class:`~pcgen.reconstruct.report.MeshReport` of how well the two agree.

1. :mod:`~pcgen.reconstruct.cloud` drops unusable points and measures the spacing.
2. :mod:`~pcgen.reconstruct.normals` keeps given normals that fit the points, and estimates others
   (:mod:`~pcgen.reconstruct.planes`); it measures the noise. Noisy points of symmetric shapes get
   their mirror images (:mod:`~pcgen.reconstruct.mirror_images`).
3. :mod:`~pcgen.reconstruct.implicit_surface` computes signed distances on a grid, fills small holes
   (:mod:`~pcgen.reconstruct.tunnels`) and extracts the zero level
   (:mod:`~pcgen.reconstruct.surface_nets`), which is closed, two-manifold and oriented outwards;
   it is cleaned and simplified (:mod:`~pcgen.reconstruct.watertight`) and flattened
   (:mod:`~pcgen.reconstruct.flatten`).
4. :mod:`~pcgen.reconstruct.report` measures the mesh: :mod:`~pcgen.reconstruct.topology`,
   :mod:`~pcgen.reconstruct.self_intersections`, distances to the points.
5. :mod:`~pcgen.reconstruct.export` writes and verifies files; :mod:`~pcgen.reconstruct.batch` does
   so for many clouds (:mod:`~pcgen.reconstruct.inputs`) and resumes.

:mod:`~pcgen.reconstruct.methods` has the whole way, steps 1 to 4, in one function. A run with a
signed distance field can mesh its latents too (:mod:`~pcgen.reconstruct.level_set`). Other methods
were tried, and lost: ``docs/notes/meshing.md``.
"""

# Points of a shape sampled for meshing: a run samples any number, and smoothing needs many.
MESH_POINTS = 16_000
