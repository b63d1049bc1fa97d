"""Training: turns a prepared data set into a run directory with one folder per stage.

The stages in order; each reads only what earlier stages wrote:

===============  =============================================================================
children         transport maps between training shapes, and how far to blend along them
                 (:mod:`pcgen.children`)
autoencoder      clouds to latents to Gaussian mixtures (:mod:`pcgen.latent`)
base             latents of children, the base ω fitted to them, and the semi-discrete map
                 from ω to the latents (:mod:`pcgen.base`, :mod:`pcgen.transport`)
latent-flow      from ω to latents: a teacher, then a one-step student (:mod:`pcgen.flow`)
point-flow       from base points to the surface: a teacher, then a one-step student
field            signed distances of latents, if the data have solids
===============  =============================================================================

:mod:`loop` is the one training loop: checkpoints, resuming, weight averages and the NaN guard.
On a CPU several processes share its steps (:mod:`step_workers`). :mod:`execution` sets the
processes, parts and precision of a step, :mod:`presets` the settings, :mod:`run` the run directory,
and :mod:`budget` divides a time budget. A stage that is interrupted and resumed gives the same
weights as an uninterrupted one, on the same machine with the same number of threads: one generator
draws everything, and its state is in the checkpoint.
"""
