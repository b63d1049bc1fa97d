"""Protocols by name: frame, split, points and scale, fixed so that two figures can be compared.

==========  ======  =========================  ============================================
name        split   reference points           frame of generated and reference clouds
==========  ======  =========================  ============================================
pointflow   val     first 2048 of the last ⅓   the shapes' own units (denormalised)
lion-box    val     first 2048 of the last ⅓   each cloud's own box, longest side 1
dpm         test    first 2048 of all          each cloud's own box, longest side 2
box         test    first P of the last ⅓      each cloud's own box, longest side 2
raw         test    first P of the last ⅓      as the clouds are
==========  ======  =========================  ============================================

Of 15,000 points the last third is PointFlow's second 5,000. ``box`` and ``raw`` leave split and
points to the user; a change of the others makes a ``custom`` protocol, spelled out in the result.
JSD needs clouds in the ball of radius ½: ``jsd_scale`` brings them there. (DPM's public code puts
clouds in [-1, 1] on that grid; its JSD is therefore not reproduced, on purpose.)
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError
from pcgen.shapes.normalise import box_frame

Clouds = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How clouds are chosen and normalised before any metric.

    Attributes:
        name: one of :data:`PROTOCOLS`, or ``custom``; ``based_on`` then names the one changed.
        frame: ``own`` units, each cloud's ``box``, or ``stored`` (as the clouds are).
        side: length of the longest side in the ``box`` frame.
        split: of a data set, which split is the reference.
        part: which of a data set's points the reference uses, see ``Dataset.points``.
        points: points of a cloud.
        jsd_scale: factor before JSD; None takes the reference's largest coordinate to ½.
    """

    name: str
    frame: Literal["own", "box", "stored"]
    split: str
    part: Literal["all", "last"] = "last"
    points: int = 2048
    side: float | None = None
    jsd_scale: float | None = None
    based_on: str | None = None

    def changed(self, *, split: str | None = None, points: int | None = None) -> Protocol:
        """With another split or number of points; says so in its name where that matters."""
        new = dataclasses.replace(self, split=split or self.split, points=points or self.points)
        if new == self or self.name in FREE:
            return new
        return dataclasses.replace(new, name="custom", based_on=self.name)

    @property
    def fixed(self) -> bool:
        """Whether it says which points of a cloud are compared, whatever their order."""
        return (self.based_on or self.name) not in FREE

    def first_point(self, total: int) -> int:
        """Where its ``points`` of ``total`` begin: of 15,000 at 10,000, and less if they do not
        fit there."""
        return 0 if self.part == "all" else min(total * 2 // 3, total - self.points)

    def normalise(self, points: NDArray[np.floating]) -> Clouds:
        """Clouds (n, P, 3) in the protocol's frame, from the units they came in."""
        if self.frame != "box":
            return np.asarray(points, np.float32)
        assert self.side is not None
        moved = box_frame(points).apply(np.asarray(points, np.float64))
        return np.asarray(moved * (self.side / 2), np.float32)

    def scale_for_jsd(self, reference: Clouds) -> float:
        """The factor that brings the reference into the grid's ball."""
        if self.jsd_scale is not None:
            return self.jsd_scale
        reach = float(np.abs(reference).max())
        return 1.0 if reach <= 0.5 else 0.5 / reach


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(name="pointflow", frame="own", split="val", jsd_scale=1.0),
        Protocol(name="lion-box", frame="box", side=1.0, split="val", jsd_scale=1.0),
        Protocol(name="dpm", frame="box", side=2.0, split="test", part="all", jsd_scale=0.5),
        Protocol(name="box", frame="box", side=2.0, split="test", jsd_scale=0.5),
        Protocol(name="raw", frame="stored", split="test"),
    )
}
FREE = ("box", "raw")


def protocol_named(name: str) -> Protocol:
    """Raises InputError, with the known names, for an unknown one."""
    if name not in PROTOCOLS:
        raise InputError(f"protocol must be one of {', '.join(PROTOCOLS)}, got {name!r}")
    return PROTOCOLS[name]
