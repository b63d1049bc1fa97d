"""Limit the size of the folder of finished tables, least recently used first.

An entry is a table (``KEY.npz``), or the blocks of an interrupted one (``KEY/``). Other files are
never removed, because ``--cache`` may name any folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from pathlib import Path
from typing import NamedTuple

LIMIT_BYTES = 1_000_000_000  # 280 tables of 662 × 662 pairs
IN_USE_S = 3600.0  # entries used within this time may belong to another process
_ENTRY = re.compile(r"[0-9a-f]{32}(\.npz)?")


class _Entry(NamedTuple):
    used: float
    size: int
    path: Path


def touch(path: Path) -> None:
    """Mark an entry as recently used."""
    with contextlib.suppress(OSError):
        os.utime(path)


def prune(folder: Path, limit: int | None = None) -> int:
    """Remove entries, the least recently used first, until ``limit`` bytes are left.

    The default is :data:`LIMIT_BYTES`. Entries used in the last hour stay.

    Returns:
        the number of bytes removed.
    """
    limit = LIMIT_BYTES if limit is None else limit
    entries = sorted(_entries(folder))
    total, removed = sum(entry.size for entry in entries), 0
    for entry in entries:
        if total - removed <= limit or time.time() - entry.used < IN_USE_S:
            break
        if entry.path.is_dir():
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            entry.path.unlink(missing_ok=True)
        removed += entry.size
    return removed


def _entries(folder: Path) -> list[_Entry]:
    found = []
    with contextlib.suppress(OSError):  # no folder yet, or another process prunes it
        for path in folder.iterdir():
            if _ENTRY.fullmatch(path.name):
                files = [path, *(path.iterdir() if path.is_dir() else ())]
                states = [file.stat() for file in files]
                used = max(state.st_mtime for state in states)
                found.append(_Entry(used, sum(state.st_size for state in states), path))
    return found
