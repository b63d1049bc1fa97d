"""Read mesh and point-cloud files and make data sets of point clouds.

* :mod:`reading` opens every file, ``open_file(path)``: a file with a face is a mesh, one without is
  a point cloud. :mod:`formats` has a reader per suffix, :mod:`cloud_arrays` the arrays of clouds.
* :mod:`clouds` and :mod:`mesh_files` check what was read; :mod:`cloud_files` gives clouds alone.
* :mod:`prepare` makes a data set: :mod:`listing` lists a source, :mod:`layouts` find its shapes,
  :mod:`splits` and :mod:`plan` assign splits and ids, and workers convert :mod:`shards`: they read
  a shape, sample its surface (:mod:`surface`), rotate +Y up (:mod:`axes`) and normalise it
  (:mod:`normalise`). Each shape is seeded by its own id.
* :mod:`store` opens a data set; :mod:`category_frames` has the way back to original units and axes;
  :mod:`samples` is the ``.npz`` file of generated clouds.
"""
