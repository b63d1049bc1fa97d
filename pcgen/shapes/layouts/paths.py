"""Data sets whose paths name the category, the model and perhaps the split of each shape.

ShapeNet's MTL files, textures and voxels are not opened. The clouds of PC15k keep the order of
their points: its protocol trains on the first 10,000 and evaluates on the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pcgen.shapes.items import SourceItem
from pcgen.shapes.layouts import Found
from pcgen.shapes.layouts.synsets import OFFSETS, aliases_of, category_of, synset_names
from pcgen.shapes.listing import Listing, Rejected
from pcgen.shapes.split_names import SPLIT_NAMES


@dataclass(frozen=True)
class PathLayout:
    """A :class:`pcgen.shapes.layouts.Layout` by regular expressions for paths.

    Attributes:
        EXPECTED: the layout in words.
        patterns: with groups ``synset`` (or the name of a category), ``model`` and perhaps
            ``split``. A path without a synset belongs to that of the source's name; it is
            recognised by the first pattern, or if that name is a number.
        rule: how categories are found.
        more: patterns of files that other layouts may have too; table: a file that only this has.
        missing: why a model's folder without a shape is rejected; "" if it is not.
    """

    EXPECTED: str
    patterns: tuple[str, ...]
    rule: str
    more: tuple[str, ...] = ()
    table: str = ""
    missing: str = ""

    def recognises(self, listing: Listing) -> bool:
        named = listing.name.isdigit()
        for entry in listing.entries:
            for number, pattern in enumerate(self.patterns):
                match = re.fullmatch(pattern, entry.path)
                if match and (match["synset"] or named or not number):
                    return True
            if self.table and entry.path.rsplit("/", 1)[-1] == self.table:
                return True
        return False

    def find(self, listing: Listing) -> Found:
        names = synset_names(listing)
        items: list[SourceItem] = []
        folders: dict[str, set[str]] = {}  # the models in each folder of a synset
        synsets: set[str] = set()
        for entry in listing.entries:
            tried = (re.fullmatch(p, entry.path) for p in (*self.patterns, *self.more))
            match = next(filter(None, tried), None)
            if not match:
                continue
            place, model = match["synset"] or "", match["model"]
            synset = place.rsplit("/", 1)[-1] or listing.name
            category = category_of(synset, names)
            folders.setdefault(place, set()).add(model)
            synsets.add(synset)
            items.append(
                SourceItem(
                    id=f"{category}/{model}",
                    category=category,
                    split=SPLIT_NAMES.get(match.groupdict().get("split", "").lower()),
                    entry=entry,
                    names=(f"{synset}/{model}", model, entry.path),
                )
            )
        barren = _without_shapes(listing, folders) if self.missing else []
        rejected = [Rejected(path, self.missing) for path in barren]
        return Found(items, rejected, aliases_of(synsets, names), self.rule)


def _without_shapes(listing: Listing, folders: dict[str, set[str]]) -> list[str]:
    """Folders of models without a shape; ShapeNet has some."""
    missing: set[str] = set()
    paths = [entry.path for entry in listing.entries] + [f"{path}/." for path in listing.empty]
    prefixes = {place: f"{place}/" if place else "" for place in folders}
    depths = {prefix.count("/") for prefix in prefixes.values()}
    places = {prefix: place for place, prefix in prefixes.items()}
    for path in paths:
        parts = path.split("/")
        for depth in depths:
            prefix = "".join(f"{part}/" for part in parts[:depth])
            if len(parts) > depth + 1 and prefix in places:
                model = parts[depth]
                if model not in folders[places[prefix]] and f"{prefix}{model}/" not in places:
                    missing.add(f"{prefix}{model}")
    return sorted(missing)


_SYNSET = r"(?P<synset>(?:.*/)?\d{8})"
_SPLIT = r"(?:.*/)?(?P<synset>[^/]+)/(?P<split>(?i:train|val|test))/(?P<model>[^/]+)"
PATH_LAYOUTS = {
    # v1 and v2, unpacked or in one zip file per synset.
    "shapenet": PathLayout(
        "<synset>/<model>/models/model_normalized.obj, or <synset>/<model>/model.obj",
        (
            r"(?:(?P<synset>(?:.*/)?[^/]+)/)?(?P<model>[^/]+)/models/model_normalized\.obj",
            rf"(?:{_SYNSET}/)?(?P<model>[^/]+)/model\.obj",
        ),
        "categories are synsets, by their first name",
        missing="no model_normalized.obj or model.obj",
    ),
    "modelnet": PathLayout(
        "<class>/<train or test>/<name>.off",
        (rf"{_SPLIT}\.(?i:off)",),
        "categories and splits are folders",
    ),
    # ShapeNetCore.v2.PC15k, each (15000, 3).
    "pc15k": PathLayout(
        "<synset>/<train, val or test>/<model>.npy",
        (rf"{_SPLIT}\.(?i:npy)",),
        "categories are synsets, splits folders",
    ),
    # The text files hold position, normal and the label of a part.
    "shapenetpart": PathLayout(
        f"<synset>/points/<model>.pts, or <synset>/<model>.txt with {OFFSETS}",
        (rf"{_SYNSET}/points/(?P<model>[^/]+)\.pts",),
        "categories are synsets",
        more=(rf"{_SYNSET}/(?P<model>[^/]+)\.txt",),
        table=OFFSETS,
    ),
}
