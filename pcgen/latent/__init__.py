"""The autoencoder: a point cloud in, a latent z, a mixture of flat Gaussians out.

* :mod:`patches` - the codec of a training: equal-mass cells, their positions, a local code of each.
* :mod:`tokens`, :mod:`encoder` - other codecs to compare with: a few tokens that points attend
  to, and one global code, invariant to the order of the points and to their number.
* :mod:`mixture` - batches of anisotropic Gaussian mixtures: likelihood, samples, normals.
* :mod:`decoder` - numbers to mixtures.
* :mod:`autoencoder` - a codec and the proportions of a shape together, with their settings.
* :mod:`augment` - stretches, shears and mirror images that stay plausible shapes.

Why a mixture: it is trained by maximum likelihood, so the density of the points is right and not
only their positions; one draws as many points as wanted; its thin axis is a normal; and it is
the *base measure in point space* that the point flow starts from (Base Initialisation, our
reconstruction), so that the flow's paths are short. A floor under the thickness keeps the
likelihood of a surface, which has none, finite.
"""
