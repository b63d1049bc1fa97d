"""Any folder or archive of meshes, scans and arrays, with any nesting.

The folders of the first level are the categories, if they hold more than one shape on average.
If most hold a single shape, there is one category, named after the source. Folders named train,
val or test are splits at any level. Folders named like synsets, and files ``<synset>-<model>``, get
the names of the synsets. A single outermost folder is ignored, and so are the numbered folders of
Objaverse and ABC. Tables of models (:mod:`pcgen.shapes.layouts.models`) may name categories.

Of the versions of a model, such as ``raw_model.obj`` and ``normalized_model.obj`` in a folder, the
best one is used.
"""

from __future__ import annotations

import dataclasses
import os.path
import re
from collections import defaultdict
from itertools import takewhile

from pcgen.errors import InputError, MeshError
from pcgen.shapes.formats import MESH_SUFFIXES
from pcgen.shapes.items import HDF5, SHAPE_SUFFIXES, SourceItem, cloud_arrays_of, is_shape
from pcgen.shapes.layouts import WHOLE, Found, hdf5, whole_shapes
from pcgen.shapes.layouts.models import categories_of_models, class_of, classes_of_labels
from pcgen.shapes.layouts.synsets import aliases_of, category_of, synset_names
from pcgen.shapes.listing import Entry, Listing, Rejected
from pcgen.shapes.split_names import split_in, split_of, topic_of

EXPECTED = f"files ending in {', '.join(SHAPE_SUFFIXES)}, in subfolders by category or in none"

_FLAT = re.compile(r"(?P<synset>\d{8})[-_](?P<model>.+)")
# Folders that divide a data set by size, not by content.
_SHARD = re.compile(
    r"\d{3}-\d{3}|abc_\d{4}_.*|(?:chunk|shard|batch|volume)[-_ ]?\d+", re.IGNORECASE
)
# Folders of one format; if all of the first level are, a model has a file in each.
_FORMAT = re.compile(
    r"(?:obj|glb|gltf|glTF2|stl|ply|off|xyz|pcd|fbx|dae)s?(?:[-_ ](?:format|files?|models?))?"
    r"|hf-objaverse-v\d",
    re.IGNORECASE,
)
# Words in names of files or folders that do not name a model.
_VERSION = (
    r"raw|normali[sz]ed|simplified|lod\d*|decimated|watertight|manifold|remeshed|(?:low|high)"
    r"(?:poly)?|orig|original|cleaned|clean|(?:non|un)?textured|collision|visual|converted|\d+k"
    r"|v\d+(?:\.\d+)?|ver(?:sion)?\d+|rev\d+|copy|final|fixed|repaired"
)
_WORD = r"models?|mesh(?:es)?|objects?|objs?|shapes?|untitled|scene|surface|solid|geometry|scan"
_WORD += r"|merged|points?|pointclouds?|clouds?|point|pc|google|poisson|tsdf|source|full"
#: Folders and ends of names of arrays with one row per point.
_ATTRIBUTE = re.compile(r"normals?|colou?rs?|rgbs?", re.IGNORECASE)
_POINTS = ("points", "pointclouds", "clouds", "xyz")
_NUMBERED = re.compile(r"(?:v|ver|version|rev)(\d+(?:\.\d+)?)")
_SERIES = 4  # more files that differ in such a number alone are models, not versions
_GENERIC = re.compile(rf"(?:{_VERSION}|{_WORD})(?:[-_. ]+(?:{_VERSION}|{_WORD}))*", re.IGNORECASE)
_ENDING = re.compile(rf"(?P<base>.+?)(?:[-_. ]+(?:{_VERSION}))+", re.IGNORECASE)


def recognises(listing: Listing) -> bool:
    return any(is_shape(entry) for entry in listing.entries)


