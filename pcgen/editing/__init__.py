"""What people ask of a generator beyond new shapes: complete, vary, mix and interpolate.

What enters are clouds in their boxes and a run; what leaves are clouds that its autoencoder has
encoded and decoded, so that they are clean and have normals and any number of points.

* :mod:`between` - shapes between two: along the optimal-transport map of their points, as the
  children of a training are (:mod:`pcgen.children`). Latents of patches are never averaged: the
  patch code halfway between two surfaces is that of no surface.
* :mod:`completion` - whole shapes for a part of one; the points given are kept.
* :mod:`parts` - the sides of a shape by name.
"""
