"""Mesh files and collections in, a data set of point clouds out.

What enters: a folder, an archive or a file in any of the layouts that people have
(:mod:`pcgen.shapes.layouts`). What leaves: a folder with memory-mapped arrays and an index
(:mod:`pcgen.shapes.store`), from which everything else in the project draws its clouds.

The way of a shape:

1. :mod:`tree` lists the source, on disk and inside zip archives, under one kind of name;
2. a layout turns names into items: id, category, split, and how to open it (:mod:`items`);
3. :mod:`splits` settles train, val and test; :mod:`prepare` refuses doubles and makes the plan;
4. :mod:`workers` run :mod:`pieces` in processes that may die: a mesh is read
   (:mod:`mesh_files`, :mod:`formats`), its surface sampled by area (:mod:`surface`; Osada et al.
   2002), and the points moved into the box frame (:mod:`normalise`);
5. finished pieces become arrays, index, description and report, under the final name at once.

Each shape is seeded by its own id, so the bytes do not depend on workers, order or company.
PointFlow's global normalisation, LION's box and the unit sphere are all in :mod:`normalise`; the
way back to a shape's own units is kept in the index.

Beside that: :mod:`samples` is the ``.npz`` of generated clouds, :mod:`cloud_files` reads clouds
of other origin, :mod:`starter` finds the furniture that comes with the repository.
"""
