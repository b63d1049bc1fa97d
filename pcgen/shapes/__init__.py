"""Mesh files and collections in, a data set of point clouds out.

What enters: a folder, an archive or a file in any of the layouts that people have
(:mod:`pcgen.shapes.layouts`). What leaves: a folder with memory-mapped arrays and an index
(:mod:`pcgen.shapes.store`), from which everything else in the project draws its clouds.

**The reading room.** Every command reads files through :mod:`reading`: ``open_file(path)`` gives
the meshes or clouds that are there, and notes on what was not understood. ``open_bytes`` is the
same for content that lies in an archive or behind a URL.

* One rule for "mesh or scan": a file with a face is a mesh, a file without is a scan; a face that
  is wrong makes a mesh that is refused, never a scan.
* One table from suffix to reader, :data:`formats.READERS`: a format is a function of bytes and one
  row. What is not read has a row too, with the way to convert it: :data:`formats.UNUSABLE`.
* One treatment of what is faulty: points of a scan that are not finite are left out and counted,
  unknown normals are zero, and what can change the shape and is not understood is refused by
  name, or counted where the rest is sound.
* What comes out is in :mod:`clouds`, below all readers: a mesh, or points with normals.
* Arrays of clouds (``.npy``, ``.npz``, PyTorch, HDF5) are in :mod:`stacks`, which tells points from
  normals, labels and colours by name and shape. :mod:`cloud_files` and :mod:`one` make clouds of
  whatever was opened.

**The way of a shape** into a data set:

1. :mod:`tree` lists the source, on disk and inside zip archives, under one kind of name;
2. a layout turns names into items: id, category, split, and how to open it (:mod:`items`); files
   that are versions of one model are one item;
3. :mod:`splits` settles train, val and test; :mod:`plan` gives each shape an id of its own;
4. :mod:`workers` run :mod:`pieces` in processes that may die: a shape is read, its surface sampled
   by area (:mod:`surface`; Osada et al. 2002), its axes raised (:mod:`axes`), and the points moved
   into the box frame (:mod:`normalise`);
5. finished pieces become arrays, index, description and report, under the final name at once.

Each shape is seeded by its own id, so the bytes do not depend on workers, order or company.
PointFlow's global normalisation, LION's box and the unit sphere are all in :mod:`normalise`; the
way back to a shape's own units and axes is kept (:mod:`places`).

Beside that: :mod:`samples` is the ``.npz`` of generated clouds, :mod:`starter` finds the furniture
that comes with the repository.
"""
