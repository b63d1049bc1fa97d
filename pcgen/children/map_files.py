"""The files of a folder of maps: plan, nature, choice, and the maps, in chunks until all exist."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from pcgen import checkpoint
from pcgen.checkpoint import Schema
from pcgen.children.clouds import Clouds
from pcgen.children.maps import Pairing
from pcgen.children.rule import FRAMES, Choice
from pcgen.config import from_plain, to_plain
from pcgen.errors import DataError, InputError
from pcgen.files import parse_json, read_text, write_json

MAPS = Schema(
    meta={"key": str},
    tensors={
        "pair": ("i", 2), "flipped": ("i", 1), "rank": ("i", 1), "start": ("i", 2), "to": ("i", 2),
    },
)  # fmt: skip
CHUNK = Schema(meta={"key": str}, tensors={"to": ("i", 2)})
NATURE = Schema(
    meta={"key": str},
    tensors={
        f"{frame}_{kind}": (number, 1)
        for frame in FRAMES
        for kind, number in (("nearest", "i"), ("distance", "f"), ("draws", "f"))
    },
)
PLAN = ("pilot", "maps", "shapes")

T = TypeVar("T")


@dataclass(frozen=True)
class MapFolder:
    """A folder of maps for the shapes, settings and seed that ``key`` identifies.

    Raises:
        DataError: from every method that reads: a file is damaged, or has another key.
    """

    path: Path
    key: str

    @property
    def finished(self) -> bool:
        """Whether all maps are there."""
        return self._maps.exists()

    def write_maps(self, pairing: Pairing, to: Tensor) -> None:
        tensors = {
            "pair": pairing.pair, "flipped": pairing.flipped.to(torch.uint8), "rank": pairing.rank,
            "start": pairing.start, "to": to,
        }  # fmt: skip
        checkpoint.save(self._maps, tensors, {"key": self.key})

    def read_maps(self, clouds: Clouds) -> tuple[Pairing, Tensor]:
        tensors, meta = checkpoint.load(self._maps, MAPS)
        self._check(meta["key"])
        pair, to = tensors["pair"], tensors["to"]
        again = "remove it and run again"
        if pair.numel() and not 0 <= int(pair.min()) <= int(pair.max()) < len(clouds):
            raise DataError(f"{self._maps} is damaged: a row is out of range; {again}")
        if to.numel() and not 0 <= int(to.min()) <= int(to.max()) < to.shape[1]:
            raise DataError(f"{self._maps} is damaged: a point is out of range; {again}")
        pairing = Pairing(pair, tensors["flipped"].bool(), tensors["rank"], tensors["start"])
        return pairing, to

    def write_plan(self, plan: dict[str, int]) -> None:
        write_json(self.path / "plan.json", {"key": self.key, **plan})

    def read_plan(self, shapes: int) -> dict[str, int] | None:
        """The plan, or None if there is none yet; likewise for a choice.

        Args:
            shapes: of an older plan, which is for all of the set.
        """

        def parsed(held: dict[str, Any]) -> dict[str, int]:
            held = {"shapes": shapes, **held}
            return {k: int(held[k]) for k in PLAN}

        return self._read_json("plan.json", parsed)

    def write_choice(self, choice: Choice) -> None:
        write_json(self.path / "choice.json", {"key": self.key, **to_plain(choice)})

    def read_choice(self) -> Choice | None:
        def parsed(held: dict[str, Any]) -> Choice:
            names = {"figures": "statistics", "reach": "settings"}  # former names
            held = {names.get(key, key): value for key, value in held.items()}
            for key in ("left_out", "limit"):  # of runs that left out single children; always none
                held.pop(key, None)
            settings = held.get("settings")
            if isinstance(settings, dict) and isinstance(settings.get("between"), bool):
                held["settings"] = settings | {"between": float(settings["between"])}  # all or none
            return from_plain(Choice, held)

        return self._read_json("choice.json", parsed)

    def write_nature(self, tensors: dict[str, Tensor]) -> None:
        checkpoint.save(self.path / "nature.safetensors", tensors, {"key": self.key})

    def read_nature(self) -> dict[str, Tensor] | None:
        """None if it must be computed (again), as for a chunk."""
        return self._read_tensors(self.path / "nature.safetensors", NATURE)

    def write_chunk(self, name: str, start: int, to: Tensor) -> None:
        """Store finished maps, from number ``start`` of those called ``name``."""
        checkpoint.save(self._chunk(name, start), {"to": to.clone()}, {"key": self.key})

    def read_chunk(self, name: str, start: int, count: int, n: int) -> Tensor | None:
        """(count, n) of a chunk, or None if it must be computed (again)."""
        tensors = self._read_tensors(self._chunk(name, start), CHUNK)
        fits = tensors is not None and tensors["to"].shape == (count, n)
        return tensors["to"] if tensors is not None and fits else None

    def remove_chunks(self) -> None:
        for name in ("chunk", "piece"):  # the second is the former name
            for rest in self.path.glob(f"*-{name}-*.safetensors"):
                rest.unlink()

    @property
    def _maps(self) -> Path:
        return self.path / "maps.safetensors"

    def _chunk(self, name: str, start: int) -> Path:
        return self.path / f"{name}-chunk-{start:08d}.safetensors"

    def _read_tensors(self, path: Path, schema: Schema) -> dict[str, Tensor] | None:
        if path.exists():
            with contextlib.suppress(DataError):
                tensors, meta = checkpoint.load(path, schema)
                if meta["key"] == self.key:
                    return tensors
        return None

    def _read_json(self, name: str, parse: Callable[[Any], T]) -> T | None:
        path = self.path / name
        if not path.exists():
            return None
        try:
            held = parse_json(read_text(path))
            was, value = held.pop("key"), parse(held)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError):
            raise DataError(f"{path} is damaged; remove {self.path} and run again") from None
        self._check(was)
        return value

    def _check(self, was: str) -> None:
        if was != self.key:
            raise DataError(
                f"{self.path} holds maps of other shapes, other settings or another seed; remove "
                "it or choose another folder"
            )
