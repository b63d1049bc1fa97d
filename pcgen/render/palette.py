"""Colours, with one meaning each in all pictures.

They are sRGB values between 0 and 1; light is computed in linear values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError
from pcgen.shapes.axes import to_y_up

Array = NDArray[np.float64]

PAPER = (0.973, 0.969, 0.957)
INK = (0.16, 0.17, 0.19)

# Colours by the kind of a shape.
GENERATED = (0.40, 0.57, 0.69)  # slate blue
TRAINING = (0.72, 0.66, 0.56)  # sand
MESH = (0.77, 0.76, 0.73)  # plaster
BASE = (0.83, 0.53, 0.38)  # terracotta
GIVEN = (0.35, 0.36, 0.39)  # graphite: points that a completion kept
NAMED = {
    "generated": GENERATED,
    "training": TRAINING,
    "mesh": MESH,
    "base": BASE,
    "given": GIVEN,
}

# A ramp with uniform steps of lightness, readable without colour vision.
RAMP = np.array(
    [
        (0.20, 0.27, 0.45),
        (0.22, 0.44, 0.56),
        (0.36, 0.60, 0.58),
        (0.62, 0.72, 0.55),
        (0.87, 0.79, 0.55),
    ]
)

# Parts of the base; neighbours in the list differ in hue and lightness.
_PARTS = np.array(
    [
        (0.33, 0.51, 0.66),
        (0.85, 0.60, 0.41),
        (0.44, 0.63, 0.49),
        (0.76, 0.47, 0.47),
        (0.58, 0.50, 0.68),
        (0.82, 0.74, 0.48),
        (0.42, 0.66, 0.68),
        (0.66, 0.60, 0.55),
    ]
)


def resolve(colour: str | tuple[float, float, float] | Array | None, count: int) -> Array:
    """One sRGB colour per point (count, 3) float64, from a name, ``#rrggbb``, or an array.

    Raises:
        InputError: an unknown name, or a wrong shape or range.
    """
    if colour is None:
        colour = GENERATED
    if isinstance(colour, str):
        return np.broadcast_to(np.array(_from_text(colour)), (count, 3))
    table = np.asarray(colour, dtype=np.float64)
    if table.shape not in ((3,), (count, 3)):
        raise InputError(
            f"colour must be (3,) or one row per point ({count}, 3), got {table.shape}"
        )
    if not np.isfinite(table).all() or table.min(initial=0) < 0 or table.max(initial=0) > 1:
        raise InputError("colours must be between 0 and 1; divide 8-bit values by 255")
    return np.broadcast_to(table, (count, 3))


def by_height(points: Array) -> Array:
    """Colours of points (n, 3) by height, dark at the bottom."""
    return ramp(_unit(points[:, 1]))


def by_normal(normals: Array) -> Array:
    """Colours of unit normals (n, 3)."""
    return 0.5 + 0.38 * np.nan_to_num(normals)


@dataclass(frozen=True)
class Paint:
    """Colours for the vertices of a mesh.

    Attributes:
        mode: ``height`` or ``normal``.
    Raises:
        InputError: another mode.
    """

    mode: str

    def __post_init__(self) -> None:
        if self.mode not in ("height", "normal"):
            raise InputError(f"the colours of a mesh are height or normal, got {self.mode!r}")

    def __call__(
        self, vertices: Array, faces: NDArray[np.int64], up: str = "y"
    ) -> NDArray[np.uint8]:
        """(V, 3) of 0-255 for vertices (V, 3) whose axis ``up`` points up."""
        upright = to_y_up(vertices, up)
        if self.mode == "height":
            colours = by_height(upright)
        else:
            import trimesh

            solid = trimesh.Trimesh(upright, faces, process=False)
            colours = by_normal(np.asarray(solid.vertex_normals))
        return np.round(255 * colours).astype(np.uint8)


def by_part(part: NDArray[np.int64]) -> Array:
    """Colours of labels (n,); -1 is grey."""
    labels = np.asarray(part, dtype=np.int64)
    colours = _PARTS[labels % len(_PARTS)]
    return np.where((labels < 0)[:, None], 0.6, colours)


def ramp(fraction: Array) -> Array:
    """Colours (n, 3) of the height ramp for numbers (n,) in [0, 1]."""
    place = np.clip(fraction, 0, 1) * (len(RAMP) - 1)
    knots = np.arange(len(RAMP))
    return np.stack([np.interp(place, knots, RAMP[:, c]) for c in range(3)], axis=-1)


def to_linear(colour: Array) -> Array:
    """sRGB to linear light (IEC 61966-2-1)."""
    colour = np.asarray(colour, dtype=np.float64)
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def to_srgb(light: Array) -> Array:
    """Linear light to sRGB, clipped to [0, 1]."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _unit(values: Array) -> Array:
    spread = np.ptp(values) if len(values) else 0.0
    return (values - values.min()) / spread if spread > 0 else np.full(len(values), 0.5)


def _from_text(text: str) -> tuple[float, ...]:
    if text in NAMED:
        return NAMED[text]
    digits = text.removeprefix("#")
    if len(digits) == 6 and text.startswith("#"):
        try:
            return tuple(int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
        except ValueError:
            pass
    raise InputError(f"colour must be #rrggbb or one of {', '.join(NAMED)}, got {text!r}")
