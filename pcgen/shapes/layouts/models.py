"""Tables in a data set that name the category of each model."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable
from typing import Any

from pcgen.errors import InputError, MeshError
from pcgen.files import parse_json
from pcgen.shapes.formats.raw import to_utf8
from pcgen.shapes.listing import Listing, read_entry

_CLASSES = re.compile(r"(?:.*[/_-])?(?:shape_names|class_names|categories|classes)\.txt", re.I)
_CLASS = re.compile(r"(?:(?P<number>\d{1,6})[\s,:;=.]+)?(?P<name>\D.*?)(?:[\s,:;=]+\d+)?")
_LIMIT = 512 * 2**20
#: Tables of the categories of models.
TABLES = ("model_info.json", "lvis-annotations.json", "lvis-annotations.json.gz", "metadata.csv")
_NAMES = ("super-category", "super_category", "category")


def classes_of_labels(listing: Listing) -> dict[int, str]:
    """Class names by number: the lines of ``shape_names.txt``.

    A number in front of a name is that of its class; one after it, such as a synset, is ignored.
    """
    for entry in listing.entries:
        if _CLASSES.fullmatch(entry.path):
            try:
                text = to_utf8(read_entry(entry, _LIMIT)).decode("utf-8", "replace")
            except (InputError, MeshError):
                continue
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            rows = [_CLASS.fullmatch(line) for line in lines]
            return {
                int(row["number"] or k) if row else k: row["name"] if row else line
                for k, (row, line) in enumerate(zip(rows, lines, strict=True))
            }
    return {}


def unnamed_labels(labels: Iterable[int | str], classes: dict[int, str]) -> tuple[str, ...]:
    """A remark on labels that are no numbers of classes."""
    missing = sorted({k for k in labels if isinstance(k, int) and classes and k not in classes})
    if not missing:
        return ()
    listed = ", ".join(map(str, missing[:5])) + (" ..." if len(missing) > 5 else "")
    several = f"{len(missing)} labels have" if len(missing) > 1 else "1 label has"
    named = f"{min(classes)} to {max(classes)}"
    return (f"{several} no name: {listed}; the file of class names has {named}",)


def class_of(label: int | str, classes: dict[int, str]) -> str:
    """The category of a label, which is a number or a name."""
    if isinstance(label, str):
        return label.replace("/", " or ") or "shapes"
    return classes.get(label, f"class {label}")


def categories_of_models(listing: Listing) -> dict[str, str]:
    """Category by model: 3D-FUTURE's ``model_info.json``, Objaverse's LVIS annotations, and
    ``metadata.csv`` of ShapeNetSem.

    A table that cannot be read is ignored.
    """
    found: dict[str, str] = {}
    for entry in listing.entries:
        name = entry.path.rsplit("/", 1)[-1]
        if name not in TABLES:
            continue
        try:
            data = read_entry(entry, _LIMIT)
            if name.endswith(".gz"):
                data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(_LIMIT)
            if name == "metadata.csv":
                for row in csv.DictReader(io.StringIO(to_utf8(data).decode(), newline="")):
                    words = [word.strip() for word in row["category"].split(",")]
                    words = [word for word in words if word[:1] not in ("", "_")]
                    found[row["fullId"].removeprefix("wss.")] = next(iter(words), "")
                continue
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
                csv.Error, MeshError, OSError, EOFError, zlib.error):  # fmt: skip
            continue
    return {model: category.replace("/", " or ") for model, category in found.items() if category}
