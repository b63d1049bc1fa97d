"""ModelNet10 and 40: ``<class>/<train or test>/<class>_0001.off``."""

from __future__ import annotations

import re

from pcgen.shapes.items import SourceItem
from pcgen.shapes.layouts import SPLIT_NAMES, Found
from pcgen.shapes.listing import Listing

EXPECTED = "<class>/<train or test>/<name>.off"

_PATH = re.compile(r"(?:.*/)?(?P<group>[^/]+)/(?P<split>train|val|test)/(?P<name>[^/]+)\.off", re.I)


def recognises(listing: Listing) -> bool:
    return any(_PATH.fullmatch(entry.path) for entry in listing.entries)


def find(listing: Listing) -> Found:
    items = []
    for entry in listing.entries:
        match = _PATH.fullmatch(entry.path)
        if match:
            items.append(
                SourceItem(
                    id=f"{match['group']}/{match['name']}",
                    category=match["group"],
                    split=SPLIT_NAMES[match["split"].lower()],
                    entry=entry,
                    names=(match["name"], entry.path),
                )
            )
    return Found(items, rule="categories and splits are folders")