def find(listing: Listing) -> Found:
    every, remarks = whole_shapes([entry for entry in listing.entries if is_shape(entry)])
    every, attributes = _without_attributes(every)
    dropped = (*WHOLE, *_POINTS) if remarks or attributes else ()
    root = _common_folder(every)
    shapes, versions = _of_models([e for e in every if e.suffix not in HDF5], len(root))
    remarks += attributes + versions
    around = (part for part in reversed(root) if not _GENERIC.fullmatch(part))
    ignored = (_FORMAT, _SHARD)
    name = next((p for p in around if not any(i.fullmatch(p) for i in ignored)), listing.name)
    split_folders = _split_folders(shapes)
    placed = [_place(entry, len(root), dropped, split_folders) for entry in shapes]
    # Names of files tell splits if they tell more than one.
    named = {split_in(entry.stem) for entry in shapes} >= {"train", "test"}
    by_folder: dict[str, list[Entry]] = defaultdict(list)
    for entry, (folders, _) in zip(shapes, placed, strict=True):
        if folders:
            by_folder[folders[0]].append(entry)
    shards = {f for f in by_folder if _SHARD.fullmatch(f) or _FORMAT.fullmatch(f)}
    if all(_by_name(folder, group) for folder, group in by_folder.items()):
        shards = set(by_folder)
    single = sum(len(group) == 1 for group in by_folder.values())
    folders_are_categories = single * 2 <= len(by_folder) and len(shards) * 2 <= len(by_folder)
    names = synset_names(listing)
    folders_are_categories |= bool(by_folder) and by_folder.keys() <= names.keys()
    models, classes = categories_of_models(listing), classes_of_labels(listing)
    items: list[SourceItem] = []
    rejected: list[Rejected] = []
    synsets: set[str] = set()
    for entry, (folders, split) in zip(shapes, placed, strict=True):
        by_name = bool(folders) and folders_are_categories and folders[0] not in shards
        category = category_of(folders[0] if by_name else name, names)
        rest = folders[1:] if by_name else folders
        own, called = entry.stem, [entry.path, entry.path.rsplit("/", 1)[-1], entry.stem]
        flat = _FLAT.fullmatch(entry.stem)
        if flat and flat["synset"] in names:
            synsets.add(flat["synset"])
            category, own = category_of(flat["synset"], names), flat["model"]
            called = [f"{flat['synset']}/{own}", *called, own]
        elif folders and _GENERIC.fullmatch(entry.stem):
            called += ["/".join(folders), folders[-1]]
        known = next((models[word] for word in (own, *folders) if word in models), None)
        category, rest = (known, folders) if known else (category, rest)
        item = SourceItem(
            id="/".join((category, *rest, own)),
            category=category,
            split=split or (split_in(entry.stem) if named else None),
            entry=entry,
            names=tuple(called),
        )
        items += _rows(item, classes, rejected) if entry.suffix in _ARRAYS else [item]
    if folders_are_categories:
        rejected += _barren(listing, root, {*by_folder, *(path[-1] for path in split_folders)})
    rule = (
        "categories are the folders of the first level"
        if folders_are_categories and by_folder
        else f"one category, named after {name}"
    )
    if models:
        rule = f"categories are those of the set's own table, else: {rule}"
    synsets |= {*by_folder, name} & names.keys()
    found = Found(items, rejected, aliases_of(synsets, names), rule, remarks)
    if len(every) > len(shapes) and any(entry.suffix in HDF5 for entry in every):
        more = hdf5.find(listing)
        found = dataclasses.replace(
            found,
            items=items + more.items,
            rejected=rejected + more.rejected,
            remarks=tuple(dict.fromkeys((*found.remarks, *more.remarks))),
        )
    return found


_ARRAYS = (".npy", ".npz", ".pt", ".pth")


def _without_attributes(shapes: list[Entry]) -> tuple[list[Entry], tuple[str, ...]]:
    """Without files of the normals or colours of points in other files, and a remark on them.

    The folder or the end of a name tells: ``chair_normals.npy``, ``normals/chair.npy``.
    """

    def is_attribute(entry: Entry) -> bool:
        words = (re.split(r"[-_. ]", entry.stem)[-1], *entry.parts[-2:-1])
        return entry.suffix in _ARRAYS and any(map(_ATTRIBUTE.fullmatch, words))

    kept = [entry for entry in shapes if not is_attribute(entry)]
    if not any(entry.suffix in _ARRAYS for entry in kept) or len(kept) == len(shapes):
        return shapes, ()
    said = f"{len(shapes) - len(kept)} arrays of normals or colours beside points are left out"
    return kept, (said,)


