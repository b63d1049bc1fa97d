"""HDF5 files of clouds, such as DPM's: arrays ``{synset}/{split}`` of (N, P, 3).

Any array (N, P, 3) in any file counts. The groups around it name category and split; without
one the file's name is the category.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pcgen.errors import InputError
from pcgen.shapes.items import Item
from pcgen.shapes.layouts import SPLIT_NAMES, Found
from pcgen.shapes.layouts.synsets import aliases_of, category_of, synset_names
from pcgen.shapes.tree import Entry, Listing, Rejected
from pcgen.shapes.workers import Announce, isolated

EXPECTED = "a .hdf5 or .h5 file with arrays (N, P, 3), such as {synset}/{split}"

_SUFFIXES = (".h5", ".hdf5")


def recognises(listing: Listing) -> bool:
    return any(entry.suffix in _SUFFIXES for entry in listing.entries)


def find(listing: Listing) -> Found:
    names = synset_names(listing)
    items: list[Item] = []
    rejected: list[Rejected] = []
    synsets: set[str] = set()
    for entry in (entry for entry in listing.entries if entry.suffix in _SUFFIXES):
        try:
            arrays = _arrays(entry)
        except InputError as error:
            rejected.append(Rejected(entry.where, str(error)))
            continue
        if not arrays:
            rejected.append(Rejected(entry.where, "no array of shape (N, P, 3) in it"))
        for array, count in arrays:
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
                )
                for row in range(count)
            ]
    rule = "categories and splits are groups of the HDF5 file"
    return Found(items, rejected, aliases_of(synsets, names), rule)


def _arrays(entry: Entry) -> list[tuple[str, int]]:
    if entry.member is not None:
        raise InputError("HDF5 cannot be read from inside an archive; unpack it first")
    found: list[tuple[str, int]] = isolated(list_arrays, entry.file)
    return found


def list_arrays(path: str, announce: Announce) -> list[tuple[str, int]]:
    """Names and lengths of the arrays (N, P, 3) of a file; run where a crash does no harm."""
    import h5py

    found: list[tuple[str, int]] = []

    def visit(name: str, node: Any) -> None:
        numbers = isinstance(node, h5py.Dataset) and node.dtype.kind in "fiu"
        if numbers and node.ndim == 3 and node.shape[2] == 3:
            found.append((name, int(node.shape[0])))

    announce(0)
    try:
        with h5py.File(Path(path), "r") as handle:
            handle.visititems(visit)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise InputError(f"not a readable HDF5 file ({error})") from None
    return sorted(found)
