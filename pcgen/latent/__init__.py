"""The autoencoder: encodes a point cloud as a latent z, and decodes z to a Gaussian mixture.

* :mod:`patches` - the default codec: equal-mass cells, their positions, and a local code for each.
* :mod:`tokens`, :mod:`encoder` - other codecs for comparison: a few tokens that attend to the
  points, and a global code that is invariant to the order of the points and to their number.
* :mod:`mixture` - batches of anisotropic Gaussian mixtures: likelihood, samples, normals.
* :mod:`decoder` - numbers to mixtures.
* :mod:`autoencoder` - a codec with the proportions of a shape, and their settings.
* :mod:`augment` - stretches, shears and reflections that keep shapes plausible.

A mixture can be trained by maximum likelihood, which makes the density right and not only the
positions. It yields any number of points, its thin axis is a normal, and it is the *base measure
in point space* that the point flow starts from (Base Initialisation, our reconstruction), so the
paths of the flow are short. A lower bound on the thickness keeps the likelihood finite.
"""
