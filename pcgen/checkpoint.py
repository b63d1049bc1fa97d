"""Tensors on disk: safetensors with a JSON header, never pickle.

A checkpoint is one file. The ``meta`` entry of its header contains JSON (settings, step, versions);
the tensors have dotted names. Optimiser and random state are tensors too, so exact resuming needs
nothing that could execute code on loading. Files are checked against a :class:`Schema`, and no
float may be NaN or infinite.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pcgen.errors import DataError, TrainingError
from pcgen.files import atomic_file, parse_json

M = TypeVar("M", bound=nn.Module)


def save(path: Path | str, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write tensors and JSON-ready ``meta`` to one safetensors file, atomically.

    Raises:
        TrainingError: a number is not finite; the message names stage, step and tensor, and the
            last good file is kept.
    """
    from safetensors.torch import save as to_bytes

    path = Path(path)
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    fault = _not_finite(whole)
    if fault:
        step = f", step {meta['step']}" if "step" in meta else ""
        raise TrainingError(
            f"{path.parent.name}{step}: {fault}, so {path.name} was not written and the previous "
            "file is kept; lower the learning rate, or choose another --seed"
        )
    with atomic_file(path) as temporary:
        # Not written by the library, whose errors do not distinguish a full disk from others.
        temporary.write_bytes(to_bytes(whole, metadata={"meta": json.dumps(meta)}))


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The required content of a kind of checkpoint; the reader handles other names.

    Attributes:
        meta: the JSON type of each entry, as a Python type; a float may be written as an integer.
        tensors: for each, whether it has floats ("f") or integers ("i"), and its number of
            dimensions.
    """

    meta: Mapping[str, type] = field(default_factory=dict)
    tensors: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def fault(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> str:
        """The fault, or an empty string."""
        for name, kind in self.meta.items():
            value = meta.get(name)
            accepted = (int, float) if kind is float else kind
            if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
                return f"its {name} must be a JSON {kind.__name__}, got {str(value)[:80]!r}"
        for name, (kind_of_number, dimensions) in self.tensors.items():
            tensor = tensors.get(name)
            if tensor is None:
                return f"it has no tensor {name}"
            floats = tensor.dtype.is_floating_point
            if floats != (kind_of_number == "f") or tensor.ndim != dimensions:
                return f"its {name} is {tensor.dtype} with {tensor.ndim} dimensions"
        return ""


WEIGHTS = Schema(meta={"step": int, "settings": dict})


def load(
    path: Path | str, schema: Schema | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file of :func:`save`.

    Raises:
        DataError: the file is missing, truncated, not a safetensors file with pcgen's header, does
            not match the schema, or has a number that is not finite; the message names the tensor.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise DataError(f"no checkpoint at {path}; was the stage trained?")
    try:
        with safe_open(path, framework="pt") as handle:
            meta = parse_json((handle.metadata() or {})["meta"])
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError, RuntimeError) as error:
        raise DataError(
            f"{path} is not a readable pcgen checkpoint ({str(error)[:200]}); "
            "restore it from a backup or train the stage again"
        ) from None
    fault = "its header is not a JSON object" if not isinstance(meta, dict) else ""
    fault = fault or (schema.fault(tensors, meta) if schema else "") or _not_finite(tensors)
    if fault:
        raise DataError(f"{path} is damaged: {fault}; train the stage again")
    return tensors, meta


def filled(build: Callable[[], M], tensors: Mapping[str, Tensor]) -> M:
    """Build a network and fill it with the weights of a checkpoint.

    Names and shapes are compared before any memory is allocated, so sizes in a damaged or foreign
    file cost nothing if the weights do not have them.

    Raises:
        ValueError: the weights belong to a different network; names the first difference.
    """
    with torch.device("meta"):
        wanted = {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise ValueError(
                f"the weights belong to a different network: {name} must be "
                f"{wanted.get(name, 'absent')}, got {found.get(name, 'nothing')}"
            )
    network = build()
    network.load_state_dict(dict(tensors))
    return network


def _not_finite(tensors: Mapping[str, Tensor]) -> str:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor.to(torch.float32)).all():
            return f"tensor {name} contains a number that is not finite"
    return ""


def pack_optimiser(optimiser: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state of an optimiser as tensors and JSON values; see :func:`unpack_optimiser`."""
    state = optimiser.state_dict()
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, Any] = {}
    for index, slots in state["state"].items():
        for slot, value in slots.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{slot}"] = value
            else:
                scalars[f"{index}.{slot}"] = value
    return tensors, {"groups": state["param_groups"], "scalars": scalars}


def unpack_optimiser(
    optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor], rest: dict[str, Any]
) -> None:
    """Restore a state of :func:`pack_optimiser`, bit for bit.

    Raises:
        ValueError: it is the state of a different optimiser, or of other parameters.
    """
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**tensors, **rest["scalars"]}.items():
        index, slot = name.split(".", 1)
        state.setdefault(int(index), {})[slot] = value
    ours = optimiser.state_dict()["param_groups"]
    if [_kinds(group) for group in rest["groups"]] != [_kinds(group) for group in ours]:
        raise ValueError("the optimiser has different settings")
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    if len({frozenset(slots) for slots in state.values()}) > 1:
        raise ValueError("its parameters have different kinds of state")
    for index, slots in state.items():
        for slot, value in slots.items():
            alone = not isinstance(value, Tensor) or value.ndim == 0
            if not 0 <= index < len(parameters):
                raise ValueError(f"there is no parameter {index}")
            if not alone and value.shape != parameters[index].shape:
                raise ValueError(f"{slot} of parameter {index} has shape {tuple(value.shape)}")
    optimiser.load_state_dict({"state": state, "param_groups": rest["groups"]})


def _kinds(group: Mapping[str, Any]) -> dict[str, str]:
    """The settings of an optimiser's group, by their kinds of JSON value."""
    return {
        name: f"list of {len(value)}"
        if isinstance(value, list | tuple) else
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else
        type(value).__name__
        for name, value in group.items()
    }  # fmt: skip


def strip(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with ``prefix.``, without this prefix."""
    start = prefix + "."
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}


def prefixed(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The inverse of :func:`strip`."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}
