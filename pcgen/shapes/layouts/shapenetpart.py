"""ShapeNetPart: clouds in ``<synset>/points/<model>.pts``, or ``<synset>/<model>.txt``.

The text files hold position, normal and part label; ``synsetoffset2category.txt`` names the
synsets.
"""

from __future__ import annotations

import re

from pcgen.shapes.items import SourceItem
from pcgen.shapes.layouts import Found
from pcgen.shapes.layouts.synsets import aliases_of, category_of, synset_names
from pcgen.shapes.listing import Listing, read_entry

EXPECTED = "<synset>/points/<model>.pts, or <synset>/<model>.txt with synsetoffset2category.txt"

_PTS = re.compile(r"(?:.*/)?(?P<synset>\d{8})/points/(?P<model>[^/]+)\.pts")
_TXT = re.compile(r"(?:.*/)?(?P<synset>\d{8})/(?P<model>[^/]+)\.txt")
_NAMES = "synsetoffset2category.txt"
_TABLE_LIMIT = 64 * 2**20


def recognises(listing: Listing) -> bool:
    return any(
        _PTS.fullmatch(entry.path) or entry.path.rsplit("/", 1)[-1] == _NAMES
        for entry in listing.entries
    )


def find(listing: Listing) -> Found:
    names = {**synset_names(listing), **_own_names(listing)}
    items, synsets = [], set()
    for entry in listing.entries:
        match = _PTS.fullmatch(entry.path) or _TXT.fullmatch(entry.path)
        if not match:
            continue
        synset, model = match["synset"], match["model"]
        category = category_of(synset, names)
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
    return Found(items, aliases=aliases_of(synsets, names), rule="categories are synsets")


def _own_names(listing: Listing) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for entry in listing.entries:
        if entry.path.rsplit("/", 1)[-1] == _NAMES:
            for line in read_entry(entry, _TABLE_LIMIT).decode("utf-8", "replace").splitlines():
                name, _, synset = line.partition("\t")
                if synset.strip():
                    found[synset.strip()] = (name.strip(), name.strip().lower())
    return found
