"""Tables in a data set that name the category of each model."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from typing import Any

from pcgen.errors import InputError, MeshError
from pcgen.files import parse_json
from pcgen.shapes.formats.raw import to_utf8
from pcgen.shapes.listing import Listing, read_entry

_CLASSES = re.compile(r"(?:.*[/_-])?(?:shape_names|class_names|categories|classes)\.txt", re.I)
_LIMIT = 512 * 2**20
_NAMES = ("super-category", "super_category", "category")


def classes_of_labels(listing: Listing) -> dict[int, str]:
    """Class names by number: the lines of ``shape_names.txt``."""
    for entry in listing.entries:
        if _CLASSES.fullmatch(entry.path):
            try:
                text = to_utf8(read_entry(entry, _LIMIT)).decode("utf-8", "replace")
            except (InputError, MeshError):
                continue
            return dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
    return {}


def class_of(label: int | str, classes: dict[int, str]) -> str:
    """The category of a label, which is a number or a name."""
    if isinstance(label, str):
        return label.replace("/", " or ") or "shapes"
    return classes.get(label, f"class {label}")


def categories_of_models(listing: Listing) -> dict[str, str]:
    """Category by model, from 3D-FUTURE's ``model_info.json`` and Objaverse's LVIS annotations.

    A table that cannot be read is ignored.
    """
    found: dict[str, str] = {}
    for entry in listing.entries:
        name = entry.path.rsplit("/", 1)[-1]
        if name not in ("model_info.json", "lvis-annotations.json", "lvis-annotations.json.gz"):
            continue
        try:
            data = read_entry(entry, _LIMIT)
            if name.endswith(".gz"):
                data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(_LIMIT)
            table: Any = parse_json(data)
            if isinstance(table, dict):
                for category, models in table.items():
                    found.update((str(model), str(category)) for model in models)
            else:
                for row in table:
                    words = [row.get(key) for key in _NAMES]
                    if any(words) and "model_id" in row:
                        found[str(row["model_id"])] = str(next(filter(None, words))).strip()
        except (ValueError, TypeError, AttributeError, KeyError, InputError, RecursionError,
                OSError, EOFError, zlib.error):  # fmt: skip
            continue
    return {model: category.replace("/", " or ") for model, category in found.items() if category}
