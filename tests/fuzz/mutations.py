"""Damage to files, like that of disks, faulty exporters and attackers."""

import numpy as np

WORDS = [b"-1", b"nan", b"1e999", b"99999999999", b"\n", b"[", b"null", b"\x00", b"{}", b'"']


def mutate(data: bytes, draw: np.random.Generator) -> bytes:
    """Flip, cut, repeat or insert; sometimes a number becomes a huge one; sometimes truncated."""
    copy = bytearray(data)
    for _ in range(draw.integers(1, 5)):
        at, width = int(draw.integers(len(copy))), int(draw.integers(1, 9))
        match draw.integers(5):
            case 0:
                copy[at] = draw.integers(256)
            case 1:
                del copy[at : at + width]
            case 2:
                copy[at:at] = copy[at : at + width] * int(draw.integers(1, 30))
            case 3:
                copy[at : at + width] = b"\xff" * width
            case 4:
                copy[at : at + width] = WORDS[draw.integers(len(WORDS))]
        copy = copy or bytearray(b"\0")
    return bytes(copy[: draw.integers(1, len(copy) + 1)] if draw.random() < 0.2 else copy)
