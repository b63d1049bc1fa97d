"""Run a loader on mutated files, in a worker process that may crash."""

import traceback
from functools import cache
from pathlib import Path

import numpy as np

from pcgen.errors import PcgenError
from tests.fuzz.crafted import craft
from tests.fuzz.mutations import mutate

CRAFTED = 1_000_000


def fault_of(loader, data: bytes, folder: Path) -> str:
    """The fault of a loader with ``data``; empty for a result or a known error."""
    path = folder / f"file{loader.suffix}"
    path.write_bytes(data)
    try:
        loader.read(path)
    except PcgenError as error:
        lines = len(str(error).splitlines())
        return "" if lines == 1 and len(str(error)) < 2000 else f"an error of {lines} lines"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
    return ""


@cache
def seeds_of(name: str) -> list[bytes]:
    from tests.fuzz.loaders import LOADERS

    return LOADERS[name].seeds()


def mutant(name: str, number: int) -> bytes:
    """The same bytes for the same name and number; from CRAFTED on, crafted files."""
    from tests.fuzz.loaders import LOADERS

    draw = np.random.default_rng([number, *name.encode()])
    seeds = seeds_of(name)
    seed = seeds[number % len(seeds)]
    if number < CRAFTED:
        return mutate(seed, draw)
    other = list(LOADERS)[int(draw.integers(len(LOADERS)))]
    return craft(seed, LOADERS[name].suffix, seeds_of(other), draw)


def attack(task, announce):
    """The faults of one loader over a range of mutants, by number; for a worker."""
    from tests.fuzz.loaders import LOADERS

    name, numbers, folder = task
    faults = {}
    for number in numbers:
        announce(number)
        fault = fault_of(LOADERS[name], mutant(name, number), Path(folder))
        if fault:
            faults[number] = fault
    return faults
