"""Argument types that several commands share."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any


def positive(text: str) -> int:
    """An integer of at least 1."""
    value = _integer(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def natural(text: str) -> int:
    """An integer of at least 0."""
    value = _integer(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, got {value}")
    return value


def names(text: str) -> list[str]:
    """``A,B`` as a list without empty entries."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError(f"expected names separated by commas, got {text!r}")
    return found


def location(text: str) -> Path | str:
    """A path, or an unchanged URL."""
    return text if "://" in text else Path(text)


def npz_file(text: str) -> Path:
    """A path that ends in ``.npz``; checked before the work starts."""
    path = Path(text)
    if path.suffix != ".npz":
        raise argparse.ArgumentTypeError(f"must end in .npz, got the name {text}")
    return path


def npz_or_folder(text: str) -> Path:
    """A path that ends in ``.npz``, or in no suffix; checked before the work starts."""
    path = Path(text)
    if path.suffix not in ("", ".npz"):
        raise argparse.ArgumentTypeError(
            f"must end in .npz, or be a folder for PLY files, got the name {text}"
        )
    return path


def add_run(parser: Any) -> None:
    """Add the run that a command draws from, by its path or name."""
    parser.add_argument(
        "run", help="a run made by pcgen train, or the name of one in the package: seats"
    )


def add_out(parser: Any) -> None:
    """Add the samples file or the folder that a command writes, see ``Shapes.save``."""
    parser.add_argument(
        "--out",
        type=npz_or_folder,
        required=True,
        help="the .npz file to write, or a folder for one PLY file a shape",
    )


def add_work(parser: Any, alone: str) -> None:
    """Add --workers and --ray, as :func:`pcgen.jobs.pool` understands them.

    Args:
        alone: what runs without --workers, in words.
    """
    add = parser.add_argument
    add(
        "--workers", type=positive, metavar="N", help=f"number of processes; the default is {alone}"
    )
    add(
        "--ray",
        metavar="ADDRESS",
        help="run the work on a Ray cluster: HOST:6379, auto (one that runs on this machine) or "
        "local (starts one); uses the whole cluster, or --workers tasks at a time",
    )


def add_device(parser: Any, default: str = "auto") -> None:
    """Add --device, as :func:`pcgen.runtime.pick_device` understands it."""
    parser.add_argument(
        "--device",
        default=default,
        metavar="NAME",
        help="auto (a CUDA device if torch finds one), cpu, cuda or cuda:N; CUDA has only been "
        "simulated, see docs/notes/device.md",
    )


def options(args: argparse.Namespace, function: Callable[..., Any]) -> dict[str, Any]:
    """The arguments of a command that ``function`` takes by the same name, keyword-only."""
    taken = inspect.signature(function).parameters.values()
    names = {parameter.name for parameter in taken if parameter.kind is parameter.KEYWORD_ONLY}
    return {name: value for name, value in vars(args).items() if name in names}


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be an integer, got {text!r}") from None
