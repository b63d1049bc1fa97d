"""ShapeNetCore v1 and v2, unpacked or in one zip file per synset.

``<synset>/<model>/models/model_normalized.obj`` (v2) or ``<synset>/<model>/model.obj`` (v1). MTL
files, textures and voxels are not opened. The folder of a single synset is read too.
"""

from __future__ import annotations

import re

from pcgen.shapes.items import SourceItem
from pcgen.shapes.layouts import Found
from pcgen.shapes.layouts.synsets import aliases_of, category_of, synset_names
from pcgen.shapes.listing import Listing, Rejected

EXPECTED = "<synset>/<model>/models/model_normalized.obj, or <synset>/<model>/model.obj"

_V2 = re.compile(r"(?:(?P<synset>(?:.*/)?[^/]+)/)?(?P<model>[^/]+)/models/model_normalized\.obj")
_V1 = re.compile(r"(?:(?P<synset>(?:.*/)?\d{8})/)?(?P<model>[^/]+)/model\.obj")


def recognises(listing: Listing) -> bool:
    for entry in listing.entries:
        if _V2.fullmatch(entry.path):
            return True
        match = _V1.fullmatch(entry.path)
        if match and (match["synset"] or listing.name.isdigit()):
            return True
    return False


def find(listing: Listing) -> Found:
    names = synset_names(listing)
    items: list[SourceItem] = []
    folders: dict[str, set[str]] = {}  # the models of each synset's folder that have an OBJ
    synsets: set[str] = set()
    for entry in listing.entries:
        match = _V2.fullmatch(entry.path) or _V1.fullmatch(entry.path)
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
                split=None,
                entry=entry,
                names=(f"{synset}/{model}", model, entry.path),
            )
        )
    return Found(
        items,
        _without_obj(listing, folders),
        aliases_of(synsets, names),
        "categories are synsets, by their first name",
    )


def _without_obj(listing: Listing, folders: dict[str, set[str]]) -> list[Rejected]:
    """Model folders without OBJ; the official data sets have some."""
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
    return [Rejected(path, "no model_normalized.obj or model.obj") for path in sorted(missing)]
