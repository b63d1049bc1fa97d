"""Contact sheets: rows of pictures with captions."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pcgen.errors import InputError
from pcgen.render import palette
from pcgen.render.renderer import Image

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

GAP = 0.03  # between pictures, in picture widths
TEXT = 0.055  # font size of captions in picture widths, at least MIN_TEXT pixels
MIN_TEXT = 11


def sheet(
    rows: Sequence[Sequence[Image]],
    captions: Sequence[Sequence[str]] | None = None,
    *,
    title: str = "",
) -> Image:
    """Arrange pictures in rows with captions below.

    Args:
        rows: pictures (h, w, 3) uint8 of equal size; rows may differ in length.
        captions: texts in the same layout, of one or more lines; None for none.
        title: one line at the top.
    Raises:
        InputError: no picture, different sizes, or captions in another layout.
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw

    pictures = [picture for row in rows for picture in row]
    if not pictures:
        raise InputError("a sheet needs at least one picture")
    if len({picture.shape for picture in pictures}) > 1:
        raise InputError(
            "all pictures of a sheet must have the same size; render them with one `size`"
        )
    if captions is not None and [len(row) for row in captions] != [len(row) for row in rows]:
        raise InputError("captions must have the same rows and columns as the pictures")
    height, width = pictures[0].shape[:2]
    small, large = max(MIN_TEXT, round(TEXT * width)), max(MIN_TEXT + 4, round(1.5 * TEXT * width))
    letters, heading = font(small), font(large)
    gap = max(2, round(GAP * width))
    line = round(1.35 * small)
    lines = [
        max((text.count("\n") + 1 for text in row if text), default=0) for row in captions or []
    ] or [0] * len(rows)
    top = round(2.2 * large) if title else gap
    columns = max(len(row) for row in rows)
    full_width = columns * (width + gap) + gap
    full_height = top + sum(height + count * line + gap for count in lines)
    page = Pillow.new("RGB", (full_width, full_height), _eight_bit(palette.PAPER))
    pen = ImageDraw.Draw(page)
    if title:
        pen.text((2 * gap, round(0.6 * large)), title, _eight_bit(palette.INK), heading)
    y = top
    for number, row in enumerate(rows):
        for column, picture in enumerate(row):
            x = gap + column * (width + gap)
            page.paste(Pillow.fromarray(picture), (x, y))
            if captions is not None and captions[number][column]:
                at = (x + width / 2, y + height)
                text = _shorten(captions[number][column], letters, width)
                pen.multiline_text(at, text, _eight_bit(palette.INK), letters, "ma", align="center")
        y += height + lines[number] * line + gap
    return np.asarray(page).copy()


def pair(left: Image, right: Image) -> Image:
    """Two pictures side by side, such as a sample and its nearest training shape."""
    return np.concatenate([left, right], axis=1)


@functools.cache
def font(size: int) -> FreeTypeFont | ImageFont:
    """DejaVu Sans of Matplotlib, which has Greek letters and arrows, at ``size`` pixels."""
    from PIL import ImageFont

    found = importlib.util.find_spec("matplotlib")
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(str(path), size)
    return ImageFont.load_default(size)


def _shorten(text: str, letters: FreeTypeFont | ImageFont, width: int) -> str:
    """Truncate each line to the width of the picture with an ellipsis."""
    lines = []
    for line in text.split("\n"):
        cut = line
        while len(cut) > 1 and letters.getlength(cut) > width:
            cut = cut.removesuffix("…")[:-1] + "…"
        lines.append(cut)
    return "\n".join(lines)


def _eight_bit(colour: tuple[float, float, float]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * value) for value in colour)
    return red, green, blue
