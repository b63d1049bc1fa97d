"""HDF5 files of clouds: DPM's ``{synset}/{split}``, ModelNet40's and ScanObjectNN's ``data``.

Every array (N, P, 3) in any file is used, except normals and colours beside one. Its groups name
category and split. If the name of the array is generic (``data``, ``points``), the array of labels
beside it and ``shape_names.txt`` give the categories, and the name of the file the split, as in
``ply_data_train0.h5``.
"""

from __future__ import annotations

import re

from pcgen.errors import InputError
from pcgen.files import parse_json
from pcgen.jobs.workers import Announce, Workers, foreign_limits
from pcgen.shapes.cloud_arrays import CloudArray, is_points, list_hdf5
from pcgen.shapes.items import HDF5, SourceItem
from pcgen.shapes.layouts import WHOLE, Found, whole_shapes
from pcgen.shapes.layouts.models import class_of, classes_of_labels, unnamed_labels
from pcgen.shapes.layouts.synsets import aliases_of, category_of, synset_names
from pcgen.shapes.listing import Entry, Listing, Rejected, on_disk, read_entry
from pcgen.shapes.split_names import SPLIT_NAMES, other_words, split_in, split_of

EXPECTED = "a .hdf5 or .h5 file with arrays (N, P, 3), such as {synset}/{split}"


def recognises(listing: Listing) -> bool:
    return any(entry.suffix in HDF5 for entry in listing.entries)


def find(listing: Listing) -> Found:
    names, classes = synset_names(listing), classes_of_labels(listing)
    items: list[SourceItem] = []
    rejected: list[Rejected] = []
    synsets: set[str] = set()
    labelled = False
    files, remarks = whole_shapes([e for e in listing.entries if e.suffix in HDF5])
    ids = _row_names(listing)
    parts_left = 0
    left: list[str] = []
    labels: set[int | str] = set()
    for entry, found_arrays in _contents(files):
        if isinstance(found_arrays, str):
            rejected.append(Rejected(entry.where, found_arrays))
            continue
        parts_left += sum(cloud_array.partial for cloud_array in found_arrays)
        folders = [p for p in entry.parts[:-1] if not split_of(p) and p.lower() not in WHOLE]
        around = next(filter(None, map(split_of, entry.parts[:-1])), None)
        listed = ids.get((*entry.parts[:-1], _plain(entry.stem)), [])
        own = [s.array for s in found_arrays if is_points(s.array)]
        for cloud_array in found_arrays:
            parts = cloud_array.array.split("/")
            groups = [part for part in parts if part.lower() not in SPLIT_NAMES]
            splits = [part.lower() for part in parts if part.lower() in SPLIT_NAMES]
            split = SPLIT_NAMES[splits[0]] if splits else around
            split = split or split_in(parts[-1]) or split_in(entry.stem)
            inner = groups[1:]
            synset = groups[0] if groups else entry.stem
            if len(groups) == 1 and split_in(synset):
                inner, synset = groups, _topic(synset) or _topic(entry.stem) or listing.name
            if cloud_array.array in own:
                # The name of the array is generic: use that of the file or group.
                inner = [entry.stem, *groups[:-1], *groups[-1:] * bool(split_in(parts[-1]))]
                topic = folders[-1] if folders else _topic(entry.stem) or listing.name
                synset = groups[0] if len(groups) > 1 else topic
            if len(cloud_array.shape) == 2 and len(groups) > 1:
                # A group for each shape, or an array for each: the last name is the shape's.
                path = groups[:-1] if cloud_array.array in own else groups
                around_it = folders[-1] if folders else _topic(entry.stem) or listing.name
                synset = path[-2] if len(path) > 1 else around_it
                inner = [entry.stem, *path[:-2], path[-1]]
            left += [f"{entry.where}:{name}" for name in cloud_array.left]
            labels.update(cloud_array.labels)
            names_of_rows = listed if len(listed) == cloud_array.shape[0] else []
            for row in range(cloud_array.shape[0] if len(cloud_array.shape) == 3 else 1):
                category = category_of(synset, names)
                if cloud_array.labels and (classes or not names_of_rows):
                    category = class_of(cloud_array.labels[row], classes)
                    labelled = True
                elif "/" in (names_of_rows[row] if names_of_rows else ""):
                    category = category_of(names_of_rows[row].split("/")[-2], names)
                else:
                    synsets.add(synset)
                number = [f"{row:06d}"] if len(cloud_array.shape) == 3 else []
                items.append(
                    SourceItem(
                        id="/".join((category, *inner, *splits, *number)),
                        category=category,
                        split=split,
                        entry=entry,
                        array=cloud_array.array,
                        normals=cloud_array.normals,
                        row=row if number else None,
                        names=tuple(names_of_rows[row : row + 1]),
                        points=cloud_array.points,
                    )
                )
    rule = "categories and splits are groups of the HDF5 file"
    if labelled:
        rule = "categories are labels of the HDF5 files, splits are in their names"
    if parts_left:
        remark = f"{parts_left} arrays of partial clouds are left out beside whole ones"
        remarks = (*remarks, remark)
    if left:
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        remarks = (*remarks, f"beside the arrays of points, {left[0]}{more} are left out")
    remarks += unnamed_labels(labels, classes)
    return Found(items, rejected, aliases_of(synsets, names), rule, remarks)


def _row_names(listing: Listing) -> dict[tuple[str, ...], list[str]]:
    """The names of the rows of an HDF5 file, by its folder and plain name.

    ``ply_data_train_0_id2file.json`` has a path for each row of ``ply_data_train0.h5``.
    """
    found = {}
    for entry in listing.entries:
        if match := re.fullmatch(r"(.+?)[-_]?id2(?:file|name)", entry.stem):
            if entry.suffix != ".json":
                continue
            try:
                names = parse_json(read_entry(entry))
            except (ValueError, InputError, RecursionError):
                continue
            if isinstance(names, list) and all(isinstance(name, str) for name in names):
                key = (*entry.parts[:-1], _plain(match[1]))
                if "/" in "".join(names) or key not in found:
                    found[key] = [name.rsplit(".", 1)[0] for name in names]
    return found


def _plain(stem: str) -> str:
    return re.sub(r"[-_]", "", stem.lower())


def _topic(stem: str) -> str:
    """The topic in the name of a file: without split names and numbers."""
    return "_".join(word for word in other_words(stem) if not word.isdecimal())


def _contents(files: list[Entry]) -> list[tuple[Entry, list[CloudArray] | str]]:
    """The arrays of each file, or why it cannot be read; read in a process that may crash."""
    found: dict[Entry, list[CloudArray] | str] = {}
    with Workers(list_arrays, 1, limits=foreign_limits()) as worker:
        for entry in files:
            worker.submit(entry)
        for outcome in worker.outcomes():
            found[outcome.task] = outcome.death.reason if outcome.death else outcome.result
    return [(entry, found[entry]) for entry in files]


def list_arrays(entry: Entry, announce: Announce) -> list[CloudArray] | str:
    """The arrays of clouds in a file, or why there are none."""
    announce(0)
    try:
        return list_hdf5(on_disk(entry))
    except InputError as error:
        return str(error)
