"""Base measures ω and Base Initialisation: the start of the latent flow.

:func:`fit` takes latents (N, dim) of training shapes and the name of a family, and returns a
:class:`BaseMeasure`: a source of latents with a name, notes for the user and a checkpoint.

Base Initialisation (thesis "Efficient Learning of Generative Modelling by Base Initialisation",
Bath, 2025) makes the base of a generative model free: choose ω from a family F such that the
transport from ω to the data ν costs less than from μ = N(0, I), then learn ω → ν with less effort.
Only its abstract is public. **Everything here is our reconstruction of the idea**: minimise over F

    E(ω) = W₂²(ω, ν) + λ D(ω, μ)

with F and λ chosen on held-out latents, because λ = 0 with a rich F only memorises ν. A lower
energy alone proves nothing; ``pcgen bench base`` measures training steps to a target error.

* :mod:`fitting` - the table of families, :func:`fit`, :func:`from_checkpoint`, the guard's actions.
* :mod:`gaussian`, :mod:`mixture`, :mod:`uniform` - closed forms and shrinkage.
* :mod:`transported` - AE-OT: the extended semi-discrete push-forward of N(0, I).
* :mod:`conjugate` - conjugate moment measures; :mod:`network` - a reparametrised network.
* :mod:`energies` - E(ω) and its terms with error bars; :mod:`collapse_guard` - copies, collapse.
* :mod:`selection` - ``auto``: selects family and λ on held-out latents, and reports the table.
"""

from pcgen.base.collapse_guard import GuardReport, check_collapse
from pcgen.base.energies import Energy, Estimate, energy
from pcgen.base.fitting import FAMILIES, fit, from_checkpoint, on_device
from pcgen.base.measure import SCHEMA, BaseMeasure
from pcgen.base.selection import AutoSettings, ChosenBase

__all__ = [
    "FAMILIES",
    "SCHEMA",
    "AutoSettings",
    "BaseMeasure",
    "ChosenBase",
    "Energy",
    "Estimate",
    "GuardReport",
    "check_collapse",
    "energy",
    "fit",
    "from_checkpoint",
    "on_device",
]
