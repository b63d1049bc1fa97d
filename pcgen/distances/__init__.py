"""Distances between clouds, tables of them, and the nearest training shapes.

* :mod:`pairwise` - distances between two clouds, by name; :mod:`annealed_emd` two of them.
* :mod:`tables` - tables of distances in resumable blocks, over processes, with a :mod:`cache`.
* :mod:`novelty` - the novelty of shapes relative to a training set: an exact search for the nearest
  training shape, mirror images included, in two frames, with lower :mod:`bounds`.
"""
