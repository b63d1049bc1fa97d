"""A conversion whose parser crashes on one word, as a library in C may on a bad file."""

import os
from pathlib import Path

from pcgen.shapes import pieces


def convert(piece, announce):
    def announce_and_crash(position):
        announce(position)
        if b"CRASH" in Path(piece.items[position].entry.file).read_bytes():
            os.abort()

    pieces.convert(piece, announce_and_crash)
