"""Protocols by name: frame, split, points and scale, fixed so that metrics are comparable.

==========  ======  =========================  ============================================
name        split   reference points           frame of generated and reference clouds
==========  ======  =========================  ============================================
pointflow   val     first 2048 of the last ⅓   original units (denormalised)
lion-box    val     first 2048 of the last ⅓   each cloud's own box, longest side 1
dpm         test    first 2048 of all          each cloud's own box, longest side 2
box         test    first P of the last ⅓      each cloud's own box, longest side 2
raw         test    first P of the last ⅓      as the clouds are
==========  ======  =========================  ============================================

Of 15,000 points, the last third is PointFlow's second 5,000.
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

    ``box`` and ``raw`` leave split and points to the user; changing them in another protocol makes
    it ``custom``, and the result states both. JSD needs clouds in the ball of radius ½. (DPM's
    public code uses clouds in [-1, 1] on that grid; its JSD is deliberately not reproduced.)

    Attributes:
        name: one of :data:`PROTOCOLS`, or ``custom``; then ``based_on`` names the original.
        frame: ``own`` (original units), each cloud's ``box``, or ``stored`` (unchanged).
        side: length of the longest side in the ``box`` frame.
        split: the split of a data set that is the reference.
        part: the points of a data set that the reference uses, see ``Dataset.points``.
        points: per cloud.
        jsd_scale: factor before JSD; None scales the reference's largest coordinate to ½.
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
        """The protocol with another split or number of points; ``custom`` if it was fixed."""
        new = dataclasses.replace(self, split=split or self.split, points=points or self.points)
        if new == self or self.name in FREE:
            return new
        return dataclasses.replace(new, name="custom", based_on=self.name)

    @property
    def fixed(self) -> bool:
        """Whether it determines the points of a cloud to compare."""
        return (self.based_on or self.name) not in FREE

    def first_point(self, total: int) -> int:
        """The first of its ``points`` among ``total``: two thirds, or less if they do not fit."""
        return 0 if self.part == "all" else min(total * 2 // 3, total - self.points)

    def normalise(self, points: NDArray[np.floating]) -> Clouds:
        """Clouds (n, P, 3) in the protocol's frame, from their given units."""
        if self.frame != "box":
            return np.asarray(points, np.float32)
        assert self.side is not None
        moved = box_frame(points).apply(np.asarray(points, np.float64))
        return np.asarray(moved * (self.side / 2), np.float32)

    def scale_for_jsd(self, reference: Clouds) -> float:
        """The factor that scales the reference into the ball of the grid."""
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
