"""Words for splits, in the names of folders, files and arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping

SPLIT_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("train", "training", "trainset", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "valset", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "testset", "tst"), "test"),
}
#: Words that say nothing about the shapes: ``train_set``, ``Test Data``.
_GENERIC = ("set", "sets", "data", "dataset", "split", "models", "shapes", "meshes", "clouds")


def split_in(name: str) -> str | None:
    """The split in a name: ``ply_data_train0``, ``test_objectdataset``, ``X_train``."""
    words = re.findall(r"[a-z]+", name.lower())
    splits = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    return splits.pop() if len(splits) == 1 else None


def other_words(name: str) -> list[str]:
    """The words of a name that do not name a split."""
    words = re.split(r"[-_. ]+", name)
    return [w for w in words if w and re.sub(r"\d+$", "", w).lower() not in SPLIT_NAMES]


def topic_of(name: str) -> str:
    """What a name says beside its split: ``chair`` for ``chair_train``; "" for ``train_set``."""
    words = other_words(name)
    return "" if all(word.lower() in _GENERIC for word in words) else "_".join(words)


def split_of(name: str) -> str | None:
    """The split of a name that says nothing else: ``train``, ``train_set``."""
    return None if topic_of(name) else split_in(name)


def without_split(name: str) -> str:
    """A name in lower case without words for splits: ``x`` for ``X_train``."""
    return "_".join(w for w in re.split(r"[-_]", name.lower()) if w not in SPLIT_NAMES)
