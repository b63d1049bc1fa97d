"""Points to meshes one can print, render and edit: closed, manifold, oriented outwards.

In: a cloud (P, 3) with or without normals, in any unit. Out: a triangle mesh in the same unit and
a :class:`~pcgen.reconstruct.report.MeshReport` of how well the two agree.

1. :mod:`~pcgen.reconstruct.cloud` drops what cannot be meshed and measures the spacing;
   :mod:`~pcgen.reconstruct.denoise` smooths noisy clouds, such as generated ones.
2. A method of :mod:`~pcgen.reconstruct.methods` puts triangles through the points: by default the
   Delaunay facets that lie in the planes of their corners (:mod:`~pcgen.reconstruct.facets`, after
   Amenta and Bern 1999), where the planes come from a vote among neighbours that keeps edges
   sharp (:mod:`~pcgen.reconstruct.planes`); noisy points get a skin that seals their gaps
   (:mod:`~pcgen.reconstruct.wrap`). Poisson, alpha shapes and ball pivoting are there too.
   An implicit learned from the latent was tried and lost: ``docs/assets/results.md``, Meshes.
3. :mod:`~pcgen.reconstruct.embedding` gives facets their thickness inside the Delaunay cells
   (:mod:`~pcgen.reconstruct.cell_complex`, :mod:`~pcgen.reconstruct.boundary_surface`), so that the
   result is closed, two-manifold and does not cross itself
   (:mod:`~pcgen.reconstruct.self_intersections` checks). Triangles of other methods are sewn,
   :mod:`~pcgen.reconstruct.thicken`: closed and two-manifold too, but they may cross at thin
   sheets. :mod:`~pcgen.reconstruct.watertight` chooses, fills hollows, drops crumbs, decimates.
4. :mod:`~pcgen.reconstruct.export` writes and reopens; :mod:`~pcgen.reconstruct.batch` does so
   for many clouds and resumes.

Real shapes have thin walls and open sheets, and 2048 points are few: a method that needs a closed
volume loses them. Step 3 makes watertightness a property of its own, so that the choice of
triangles is free to follow the points.
"""

# Of a shape that is drawn for its mesh: a run draws as many as wanted, and smoothing spends them.
MESH_POINTS = 16_000
