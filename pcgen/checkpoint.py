"""Tensors on disk: safetensors with a JSON header, never pickle.

A checkpoint is one file. Its header's ``meta`` entry holds JSON (settings, step, versions); the
tensors have dotted names. Optimiser and random state are tensors too, so exact resume needs
nothing that could execute code on loading.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pcgen.errors import DataError
from pcgen.files import atomic_file


def save(path: Path | str, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write tensors and JSON-ready ``meta`` to one safetensors file, atomically."""
    from safetensors.torch import save as to_bytes

    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_file(path) as temporary:
        # Written by us and not by the library: its own errors do not tell a full disk from others.
        temporary.write_bytes(to_bytes(whole, metadata={"meta": json.dumps(meta)}))


def load(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save` wrote.

    Raises:
        DataError: the file is missing, truncated or not a safetensors file with our header.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise DataError(f"no checkpoint at {path}; was the stage trained?")
    try:
        with safe_open(path, framework="pt") as handle:
            meta = json.loads((handle.metadata() or {})["meta"])
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise DataError(
            f"{path} is not a readable pcgen checkpoint ({error}); "
            "restore it from a backup or train the stage again"
        ) from None
    if not isinstance(meta, dict):
        raise DataError(f"{path} has a damaged header; train the stage again")
    return tensors, meta


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
    """Put state packed by :func:`pack_optimiser` back, bit for bit."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**tensors, **rest["scalars"]}.items():
        index, slot = name.split(".", 1)
        state.setdefault(int(index), {})[slot] = value
    optimiser.load_state_dict({"state": state, "param_groups": rest["groups"]})


def strip(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name starts with ``prefix.``, under the rest of their name."""
    start = prefix + "."
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}


def prefixed(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The inverse of :func:`strip`."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}
