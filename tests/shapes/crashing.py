"""Faulty conversions that worker processes can import."""

import os
from pathlib import Path

from pcgen.shapes import shards


def only_the_third(shard, announce):
    """Fail if another shard is converted again."""
    assert shard.number == 2
    return shards.convert(shard, announce)


def convert(shard, announce):
    """A parser that crashes on one word, as a C library may on a bad file."""

    def announce_and_crash(position):
        announce(position)
        if b"CRASH" in Path(shard.items[position].entry.file).read_bytes():
            os.abort()

    return shards.convert(shard, announce_and_crash)