def _of_models(shapes: list[Entry], depth: int) -> tuple[list[Entry], tuple[str, ...]]:
    """One file per model, and a remark on the other versions.

    Args:
        depth: of the outermost folder; each file directly in it is one model.
    """
    groups: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    first = {entry.parts[depth] for entry in shapes}
    by_format = len(first) > 1 and all(map(_FORMAT.fullmatch, first))
    for entry in shapes:
        inner = (*entry.parts[depth + 1 : -1], entry.stem)
        groups[inner if by_format else _model(entry, depth)].append(entry)
    kept = {entry.path for group in groups.values() for entry in _best(group)}
    left = len(shapes) - len(kept)
    if not left:
        return shapes, ()
    example = next(sorted(g, key=_rank) for g in groups.values() if len(_best(g)) < len(g))
    remark = (
        f"{left} files are other versions of a model, such as {example[1].path} "
        f"beside {example[0].path}; one version of each model is used"
    )
    return [entry for entry in shapes if entry.path in kept], (remark,)


def _best(group: list[Entry]) -> list[Entry]:
    """The best version of a model; all files if they are a numbered series."""
    numbered = sum(bool(_NUMBERED.fullmatch(re.split(r"[-_. ]+", e.stem)[-1])) for e in group)
    return group if numbered > _SERIES else [min(group, key=_rank)]


def _model(entry: Entry, depth: int) -> tuple[str, ...]:
    """The key of a file's model: its folder, or its name without the version."""
    folders = entry.parts[:-1]
    if _GENERIC.fullmatch(entry.stem) and len(folders) > depth:
        while len(folders) > depth + 1 and _GENERIC.fullmatch(folders[-1]):
            folders = folders[:-1]
        return (*folders, "")
    version = _ENDING.fullmatch(entry.stem)
    if version is None:
        return (*folders, entry.parts[-1])
    return (*folders, version["base"] + entry.suffix)


def _rank(entry: Entry) -> tuple[int, int, float, int, str]:
    """Sort key, best version first: a mesh, normalised, plain, raw, then simplified ones; of
    numbered versions, the last."""
    stem, suffixes = entry.stem.lower(), (*MESH_SUFFIXES, *SHAPE_SUFFIXES)
    # Folders tell versions of files with a common name: model/v2/mesh.obj.
    folders = takewhile(_GENERIC.fullmatch, reversed(entry.parts[:-1]))
    named = [*reversed(list(folders)), stem] if _GENERIC.fullmatch(stem) else [stem]
    words = [word for name in named for word in re.split(r"[-_. ]+", name.lower())]
    quality = 1
    numbered = [float(found[1]) for word in words if (found := _NUMBERED.fullmatch(word))]
    if any(re.fullmatch("normali[sz]ed", word) for word in words):
        quality = 0
    elif any(re.fullmatch("raw|orig|original|converted|visual", word) for word in words):
        quality = 2
    elif any(re.fullmatch(_VERSION, w) and not _NUMBERED.fullmatch(w) for w in words):
        quality = 3
    cloud = entry.suffix not in MESH_SUFFIXES or bool({"cloud", "clouds", "points"} & {*words})
    place = suffixes.index(entry.suffix) if entry.suffix in suffixes else len(suffixes)
    # Of clouds, points.npz is what occupancy networks call samples of space.
    newest = -numbered[-1] if numbered else 0.0
    return cloud, quality + (stem == "points"), newest, place, entry.path


def _common_folder(shapes: list[Entry]) -> tuple[str, ...]:
    """The folders that contain all shapes, without split folders."""
    paths = [os.path.dirname(entry.path) for entry in shapes]
    common = os.path.commonpath(paths) if paths and all(paths) else ""
    parts = tuple(common.split("/")) if common else ()
    for depth, part in enumerate(parts):
        if split_of(part):
            return parts[:depth]
    return parts


