"""HDF5 files of clouds, such as DPM's: arrays ``{synset}/{split}`` of (N, P, 3).

Any array (N, P, 3) in any file counts. The groups around it name category and split; without
one the file's name is the category.
"""

from __future__ import annotations

from typing import Any

from pcgen.errors import InputError
from pcgen.jobs.workers import Announce, Workers, foreign_limits
from pcgen.remote import on_disk
from pcgen.shapes.items import Item
from pcgen.shapes.layouts import SPLIT_NAMES, Found
from pcgen.shapes.layouts.synsets import aliases_of, category_of, synset_names
from pcgen.shapes.tree import Listing, Rejected

EXPECTED = "a .hdf5 or .h5 file with arrays (N, P, 3), such as {synset}/{split}"

_SUFFIXES = (".h5", ".hdf5")
_COMPRESSION_LIMIT = 1000  # a header that promises more than so many times the file is damaged


def recognises(listing: Listing) -> bool:
    return any(entry.suffix in _SUFFIXES for entry in listing.entries)


def find(listing: Listing) -> Found:
    names = synset_names(listing)
    items: list[Item] = []
    rejected: list[Rejected] = []
    synsets: set[str] = set()
    files = [entry for entry in listing.entries if entry.suffix in _SUFFIXES]
    contents = _contents([entry.file for entry in files if entry.member is None])
    for entry in files:
        arrays = contents.get(entry.file, "inside an archive it cannot be read; unpack it first")
        if isinstance(arrays, str):
            rejected.append(Rejected(entry.where, arrays))
            continue
        for array, count, points in arrays:
            groups = [part for part in array.split("/") if part.lower() not in SPLIT_NAMES]
            splits = [part.lower() for part in array.split("/") if part.lower() in SPLIT_NAMES]
            synset = groups[0] if groups else entry.stem
            category = category_of(synset, names)
            synsets.add(synset)
            items += [
                Item(
                    id="/".join((category, *groups[1:], *splits, f"{row:06d}")),
                    category=category,
                    split=SPLIT_NAMES[splits[0]] if splits else None,
                    entry=entry,
                    array=array,
                    row=row,
                    points=points,
                )
                for row in range(count)
            ]
    rule = "categories and splits are groups of the HDF5 file"
    return Found(items, rejected, aliases_of(synsets, names), rule)


def _contents(paths: list[str]) -> dict[str, list[tuple[str, int, int]] | str]:
    """What is in each file, or why that cannot be said; found out in a process that may die."""
    found: dict[str, list[tuple[str, int, int]] | str] = {}
    with Workers(list_arrays, 1, limits=foreign_limits()) as worker:
        for path in paths:
            worker.submit(path)
        for outcome in worker.outcomes():
            found[outcome.task] = outcome.death.reason if outcome.death else outcome.result
    return found


def list_arrays(path: str, announce: Announce) -> list[tuple[str, int, int]] | str:
    """Name, N and P of each array (N, P, 3) of a file, or why there is none."""
    import h5py

    found: list[tuple[str, int, int]] = []
    local = on_disk(path)
    most = local.stat().st_size * _COMPRESSION_LIMIT

    def visit(name: str | bytes, node: Any) -> None:
        numbers = isinstance(node, h5py.Dataset) and node.dtype.kind in "fiu"
        if numbers and node.ndim == 3 and node.shape[2] == 3 and isinstance(name, str):
            if node.external or node.is_virtual:
                raise InputError(f"the numbers of {name} are said to be in other files; refused")
            if node.nbytes > most:
                raise InputError(f"{name} promises {node.nbytes} bytes, more than can be there")
            found.append((name, int(node.shape[0]), int(node.shape[1])))

    announce(0)
    try:
        with h5py.File(local, "r") as handle:
            handle.visititems(visit)
    except (OSError, RuntimeError, ValueError, KeyError, InputError) as error:
        return f"not a readable HDF5 file ({error})"
    return sorted(found) or "no array of shape (N, P, 3) in it"
