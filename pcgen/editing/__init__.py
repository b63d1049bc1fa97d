"""Generation from given shapes: complete, vary, mix and interpolate.

The input is clouds in their boxes and a run. The output is clouds that the run's autoencoder has
encoded and decoded, so that they are clean and have normals and any number of points.

* :mod:`between` - shapes between two: along the optimal-transport map of their points, like the
  children in a training (:mod:`pcgen.children`). Latents of patches are never averaged: the patch
  code halfway between two surfaces belongs to no surface.
* :mod:`completion` - whole shapes from a part of one; the given points are kept.
* :mod:`parts` - the sides of a shape by name.
"""
