"""Write pictures atomically: PNG, JPEG and WebP, and animated GIFs."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from pcgen.errors import InputError
from pcgen.files import atomic_file
from pcgen.render.renderer import Image

_JPEG: tuple[str, dict[str, Any]] = ("JPEG", {"optimize": True, "quality": 88})
STILLS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": ("WEBP", {"quality": 88}),
}
COLOURS = 255  # of a GIF


def save(image: Image, path: Path | str) -> Path:
    """Write one picture in the format of the suffix.

    Raises:
        InputError: an unknown suffix. StorageError: the folder cannot be written.
    """
    path = Path(path)
    _check_suffix(path, STILLS)
    kind, options = STILLS[path.suffix.lower()]
    data = _encoded(image, kind, **options)
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)
    return path


def webp_uri(image: Image, quality: int) -> str:
    """A picture, perhaps with an alpha channel, as a data URI in WebP."""
    data = _encoded(image, "WEBP", quality=quality)
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"


def _encoded(image: Image, kind: str, **options: Any) -> bytes:
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def save_gif(frames: Iterable[Image], path: Path | str, *, seconds: float = 3.0) -> Path:
    """Write frames as an endless GIF of ``seconds`` per cycle.

    All frames share a palette, computed from a few of them, so that colours do not flicker.
    """
    from PIL import Image as Pillow

    path = Path(path)
    _check_suffix(path, [".gif"])
    pictures = [Pillow.fromarray(frame) for frame in frames]
    if not pictures:
        raise InputError("a GIF needs at least one frame")
    width, height = pictures[0].size
    some = pictures[:: max(1, len(pictures) // 6)]
    board = Pillow.new("RGB", (width, height * len(some)))
    for row, picture in enumerate(some):
        board.paste(picture, (0, row * height))
    shared = board.quantize(COLOURS, method=Pillow.Quantize.MEDIANCUT)
    indexed = [picture.quantize(palette=shared, dither=Pillow.Dither.NONE) for picture in pictures]
    pause = max(20, round(1000 * seconds / len(pictures)))  # browsers delay shorter pauses
    with atomic_file(path) as temporary, open(temporary, "wb") as handle:
        indexed[0].save(
            handle, "GIF", save_all=True, append_images=indexed[1:], duration=pause, loop=0
        )
    return path


def _check_suffix(path: Path, known: Collection[str]) -> None:
    if path.suffix.lower() not in known:
        endings = ", ".join(known)
        raise InputError(f"{path.name}: pictures are written as {endings}, not {path.suffix!r}")
