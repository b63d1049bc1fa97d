"""The interface of every base measure: a source of latents with a name, notes and a checkpoint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

import torch

from pcgen import checkpoint
from pcgen.errors import DataError, InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor

FORMAT = 1
"""Version of the checkpoint layout; newer files are refused."""
SCHEMA = checkpoint.Schema(meta={"family": str, "format": int})


@runtime_checkable
class BaseMeasure(Protocol):
    """A base ω that can be sampled, described, stored and restored.

    ``sample`` returns (count, dim) float32 in the frame of the latents it was fitted to, on the
    device of the generator. Equal generator states give equal samples, before and after a
    checkpoint. ``notes`` are sentences about the fit that a user should read (a shrunken
    covariance, a dropped dimension).
    """

    @property
    def name(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    def sample(self, count: int, generator: Generator) -> Tensor: ...

    def describe(self) -> dict[str, Any]: ...

    def to_checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]: ...


@dataclass(frozen=True, kw_only=True)
class TensorMeasure:
    """A measure whose whole state is its dataclass fields: tensors and plain JSON values.

    Subclasses are frozen dataclasses with a ``name``; the checkpoint is derived from the fields.
    """

    name: ClassVar[str]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Contiguous, as in a checkpoint: another memory layout would round products differently.
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, torch.Tensor):
                object.__setattr__(self, field.name, value.detach().contiguous())

    def describe(self) -> dict[str, Any]:
        """JSON-ready description: the plain fields and the shape of each tensor."""
        facts: dict[str, Any] = {"family": self.name}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            facts[field.name] = list(value.shape) if isinstance(value, torch.Tensor) else value
        return facts

    def to_checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-ready metadata, for :func:`pcgen.checkpoint.save`."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        tensors = {name: v for name, v in values.items() if isinstance(v, torch.Tensor)}
        plain = {name: v for name, v in values.items() if not isinstance(v, torch.Tensor)}
        return tensors, {"family": self.name, "format": FORMAT, "fields": plain}

    @classmethod
    def from_checkpoint(cls, tensors: dict[str, Tensor], meta: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_checkpoint`.

        Raises:
            DataError: the checkpoint of another family, a newer format, or missing or extra fields.
        """
        check_meta(meta, cls.name)
        fields = meta.get("fields", {})
        if not isinstance(fields, dict):
            raise DataError(f"the fields of a base must be a JSON object, got {str(fields)[:80]}")
        plain = {name: _tuples(value) for name, value in fields.items()}
        known = {field.name for field in dataclasses.fields(cls)}
        found = set(tensors) | set(plain)
        if found != known:
            raise DataError(
                f"a checkpoint of base {cls.name} has {', '.join(sorted(known))}, got "
                f"{', '.join(sorted(found))}; fit the base again"
            )
        values: dict[str, Any] = {**tensors, **plain}
        return cls(**values)


@dataclass(frozen=True)
class ConstantCoordinates:
    """A measure on the coordinates that vary; the others are constant.

    Covariances, transports and networks all fail on a coordinate without variance, so
    :func:`pcgen.base.fit` excludes such coordinates for every family.

    Attributes:
        inner: the measure on the varying coordinates.
        values: (dim,) float32, the values of constant coordinates, else 0.
        varying: (dim,) bool.
    """

    inner: BaseMeasure
    values: Tensor
    varying: Tensor

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def dim(self) -> int:
        return len(self.values)

    @property
    def notes(self) -> tuple[str, ...]:
        constant = self.dim - int(self.varying.sum())
        return (f"{constant} of {self.dim} coordinates are constant and stay so", *self.inner.notes)

    def sample(self, count: int, generator: Generator) -> Tensor:
        drawn = self.inner.sample(count, generator)
        whole = self.values.to(drawn.device).repeat(count, 1)
        whole[:, self.varying.to(drawn.device)] = drawn
        return whole

    def describe(self) -> dict[str, Any]:
        return {**self.inner.describe(), "notes": self.notes, "dim": self.dim}

    def to_checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, meta = self.inner.to_checkpoint()
        return (
            {
                **checkpoint.prefixed(tensors, "inner"),
                "values": self.values,
                "varying": self.varying,
            },
            {"family": "constants-kept", "format": FORMAT, "inner": meta},
        )

    @classmethod
    def around(
        cls, inner: BaseMeasure, tensors: dict[str, Tensor], meta: dict[str, Any]
    ) -> ConstantCoordinates:
        """Restore from a checkpoint, around the ``inner`` base restored from the same one."""
        check_meta(meta, "constants-kept")
        return cls(inner, tensors["values"], tensors["varying"])


def _tuples(value: Any) -> Any:
    """Convert JSON lists back to tuples."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def check_meta(meta: dict[str, Any], family: str) -> None:
    """Refuse a checkpoint of another family or of a newer pcgen."""
    if meta.get("family") != family:
        raise DataError(f"expected a base of family {family}, got {meta.get('family')!r}")
    if not isinstance(meta.get("format"), int) or meta["format"] > FORMAT:
        raise DataError(
            f"the base was stored in format {meta.get('format')!r}, this pcgen reads up to "
            f"{FORMAT}; update pcgen or fit the base again"
        )


def check_latents(latents: Any, least: int = 1, family: str = "a base") -> Tensor:
    """Convert latents to (N, dim) float32, or raise an error that says what is wrong.

    Args:
        latents: array or tensor of real numbers.
        least: how many *different* latents are needed.
    Raises:
        InputError: not a matrix, empty, NaN or infinite values, or too few different rows.
    """
    values = torch.as_tensor(latents).detach()
    if values.is_complex():
        raise InputError(f"latents must be real numbers, got {values.dtype}")
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(
            f"latents must be (N, dim) with N and dim at least 1, got shape {tuple(values.shape)}"
        )
    values = values.to(torch.float32)
    broken = int((~values.isfinite()).any(1).sum())
    if broken:
        raise InputError(
            f"{broken} of {len(values)} latents contain NaN or infinite values (after "
            "conversion to float32); find their shapes or train the autoencoder again"
        )
    if least > 1:
        distinct = len(torch.unique(values, dim=0))
        if distinct < least:
            raise InputError(
                f"{family} needs at least {least} different latents, got {distinct} among "
                f"{len(values)}; add shapes or use the base 'standard'"
            )
    return values


def check_dim(omega: BaseMeasure, dim: int, what: str) -> None:
    """Check that a base has the dimension of what it is compared with."""
    if omega.dim != dim:
        raise InputError(f"the base has {omega.dim} dimensions, {what} {dim}")


def normal(count: int, dim: int, generator: Generator) -> Tensor:
    """Samples (count, dim) of N(0, I), on the device of the generator.

    Raises:
        InputError: ``count`` is negative.
    """
    if count < 0:
        raise InputError(f"the number of samples must be 0 or more, got {count}")
    return torch.randn(count, dim, generator=generator, device=generator.device)
