"""PointFlow's ShapeNetCore.v2.PC15k: ``<synset>/<split>/<model>.npy``, each (15000, 3).

The order of the points is kept: the protocol trains on the first 10,000 and evaluates on the
rest.
"""

from __future__ import annotations

import re

from pcgen.shapes.items import SourceItem
from pcgen.shapes.layouts import SPLIT_NAMES, Found
from pcgen.shapes.layouts.synsets import aliases_of, category_of, synset_names
from pcgen.shapes.listing import Listing

EXPECTED = "<synset>/<train, val or test>/<model>.npy"

_PATH = re.compile(
    r"(?:.*/)?(?P<synset>[^/]+)/(?P<split>train|val|test)/(?P<model>[^/]+)\.npy", re.IGNORECASE
)


def recognises(listing: Listing) -> bool:
    return any(_PATH.fullmatch(entry.path) for entry in listing.entries)


def find(listing: Listing) -> Found:
    names = synset_names(listing)
    items, synsets = [], set()
    for entry in listing.entries:
        match = _PATH.fullmatch(entry.path)
        if match:
            synset, model = match["synset"], match["model"]
            category = category_of(synset, names)
            synsets.add(synset)
            items.append(
                SourceItem(
                    id=f"{category}/{model}",
                    category=category,
                    split=SPLIT_NAMES[match["split"].lower()],
                    entry=entry,
                    names=(f"{synset}/{model}", model, entry.path),
                )
            )
    return Found(
        items, aliases=aliases_of(synsets, names), rule="categories are synsets, splits folders"
    )
