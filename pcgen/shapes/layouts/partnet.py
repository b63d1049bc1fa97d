"""PartNet and PartNet-Mobility: ``<annotation>/objs/*.obj``, one folder of parts per shape.

The folder of PartNet-Mobility is called ``textured_objs``.

``meta.json`` beside the folder names the category; ``result.json`` lists the parts at the leaves of
the hierarchy. Surface samples beside it are not used.
"""

from __future__ import annotations

import re
from collections import defaultdict

from pcgen.errors import InputError
from pcgen.files import parse_json
from pcgen.shapes.items import SourceItem
from pcgen.shapes.layouts import Found
from pcgen.shapes.listing import Entry, Listing, read_entry

EXPECTED = "<annotation>/objs/<part>.obj with <annotation>/meta.json or result.json"

_PART = re.compile(
    r"(?P<place>(?:.*/)?(?P<name>[^/]+))/(?:textured_)?objs/[^/]+\.obj", re.IGNORECASE
)
_TABLES = ("meta.json", "result.json", "result_after_merging.json")


def recognises(listing: Listing) -> bool:
    return any(
        f"{match['place']}/{table}" in listing.by_path
        for entry in listing.entries
        if (match := _PART.fullmatch(entry.path))
        for table in _TABLES
    )


def find(listing: Listing) -> Found:
    parts: dict[str, list[Entry]] = defaultdict(list)
    for entry in listing.entries:
        if match := _PART.fullmatch(entry.path):
            others = parts[match["place"]]
            if not others or others[0].parts[:-1] == entry.parts[:-1]:
                others.append(entry)
    items = []
    for place, entries in parts.items():
        name = place.rsplit("/", 1)[-1]
        meta = _meta(listing.by_path.get(f"{place}/meta.json"))
        category = str(meta.get("model_cat") or listing.name)
        result = listing.by_path.get(f"{place}/result.json")
        model = str(meta.get("model_id") or "")
        items.append(
            SourceItem(
                id=f"{category}/{name}",
                category=category,
                split=None,
                entry=entries[0],
                parts=tuple(entries[1:]),
                names=(name, place, *([model] if model else [])),
                siblings=(result,) if result else (),
            )
        )
    return Found(items, rule="categories are those of each shape's meta.json")


def _meta(entry: Entry | None) -> dict[str, object]:
    try:
        found = parse_json(read_entry(entry)) if entry else {}
    except (ValueError, InputError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
