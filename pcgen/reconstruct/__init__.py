"""Meshes from points: closed, manifold and oriented outwards, for printing, rendering and editing.

A cloud (P, 3) with or without normals, in any unit, becomes a triangle mesh in the same unit, with
a :class:`~pcgen.reconstruct.report.MeshReport` of how well the two agree.

1. :mod:`~pcgen.reconstruct.cloud` drops unusable points and measures the spacing;
   :mod:`~pcgen.reconstruct.denoise` smooths noisy clouds, such as generated ones.
2. A method of :mod:`~pcgen.reconstruct.methods` makes triangles. The default uses Delaunay facets
   that lie in the planes of their corners (:mod:`~pcgen.reconstruct.facets`, after Amenta and Bern
   1999); a vote among neighbours, which keeps edges sharp, determines the planes
   (:mod:`~pcgen.reconstruct.planes`). Noisy points get a closed surface: many with normals, as a
   run draws them, one on a grid (:mod:`~pcgen.reconstruct.implicit_surface`), others Delaunay cells
   (:mod:`~pcgen.reconstruct.wrap`). Poisson, alpha shapes and ball pivoting are available too.
   A learned implicit function of the latent was tried and lost: ``assets/results.md``, Meshes.
3. :mod:`~pcgen.reconstruct.embedding` thickens facets within the Delaunay cells
   (:mod:`~pcgen.reconstruct.cell_complex`, :mod:`~pcgen.reconstruct.boundary_surface`), so that the
   result is closed, two-manifold and free of self-intersections
   (:mod:`~pcgen.reconstruct.self_intersections` checks). Triangles of other methods are sewn by
   :mod:`~pcgen.reconstruct.thicken`: they are closed and two-manifold too, but may intersect at
   thin sheets. :mod:`~pcgen.reconstruct.watertight` selects, fills cavities, drops small pieces and
   simplifies.
4. :mod:`~pcgen.reconstruct.export` writes and verifies files; :mod:`~pcgen.reconstruct.batch` does
   so for many clouds and resumes.

Real shapes have thin walls and open sheets, and 2048 points are few: a method that needs a closed
volume loses them. Step 3 makes meshes watertight independently of the method, so that the choice
of triangles can follow the points.
"""

# Points of a shape sampled for meshing: a run samples any number, and smoothing needs many.
MESH_POINTS = 16_000
