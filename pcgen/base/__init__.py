"""Base measures ω and Base Initialisation: where the latent flow starts.

What enters: latents (N, dim) of training shapes. What leaves: a :class:`BaseMeasure`, a source of
latents with a name, notes for the user and a checkpoint; :func:`fit` makes one by family name.

Base Initialisation (thesis "Efficient Learning of Generative Modelling by Base Initialisation",
Bath, 2025) frees the base end of a generative model: take ω from a family F so that transporting
ω to the data ν costs less than from μ = N(0, I), then learn ω → ν with less effort. Only its
abstract is public. **Everything here is our reconstruction of the idea**: minimise over ω in F

    E(ω) = W₂²(ω, ν) + λ D(ω, μ)

with F and λ chosen on held-out latents, because λ = 0 with a rich F only memorises ν. A lower
energy proves nothing by itself; ``pcgen bench base`` measures training steps to a target error.

* :mod:`fitting` - the table of families, :func:`fit`, :func:`from_checkpoint`, the guard's action.
* :mod:`gaussian`, :mod:`mixture`, :mod:`uniform` - closed forms and shrinkage.
* :mod:`transported` - AE-OT: the extended semi-discrete push-forward of N(0, I).
* :mod:`conjugate` - conjugate moment measures; :mod:`network` - a reparametrised network.
* :mod:`energies` - E(ω) and its terms with error bars; :mod:`collapse_guard` - copies and collapse.
* :mod:`selection` - ``auto``: family and λ on held-out latents, with the table it chose from.
"""

from pcgen.base.collapse_guard import GuardReport, inspect
from pcgen.base.energies import Energy, Estimate, energy
from pcgen.base.fitting import FAMILIES, fit, from_checkpoint, on_device
from pcgen.base.measure import BaseMeasure
from pcgen.base.selection import AutoSettings, ChosenBase

__all__ = [
    "FAMILIES",
    "AutoSettings",
    "BaseMeasure",
    "ChosenBase",
    "Energy",
    "Estimate",
    "GuardReport",
    "energy",
    "fit",
    "from_checkpoint",
    "inspect",
    "on_device",
]
