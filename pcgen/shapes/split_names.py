"""Words for splits, in the names of folders, files and arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping

SPLIT_NAMES: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def split_in(name: str) -> str | None:
    """The split in a name: ``ply_data_train0``, ``test_objectdataset``, ``X_train``."""
    words = re.findall(r"[a-z]+", name.lower())
    splits = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    return splits.pop() if len(splits) == 1 else None


def without_split(name: str) -> str:
    """A name in lower case without words for splits: ``x`` for ``X_train``."""
    return "_".join(w for w in re.split(r"[-_]", name.lower()) if w not in SPLIT_NAMES)
