"""Tensors on disk: safetensors with a JSON header, never pickle.

A checkpoint is one file. Its header's ``meta`` entry holds JSON (settings, step, versions); the
tensors have dotted names. Optimiser and random state are tensors too, so exact resume needs
nothing that could execute code on loading. What is read is checked against a :class:`Schema`, and
no float may be NaN or infinite.
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
        TrainingError: a number is not finite; stage, step and tensor are named, and the last
            good file stays.
    """
    from safetensors.torch import save as to_bytes

    path = Path(path)
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    fault = _not_finite(whole)
    if fault:
        step = f", step {meta['step']}" if "step" in meta else ""
        raise TrainingError(
            f"{path.parent.name}{step}: {fault}, so {path.name} was not written and what was "
            "there stays; lower the learning rate, or choose another --seed"
        )
    with atomic_file(path) as temporary:
        # Written by us and not by the library: its own errors do not tell a full disk from others.
        temporary.write_bytes(to_bytes(whole, metadata={"meta": json.dumps(meta)}))


@dataclass(frozen=True, kw_only=True)
class Schema:
    """What a kind of checkpoint must hold; names beyond these are left to whoever reads them.

    Attributes:
        meta: the JSON type of each entry, as a Python type; a float may be written as an integer.
        tensors: of each, whether it holds floats ("f") or integers ("i"), and its dimensions.
    """

    meta: Mapping[str, type] = field(default_factory=dict)
    tensors: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def fault(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> str:
        """What is wrong; empty where nothing is."""
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
STATE = Schema(
    meta={"step": int, "seconds": float, "optimiser": dict}, tensors={"generator": ("i", 1)}
)
BASE = Schema(meta={"family": str, "format": int})
SOLVE = Schema(
    meta={
        "key": str, "seed": int, "step": int, "samples": int, "looks": int, "batch": int,
        "averaging": bool, "level": int, "pace": int, "age": int, "goal": int, "averaged": int,
        "beam": int, "least": int,
        "epsilon": float, "weight": float, "noise": float,
    },
    tensors={"potential": ("f", 1), "average": ("f", 1)},
)  # fmt: skip
LATENTS = Schema(
    meta={"scale": float, "names": dict},
    tensors={
        "z": ("f", 2), "parent": ("i", 2), "mirrored": ("i", 2), "label": ("i", 1),
        "mean": ("f", 1), "axes": ("f", 2),
    },
)  # fmt: skip


def load(
    path: Path | str, schema: Schema | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save` wrote.

    Raises:
        DataError: the file is missing, truncated, not a safetensors file with our header, not of
            the schema, or holds a number that is not finite; the tensor is named.
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
    fault = "its header is no JSON object" if not isinstance(meta, dict) else ""
    fault = fault or (schema.fault(tensors, meta) if schema else "") or _not_finite(tensors)
    if fault:
        raise DataError(f"{path} is damaged: {fault}; train the stage again")
    return tensors, meta


def filled(build: Callable[[], M], tensors: Mapping[str, Tensor]) -> M:
    """The network that ``build`` makes, with the weights of a checkpoint.

    Names and shapes are compared before any memory is taken: sizes that a damaged or foreign file
    asks for cost nothing where the weights are not of that size.

    Raises:
        ValueError: the weights are of another network; the first that differs is named.
    """
    with torch.device("meta"):
        wanted = {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise ValueError(
                f"the weights are of another network: {name} must be "
                f"{wanted.get(name, 'absent')}, got {found.get(name, 'nothing')}"
            )
    network = build()
    network.load_state_dict(dict(tensors))
    return network


def _not_finite(tensors: Mapping[str, Tensor]) -> str:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor.to(torch.float32)).all():
            return f"tensor {name} holds a number that is not finite"
    return ""


def pack_optimiser(optimiser: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state as tensors and a JSON-ready rest; see :func:`unpack_optimiser`."""
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
    """Put state packed by :func:`pack_optimiser` back, bit for bit.

    Raises:
        ValueError: it is the state of another optimiser, or of other parameters.
    """
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**tensors, **rest["scalars"]}.items():
        index, slot = name.split(".", 1)
        state.setdefault(int(index), {})[slot] = value
    ours = optimiser.state_dict()["param_groups"]
    if [_kinds(group) for group in rest["groups"]] != [_kinds(group) for group in ours]:
        raise ValueError("the optimiser has other settings")
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    if len({frozenset(slots) for slots in state.values()}) > 1:
        raise ValueError("its parameters do not all remember the same things")
    for index, slots in state.items():
        for slot, value in slots.items():
            alone = not isinstance(value, Tensor) or value.ndim == 0
            if not 0 <= index < len(parameters):
                raise ValueError(f"there is no parameter {index}")
            if not alone and value.shape != parameters[index].shape:
                raise ValueError(f"{slot} of parameter {index} has shape {tuple(value.shape)}")
    optimiser.load_state_dict({"state": state, "param_groups": rest["groups"]})


def _kinds(group: Mapping[str, Any]) -> dict[str, str]:
    """The settings of an optimiser's group by their kinds of value, as JSON has them."""
    return {
        name: f"list of {len(value)}"
        if isinstance(value, list | tuple) else
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else
        type(value).__name__
        for name, value in group.items()
    }  # fmt: skip


def strip(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name starts with ``prefix.``, under the rest of their name."""
    start = prefix + "."
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}


def prefixed(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The inverse of :func:`strip`."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}
