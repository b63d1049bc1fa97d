"""Faults that a device would meet, put into pcgen on purpose: the simulation must find each.

A fault names the path that runs into it and how to plant it. Plants are functions put in the place
of pcgen's own, in the process of ``simulate.py --fault``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FAULTS: dict[str, Fault] = {}


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        path: of :data:`paths.PATHS`, or a part of its name.
        plant: puts it in.
    """

    path: str
    plant: Callable[[], None]


def fault(name: str, path: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def register(plant: Callable[[], None]) -> Callable[[], None]:
        FAULTS[name] = Fault(path, plant)
        return plant

    return register


def _after(owner: Any, name: str, change: Callable[..., Any]) -> None:
    """Let ``change`` modify the results of ``owner.name``."""
    plain = getattr(owner, name)

    def changed(*args: Any, **options: Any) -> Any:
        return change(plain(*args, **options), *args)

    setattr(owner, name, changed)


@fault("a batch that stays on the CPU", "train: all stages")
def _() -> None:
    from pcgen.train import autoencoder

    autoencoder.augment = lambda points, *_: (points.cpu(), None)


@fault("noise that stays on the CPU", "train: all stages")
def _() -> None:
    from pcgen.latent.autoencoder import Autoencoder

    def noisy(self: Any, z: Any, generator: Any) -> Any:
        import torch

        return z + torch.randn(z.shape, generator=generator)

    Autoencoder.noisy = noisy  # type: ignore[method-assign]


@fault("a generator of the CPU for a tensor of the device", "base gaussian: draws of the CPU")
def _() -> None:
    import torch

    from pcgen.base.gaussian import GaussianBase

    def sample(self: Any, count: int, generator: Any) -> Any:
        return torch.randn(count, self.dim, generator=generator, device=self.mean.device)

    GaussianBase.sample = sample  # type: ignore[method-assign]


@fault("numpy of a device tensor", "kernels: neighbours by kdtree")
def _() -> None:
    from pcgen.kernels import kdtree

    def nearest(x: Any, y: Any, k: int) -> Any:
        return x.detach().numpy(), y

    kdtree.nearest = nearest


@fault("a CPU tensor indexed by a device tensor", "kernels: redrawn cells and mixtures")
def _() -> None:
    import torch

    from pcgen.kernels import dense

    _after(
        dense, "mean_log_sum_exp", lambda found, *_: (torch.zeros(99)[found[0].long()], found[1])
    )


@fault("an identity matrix made on the CPU", "base gaussian: draws of the device")
def _() -> None:
    import torch

    from pcgen.base import gaussian

    def shrunken(centred: Any, shrinkage: Any = None) -> Any:
        sample = centred.T @ centred / len(centred)
        return sample + torch.eye(len(sample), dtype=centred.dtype), 0.0

    gaussian.shrunken_covariance = shrunken


@fault("KeOps without CUDA's libraries", "kernels: neighbours by auto")
def _() -> None:
    from tests.device import keops_stand_in

    keops_stand_in.toolkit = False


@fault("a second device for half of the work", "kernels: scores by dense")
def _() -> None:
    from pcgen.kernels import dense

    _after(dense, "best_cells", lambda found, x, *_: (found[0] + x[:, :2].to("cuda:1"), found[1]))


@fault("an address given to C code", "kernels: scores by dense")
def _() -> None:
    from pcgen.kernels import dense

    _after(dense, "best_cells", lambda found, x, *_: (x.data_ptr(), found)[1])


@fault("a product of integers", "kernels: scores by dense")
def _() -> None:
    from pcgen.kernels import dense

    def product(found: Any, *_: Any) -> Any:
        whole = found[1].long()
        return found[0] + 0 * (whole @ whole.T)[:, :2], found[1]

    _after(dense, "best_cells", product)


@fault("a state that returns to the CPU", "train: a resumed loop")
def _() -> None:
    from pcgen import checkpoint

    plain = checkpoint.unpack_optimiser

    def unpack(optimiser: Any, tensors: Any, rest: Any) -> None:
        plain(optimiser, tensors, rest)
        for slots in optimiser.state.values():
            slots.update({name: value.cpu() for name, value in slots.items()})

    checkpoint.unpack_optimiser = unpack


@fault("a model that is pickled for other processes", "sample: generate")
def _() -> None:
    import pickle

    from pcgen.model import ShapeModel

    _after(
        ShapeModel,
        "decode_samples",
        lambda found, model, *_: (pickle.dumps(model.decode), found)[1],
    )


@fault("other numbers than the CPU's", "kernels: neighbours by dense")
def _() -> None:
    from pcgen.kernels import dense

    def nearest(found: Any, x: Any, *_: Any) -> Any:
        return (found[0] * 1.01, found[1]) if x.is_cuda else found

    _after(dense, "nearest", nearest)


@fault("a loss that is never looked at", "train: a loss that is not finite")
def _() -> None:
    from pcgen.train.loop import Trainer

    Trainer._guard = lambda *_: None  # type: ignore[method-assign]


@fault("sums of a group on the CPU", "processes: sums over a group")
def _() -> None:
    from pcgen.processes import Group

    plain = Group.sum_

    def sum_(self: Any, tensors: Any) -> None:
        plain(self, [tensor.cpu() for tensor in tensors])

    Group.sum_ = sum_  # type: ignore[method-assign]
