"""Conversions that worker processes can import, each wrong in its own way."""

import os
from pathlib import Path

from pcgen.shapes import shards


def only_the_third(piece, announce):
    """As if the other pieces must not be made again."""
    assert piece.number == 2
    return shards.convert(piece, announce)


def convert(piece, announce):
    """A parser that crashes on one word, as a library in C may on a bad file."""

    def announce_and_crash(position):
        announce(position)
        if b"CRASH" in Path(piece.items[position].entry.file).read_bytes():
            os.abort()

    return shards.convert(piece, announce_and_crash)
