"""Any folder or archive of meshes, scans and arrays, in whatever nesting.

The folders on the first level are the categories, where they hold more than one shape each on
average; where most hold a single one, each shape has a folder of its own and there is one
category, named after the source. Folders named train, val or test mean splits wherever they
stand; folders named like synsets get their names. One folder around everything is passed over.
"""

from __future__ import annotations

import os.path
from collections import defaultdict

from pcgen.errors import InputError
from pcgen.shapes.items import SHAPE_SUFFIXES, Item, array_shape
from pcgen.shapes.layouts import SPLIT_NAMES, Found
from pcgen.shapes.layouts.synsets import aliases_of, category_of, synset_names
from pcgen.shapes.tree import Entry, Listing, Rejected

EXPECTED = f"files ending in {', '.join(SHAPE_SUFFIXES)}, in subfolders by category or in none"

_BUFFERS = (".bin", ".gltf", ".glb")  # what a glTF may refer to for its geometry


def recognises(listing: Listing) -> bool:
    return any(entry.suffix in SHAPE_SUFFIXES for entry in listing.entries)


def find(listing: Listing) -> Found:
    shapes = [entry for entry in listing.entries if entry.suffix in SHAPE_SUFFIXES]
    root = _common_folder(shapes)
    name = root[-1] if root else listing.name
    placed = [_place(entry, len(root)) for entry in shapes]
    by_folder: dict[str, list[Entry]] = defaultdict(list)
    for entry, (folders, _) in zip(shapes, placed, strict=True):
        if folders:
            by_folder[folders[0]].append(entry)
    single = sum(len(group) == 1 for group in by_folder.values())
    folders_are_categories = single * 2 <= len(by_folder)
    buffers, names = _buffers(listing), synset_names(listing)
    items: list[Item] = []
    rejected: list[Rejected] = []
    for entry, (folders, split) in zip(shapes, placed, strict=True):
        category = category_of(folders[0] if folders and folders_are_categories else name, names)
        rest = folders[1:] if folders and folders_are_categories else folders
        item = Item(
            id="/".join((category, *rest, entry.stem)),
            category=category,
            split=split,
            entry=entry,
            names=(entry.path, entry.path.rsplit("/", 1)[-1], entry.stem),
            siblings=buffers.get(os.path.dirname(entry.path), ())
            if entry.suffix == ".gltf"
            else (),
        )
        items += _rows(item, rejected) if entry.suffix == ".npy" else [item]
    if folders_are_categories:
        rejected += _barren(listing, root, set(by_folder))
    rule = (
        "categories are the folders of the first level"
        if folders_are_categories and by_folder
        else f"one category, named after {name}"
    )
    aliases = aliases_of({*by_folder, name} & names.keys(), names)
    return Found(items, rejected, aliases, rule)


def _common_folder(shapes: list[Entry]) -> tuple[str, ...]:
    """The folders that everything is in; those that mean a split do not count."""
    paths = [os.path.dirname(entry.path) for entry in shapes]
    common = os.path.commonpath(paths) if paths and all(paths) else ""
    parts = tuple(common.split("/")) if common else ()
    for depth, part in enumerate(parts):
        if part.lower() in SPLIT_NAMES:
            return parts[:depth]
    return parts


def _place(entry: Entry, depth: int) -> tuple[tuple[str, ...], str | None]:
    """The folders of a shape below the common one, without the one that names its split."""
    folders = entry.parts[depth:-1]
    splits = [SPLIT_NAMES[part.lower()] for part in folders if part.lower() in SPLIT_NAMES]
    kept = tuple(part for part in folders if part.lower() not in SPLIT_NAMES)
    return kept, splits[0] if splits else None


def _rows(item: Item, rejected: list[Rejected]) -> list[Item]:
    """The clouds of a ``.npy``: one of (P, 3), or N of (N, P, 3)."""
    try:
        shape = array_shape(item.entry)
    except (InputError, OSError) as error:
        rejected.append(Rejected(item.where, str(error)))
        return []
    if len(shape) == 2:
        return [item]
    if len(shape) != 3 or shape[2] != 3 or 0 in shape:
        reason = f"an array of clouds must be (N, P, 3) or (P, 3), got {shape}"
        rejected.append(Rejected(item.where, reason))
        return []
    return [
        Item(
            id=f"{item.id}/{row:06d}",
            category=item.category,
            split=item.split,
            entry=item.entry,
            names=(f"{item.entry.path}[{row}]",),
            row=row,
        )
        for row in range(shape[0])
    ]


def _buffers(listing: Listing) -> dict[str, tuple[Entry, ...]]:
    """By folder: the files in it and below it that a glTF may need; a few, so lists will do."""
    found: dict[str, list[Entry]] = defaultdict(list)
    if any(entry.suffix == ".gltf" for entry in listing.entries):
        for entry in listing.entries:
            if entry.suffix in _BUFFERS:
                folder = os.path.dirname(entry.path)
                found[folder].append(entry)
                found[os.path.dirname(folder)].append(entry)
    return {folder: tuple(entries) for folder, entries in found.items()}


def _barren(listing: Listing, root: tuple[str, ...], used: set[str]) -> list[Rejected]:
    """Folders on the level of the categories without a single shape in them."""
    depth = len(root)
    barren: dict[str, str] = {}
    paths = [(entry.parts[:-1], "no mesh or point cloud in it") for entry in listing.entries]
    paths += [(tuple(path.split("/")), "empty folder") for path in listing.empty]
    for folders, reason in paths:
        if len(folders) > depth and folders[:depth] == root:
            name = folders[depth]
            if name not in used and name.lower() not in SPLIT_NAMES:
                barren.setdefault(name, reason)
    return [Rejected("/".join((*root, name)), reason) for name, reason in sorted(barren.items())]