Splits = dict[tuple[str, ...], tuple[str, str]]


def _split_folders(shapes: list[Entry]) -> Splits:
    """The folders that are splits: what is left of the name of each, and the split.

    Of ``chair_train`` beside ``chair_test``, ``chair`` is left. A folder ``train`` beside others
    and no other split holds trains.
    """
    beside: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for entry in shapes:
        for k in range(len(entry.parts) - 1):
            beside[entry.parts[:k]].add(entry.parts[k])
    found: Splits = {}
    for place, names in beside.items():
        splits: dict[str, set[str]] = defaultdict(set)
        for name in names:
            if split := split_in(name):
                splits[topic_of(name)].add(split)
        for name in names:
            split, topic = split_in(name), topic_of(name)
            trains = "train" in re.split(r"[-_. ]", name.lower()) and len(names) > 1
            if split and (len(splits[topic]) > 1 or not (topic or trains)):
                found[*place, name] = topic, split
    return found


def _place(
    entry: Entry, depth: int, dropped: tuple[str, ...], splits: Splits
) -> tuple[tuple[str, ...], str | None]:
    """The folders of a shape below the common one, without split folders and ignored ones."""
    kept, found = [], []
    for k in range(depth, len(entry.parts) - 1):
        part, split = splits.get(entry.parts[: k + 1], (entry.parts[k], ""))
        found += [split] * bool(split)
        kept += [part] * bool(part and part.lower() not in dropped)
    return tuple(kept), found[0] if found else None


def _by_name(folder: str, shapes: list[Entry]) -> bool:
    """Whether a folder holds the long names that begin or end with its own one or two letters, as
    of hashes: ``B/B075X4QMX3.glb``."""
    own, stems = folder.lower(), [entry.stem.lower() for entry in shapes]
    begins = all(stem.startswith(own) for stem in stems)
    alike = begins or all(stem.endswith(own) for stem in stems)
    return len(own) <= 2 and alike and all(len(s) >= 8 and s.isalnum() for s in stems)


def _rows(item: SourceItem, classes: dict[int, str], rejected: list[Rejected]) -> list[SourceItem]:
    """The clouds of a file of arrays, one of (P, 3) or N of (N, P, 3), with their classes."""
    try:
        (cloud_array,) = cloud_arrays_of(item.entry)
    except (InputError, MeshError, OSError, MemoryError) as error:
        rejected.append(Rejected(item.where, str(error)))
        return []
    name = item.id.removeprefix(f"{item.category}/")
    labels = [class_of(label, classes) for label in cloud_array.labels]
    if len(cloud_array.shape) == 2:
        category = labels[0] if labels else item.category
        one = dataclasses.replace(item, category=category, id=f"{category}/{name}")
        return [dataclasses.replace(one, points=cloud_array.points)]
    categories = labels or [item.category] * cloud_array.shape[0]
    return [
        dataclasses.replace(
            item,
            id=f"{categories[row]}/{name}/{row:06d}",
            category=categories[row],
            split=item.split or split_in(item.entry.stem),
            names=(f"{item.entry.path}[{row}]",),
            row=row,
            points=cloud_array.points,
        )
        for row in range(cloud_array.shape[0])
    ]


def _barren(listing: Listing, root: tuple[str, ...], used: set[str]) -> list[Rejected]:
    """Folders at the level of the categories without shapes."""
    depth = len(root)
    barren: dict[str, str] = {}
    paths = [(entry.parts[:-1], "no mesh or point cloud in it") for entry in listing.entries]
    paths += [(tuple(path.split("/")), "empty folder") for path in listing.empty]
    for folders, reason in paths:
        if len(folders) > depth and folders[:depth] == root:
            name = folders[depth]
            if name not in used and not split_of(name):
                barren.setdefault(name, reason)
    return [Rejected("/".join((*root, name)), reason) for name, reason in sorted(barren.items())]
