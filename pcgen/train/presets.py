"""Settings of a training run, and the presets that a command names."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from pcgen.children import MapSettings
from pcgen.errors import InputError
from pcgen.flow.characteristic import StudentSettings
from pcgen.latent.autoencoder import AutoencoderSettings
from pcgen.train.loop import LoopSettings

AUTOENCODER = AutoencoderSettings(code=20, position_scale=5.0, refinement=24)
"""The presets change its sizes. Older runs name fewer of these, and have the
class's defaults for the others."""


@dataclass(frozen=True, kw_only=True)
class ChildrenSettings:
    """Children of the training shapes, see :mod:`pcgen.children`.

    Attributes:
        maps: which maps to compute.
        copies: share of training shapes, rather than children, in the autoencoder's batches.
    """

    maps: MapSettings = field(default_factory=MapSettings)
    copies: float = 0.25

    def __post_init__(self) -> None:
        if not 0 <= self.copies <= 1:
            raise InputError(f"copies must be a share in [0, 1], got {self.copies}")


@dataclass(frozen=True, kw_only=True)
class BaseSettings:
    """The base stage.

    Attributes:
        name: family of :func:`pcgen.base.fit`.
        children: latents per training shape, one for each of its children.
        most: upper limit on the number of latents.
        points: points per encoded cloud, at most as many as are kept of a training shape.
        mixed: number of latents that an AE-OT base may mix in one sample. The details of a sample
            are those of one latent, so a mixture of many is further from it than another shape is.
        coordinates: number of principal directions of the latents used by base and transport.
        tolerance: χ² of the cell masses at which the semi-dual solver stops.
        jitter: standard deviation of the noise added to the latent flow's targets.
    """

    name: str = "ae-ot"
    children: int = 6
    most: int = 20_000
    points: int = 4096
    mixed: int = 4
    coordinates: int = 128
    tolerance: float = 0.05
    jitter: float = 0.1

    def __post_init__(self) -> None:
        for name in ("children", "most", "points", "mixed", "coordinates"):
            if getattr(self, name) < 1:
                raise InputError(f"base {name} must be at least 1, got {getattr(self, name)}")
        if self.tolerance <= 0 or self.jitter < 0:
            raise InputError("the base stage needs tolerance > 0 and jitter >= 0")

    def each(self, shapes: int) -> int:
        """Children per shape for this number of shapes, limited by ``most``."""
        return max(1, min(self.children, self.most // shapes))


@dataclass(frozen=True, kw_only=True)
class LatentFlowSettings:
    """The latent flow: sizes, and training of teacher and student.

    Attributes:
        pool: coupled pairs, sampled once at the start of the stage. With too few, the flow
            memorises them, see docs/notes/base.md.
    """

    width: int = 512
    blocks: int = 3
    pool: int = 131_072
    teacher: LoopSettings = field(
        default_factory=lambda: LoopSettings(steps=1000, batch=512, rate=2e-3)
    )
    student: LoopSettings = field(
        default_factory=lambda: LoopSettings(steps=500, batch=512, rate=2e-3)
    )
    characteristic: StudentSettings = field(default_factory=StudentSettings)


@dataclass(frozen=True, kw_only=True)
class PointFlowSettings:
    """The point flow: sizes, couplings, and training of teacher and student.

    Attributes:
        pairs: clouds for which a transport is computed, including augmented copies.
        points: per cloud; a shape with more points is decoded as several such clouds.
        coupling: of base points to surface points, see :mod:`pcgen.flow.coupling`.
        neighbours: number of neighbours that each point attends to.
        normal_weight: weight of the squared sine between predicted and true normals.
    """

    width: int = 32
    blocks: int = 2
    pairs: int = 500
    points: int = 2048
    coupling: str = "tangent"
    neighbours: int = 12
    normal_weight: float = 0.02
    teacher: LoopSettings = field(
        default_factory=lambda: LoopSettings(steps=2000, batch=2, rate=4e-3)
    )
    student: LoopSettings = field(
        default_factory=lambda: LoopSettings(steps=700, batch=2, rate=2e-3)
    )
    characteristic: StudentSettings = field(default_factory=lambda: StudentSettings(grid=8))


@dataclass(frozen=True, kw_only=True)
class FieldSettings:
    """The signed distance field of latents, see :class:`pcgen.latent.field.Field`.

    Attributes:
        width: of its layers, a multiple of 4. layers: number of attention layers among patches.
        nearest: number of patches that describe a position.
        places: positions per shape in a batch.
    """

    width: int = 64
    layers: int = 3
    nearest: int = 4
    places: int = 512
    loop: LoopSettings = field(default_factory=lambda: LoopSettings(steps=4000, batch=4, rate=3e-3))

    def __post_init__(self) -> None:
        for name in ("width", "layers", "nearest", "places"):
            if getattr(self, name) < 1:
                raise InputError(f"field {name} must be at least 1, got {getattr(self, name)}")
        if self.width % 4:
            raise InputError(f"field width must be a multiple of 4, got {self.width}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a run; stored in ``run.json``.

    Attributes:
        cloud_points: points per training shape that are kept in memory.
        augment: strength of :func:`pcgen.latent.augment.augment`.
    """

    children: ChildrenSettings = field(default_factory=ChildrenSettings)
    autoencoder: AutoencoderSettings = AUTOENCODER
    autoencoder_loop: LoopSettings = field(
        default_factory=lambda: LoopSettings(steps=8000, batch=8, rate=3e-3)
    )
    base: BaseSettings = field(default_factory=BaseSettings)
    latent_flow: LatentFlowSettings = field(default_factory=LatentFlowSettings)
    point_flow: PointFlowSettings = field(default_factory=PointFlowSettings)
    field: FieldSettings = field(default_factory=FieldSettings)
    cloud_points: int = 4096
    augment: float = 0.2


def _cpu_tiny() -> Settings:
    loop = LoopSettings(steps=60, batch=8, log_every=10)
    maps = MapSettings(points=512, farthest=8, per_shape=2)
    return Settings(
        children=ChildrenSettings(maps=maps),
        autoencoder=dataclasses.replace(
            AUTOENCODER,
            levels=4,
            code=8,
            patch_width=32,
            latent_dim=16,
            width=64,
            parts=32,
            points=256,
            scored=256,
        ),
        autoencoder_loop=dataclasses.replace(loop, rate=3e-3),
        base=BaseSettings(children=3, points=512, tolerance=0.2, coordinates=16),
        latent_flow=LatentFlowSettings(width=64, blocks=1, pool=512, teacher=loop, student=loop),
        point_flow=PointFlowSettings(
            width=16, blocks=1, pairs=12, points=256, teacher=loop, student=loop
        ),
        field=FieldSettings(
            width=16, layers=1, places=64, loop=dataclasses.replace(loop, batch=4, rate=3e-3)
        ),
        cloud_points=1024,
    )


def _gpu() -> Settings:
    # Sized for ShapeNet's categories on one device, and never yet trained on one. Memory of a step
    # by `tests.benchmarks.memory`, with 20 bytes per weight: autoencoder 1.0 GiB, latent flow 0.3,
    # point flow 9.8, of which each of the 64 clouds takes 0.15; --accumulate holds fewer at once.
    flow = LoopSettings(steps=100_000, batch=512, rate=5e-4, average=0.9999)
    return Settings(
        autoencoder=dataclasses.replace(
            AUTOENCODER, patch_width=256, latent_dim=256, width=1024, parts=512, points=2048
        ),
        autoencoder_loop=LoopSettings(steps=100_000, batch=128, rate=5e-4, average=0.9999),
        base=BaseSettings(children=4, most=200_000, coordinates=256, tolerance=0.02),
        latent_flow=LatentFlowSettings(
            width=1024, blocks=6, pool=2_000_000, teacher=flow, student=flow
        ),
        point_flow=PointFlowSettings(
            width=128,
            blocks=4,
            pairs=20_000,
            teacher=dataclasses.replace(flow, batch=64),
            student=dataclasses.replace(flow, batch=64, steps=30_000),
        ),
        field=FieldSettings(width=128, loop=dataclasses.replace(flow, batch=64)),
        cloud_points=10_000,
    )


PRESETS = {"cpu-tiny": _cpu_tiny, "cpu-small": Settings, "gpu": _gpu}


def preset(name: str) -> Settings:
    """The settings called ``name``: ``cpu-tiny`` (seconds), ``cpu-small`` (minutes), ``gpu``."""
    if name not in PRESETS:
        raise InputError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]()
