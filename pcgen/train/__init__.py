"""Training: a prepared data set in, a run directory out, one folder per stage.

Stages, in order; each reads what the earlier ones left and nothing else:

===============  =============================================================================
children         maps between training shapes, and how far their children go
                 (:mod:`pcgen.children`)
autoencoder      clouds of children and shapes to latents to mixtures (:mod:`pcgen.latent`)
base             latents of children, the base ω in their coordinates, and the semi-discrete map
                 from ω to them (:mod:`pcgen.base`, :mod:`pcgen.transport`)
latent-flow      ω to latents, teacher then one-step student (:mod:`pcgen.flow`)
point-flow       base points of a latent to its surface, teacher then one-step student
===============  =============================================================================

:mod:`loop` is the one training loop: it owns checkpoints, resume, averages and the NaN guard, and
knows nothing of what it trains; :mod:`execution` says by how many processes (those of
:mod:`pcgen.processes`), in which parts and precision a step is computed. :mod:`presets` holds the
settings, :mod:`run` the run directory and :mod:`budget` divides a time budget. A stage killed at
any moment and started again gives the same weights as one left alone, on the same machine with
the same thread count: everything random is drawn from one generator whose state is in the
checkpoint, and the number of steps, once chosen, is on disk before the first of them.
"""
