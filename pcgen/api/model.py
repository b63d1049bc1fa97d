"""A trained run as an object that samples, encodes, completes and varies shapes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pcgen.api.shapes import Shape, Shapes, read_shape
from pcgen.errors import InputError
from pcgen.model import ShapeModel
from pcgen.model.pack import find_run, pack
from pcgen.progress import shown
from pcgen.runfile import read_run
from pcgen.shapes.category_frames import SourceFrame

if TYPE_CHECKING:
    from torch import Tensor

    from pcgen.editing.completion import Completion

BATCH = 16  # clouds encoded at a time
FEWEST_POINTS = 16  # of a shape that is given

__all__ = ["Model", "load"]


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A trained model; :func:`pcgen.train` and :func:`pcgen.load` return one.

    It is held in memory, so it still works after the run's folder has been deleted.

    Attributes:
        shape_model: the networks, the base and the latents of the run.
    """

    shape_model: ShapeModel

    @classmethod
    def load(cls, run: Path | str, *, device: str = "auto") -> Model:
        """See :func:`load`."""
        return cls(ShapeModel.load(find_run(run), device))

    @staticmethod
    def find(run: Path | str) -> Path:
        """The folder of a run, given its path or the name of a run that comes with pcgen."""
        return find_run(run)

    @property
    def path(self) -> Path:
        """The folder from which it was loaded."""
        return self.shape_model.run_dir

    @property
    def categories(self) -> tuple[str, ...]:
        return self.shape_model.categories

    @property
    def latent_dim(self) -> int:
        """The dimension of the latents."""
        return self.shape_model.latent_dim

    def sample(
        self,
        count: int,
        *,
        seed: int = 0,
        points: int = 2048,
        category: str | None = None,
        steps: int = 1,
        solver: str = "student",
        independent: bool = False,
        as_decoded: bool = False,
        workers: int | None = None,
        ray: str | None = None,
        progress: bool = False,
    ) -> Shapes:
        """Sample new shapes.

        Args:
            count: number of shapes; equal seeds give equal shapes for any number of workers.
            seed: seed of all random numbers.
            points: points per shape; 16,000 suit meshes.
            category: sample only this category; None for all.
            steps: evaluations of each flow. solver: ``student`` (one step is enough), or
                ``euler`` or ``heun`` to integrate the teacher's flow.
            independent: sample each shape independently; otherwise the set is stratified, so that
                few of it have a parent in common and categories are in proportion.
            as_decoded: leave children of symmetric shapes as lopsided as they are decoded;
                otherwise half of their points are reflected.
            workers: processes; None for this one. ray: address of a cluster to use. progress: show
                progress on stderr.
        Returns:
            shapes in their boxes, with normals if the run learned them; ``meta`` lists the parents
            of each.
        Raises:
            InputError: unknown category or solver, or more points than fit into memory.

        Example:
            >>> shapes = model.sample(12, seed=0, points=16_000)  # doctest: +SKIP
        """
        from pcgen.generate import generate

        count, points, steps = _whole(count=count, points=points, steps=steps)
        (seed,) = _whole(None, seed=seed)
        with shown(progress):
            return Shapes(
                generate(
                    self.shape_model,
                    count,
                    seed=seed,
                    points=points,
                    steps=steps,
                    category=category,
                    solver=solver,
                    even=not independent,
                    symmetric=not as_decoded,
                    workers=workers,
                    ray=ray,
                )
            )

    def encode(self, shapes: Any, *, progress: bool = False) -> NDArray[np.float32]:
        """Encode shapes to latents.

        Args:
            shapes: :class:`pcgen.Shapes`, a :class:`pcgen.Shape`, an array (n, P, 3) or (P, 3) in
                any frame, the path of a cloud, mesh or samples file, or a list of shapes, arrays
                (P, 3) and paths. Each is scaled to its box, and should have +Y up.
            progress: show progress on stderr.
        Returns:
            (n, latent_dim) float32.
        Raises:
            InputError: fewer than 16 points, NaN, an array of the wrong shape, or an unreadable
                file.

        Example:
            >>> z = model.encode(["chair.ply", "stool.glb"])  # doctest: +SKIP
        """
        from pcgen.progress import track

        clouds = _clouds(shapes)
        with shown(progress):
            parts = [
                self._encoded(clouds[start : start + BATCH])
                for start in track(range(0, len(clouds), BATCH), "encode", -(-len(clouds) // BATCH))
            ]
        return np.concatenate(parts)

    def _encoded(self, clouds: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        import torch

        if len({len(cloud) for cloud in clouds}) > 1:
            return np.concatenate([self._encoded([cloud]) for cloud in clouds])
        return self.shape_model.encode(torch.from_numpy(np.stack(clouds))).numpy()

    def decode(
        self,
        latents: Any,
        *,
        points: int = 2048,
        seed: int = 0,
        steps: int = 1,
        solver: str = "student",
        category: str = "",
        progress: bool = False,
    ) -> Shapes:
        """Decode latents (n, latent_dim), or one (latent_dim,), to shapes.

        Args:
            points: points per shape. seed: of the noise at the start of the point flow.
            steps, solver: see :meth:`sample`. category: the category given to the shapes.
            progress: show progress on stderr.
        Raises:
            InputError: the latents have the wrong size or contain NaN.
        """
        points, steps = _whole(points=points, steps=steps)
        (seed,) = _whole(None, seed=seed)
        z = self._latents(latents)
        with shown(progress):
            return Shapes(
                self.shape_model.decode_samples(
                    z,
                    points=points,
                    seed=seed,
                    steps=steps,
                    solver=solver,
                    category=[category] * len(z),
                    bar="decode",
                )
            )

    def _latents(self, latents: Any) -> Tensor:
        import torch

        try:
            z = torch.as_tensor(latents, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"latents must be numbers (n, {self.latent_dim}): {error}") from None
        z = z[None] if z.ndim == 1 else z
        if z.ndim != 2 or z.shape[1] != self.latent_dim or not len(z):
            raise InputError(
                f"latents of this model are (n, {self.latent_dim}), got {tuple(z.shape)}; "
                "model.encode(shapes) returns such latents"
            )
        if not torch.isfinite(z).all():
            raise InputError("the latents contain NaN or infinity")
        return z

    def complete(
        self,
        shape: Any,
        count: int = 4,
        *,
        points: int | None = None,
        framed: bool = False,
        keep: bool = True,
        category: str | None = None,
        seed: int = 0,
        progress: bool = False,
    ) -> Shapes:
        """Complete a partial or noisy cloud: whole shapes, the most likely first.

        Args:
            shape: a :class:`pcgen.Shape`, an array (P, 3), or the path of a file; +Y up.
            count: number of answers, at most 32.
            points: points per answer; None for as many as keep the density of the given points.
                If more points are given than fit, a random subset is used.
            framed: the points are already in the box [-1, 1] of the whole shape; else its size and
                position are estimated.
            keep: keep the given points unchanged, marked by ``given``; else answers are decoded,
                which removes noise and yields normals.
            category: of the whole shapes; None for all. seed: of all random numbers.
            progress: show progress on stderr.
        Returns:
            shapes whose ``frame`` transforms them to the frame of ``shape``. Their ``facts``:
            ``log_density``, the mean over the given points under the shape; ``misfit``, their mean
            squared distance to the registered shape; and ``plausible``, minus half the squared
            distance to the latents of the base, in units of the distance between neighbours there.
            All three determine the order. If several sizes fit, the best of each comes first.
            ``meta["notes"]`` has remarks on unusual points, which are also given as warnings.
        Raises:
            InputError: fewer than 16 points, NaN, no extent, or an unknown category.

        Example:
            >>> answers = model.complete("scan.ply", count=4)  # doctest: +SKIP
        """
        import warnings

        from pcgen.editing.completion import completed

        (count,), (seed,) = _whole(count=count), _whole(None, seed=seed)
        if points is not None:
            (points,) = _whole(points=points)
        given = _given(shape)
        cloud = given.points
        if framed and not isinstance(shape, Shape):
            cloud = given.frame.restore(cloud).astype(np.float32)
            given = Shape(cloud, category=given.category)
            if np.abs(cloud).max() > 1.001:
                raise InputError(
                    "framed points must be in the box [-1, 1] of the whole shape, got some at "
                    f"{np.abs(cloud).max():.3g}; omit framed to estimate the box"
                )
        with shown(progress):
            answers, notes = completed(
                self.shape_model,
                cloud,
                count,
                points=points,
                framed=framed,
                keep=keep,
                category=category,
                seed=seed,
            )
        for note in notes:
            warnings.warn(note, stacklevel=2)
        shapes = [
            _boxed(answer, given.frame, category or given.category, str(number))
            for number, answer in enumerate(answers)
        ]
        return Shapes.of(shapes, meta={"run": str(self.path), "seed": seed, "notes": notes})

    def vary(
        self,
        shape: Any,
        count: int = 4,
        *,
        amount: float = 0.3,
        points: int = 2048,
        category: str | None = None,
        seed: int = 0,
        progress: bool = False,
    ) -> Shapes:
        """Variations of a shape: each takes a part from a shape that the model samples.

        Args:
            shape: a :class:`pcgen.Shape`, an array (P, 3), or the path of a file; +Y up.
            count: number of variations.
            amount: the share to replace, from 0 (the shape, encoded and decoded) to 1 (a
                new shape).
            points: points per shape. category: of the sampled shapes; None for all.
            seed: of all random numbers. progress: show progress on stderr.
        Raises:
            InputError: the amount is outside [0, 1], fewer than 16 points, NaN, or an unknown
                category.

        Example:
            >>> near = model.vary("chair.ply", 6, amount=0.3)  # doctest: +SKIP
        """
        from pcgen.editing.between import varied

        count, points = _whole(count=count, points=points)
        (seed,) = _whole(None, seed=seed)
        _number(amount=amount)
        given = _given(shape)
        with shown(progress):
            z = varied(
                self.shape_model, given.points, count, amount=amount, category=category, seed=seed
            )
        return self._made(z, given.category, points, seed)

    def mix(
        self,
        shape: Any,
        other: Any,
        *,
        part: str | Sequence[float] = "top",
        share: float = 0.5,
        points: int = 2048,
        seed: int = 0,
    ) -> Shape:
        """Replace a part of a shape by that of another one.

        Args:
            shape, other: a :class:`pcgen.Shape`, an array (P, 3), or the path of a file; +Y up.
            part: the part to take from ``other``: ``top``, ``bottom``, ``left``, ``right``,
                ``front``, ``back``, or its direction (x, y, z).
            share: share of the points to take, between 0 and 1.
            points: of the result. seed: of all random numbers.
        Returns:
            a shape with the proportions of ``shape``.
        Raises:
            InputError: unknown part, a share that is not between 0 and 1, fewer than 16 points,
                or NaN.

        Example:
            >>> stool = model.mix("armchair.ply", "stool.ply", part="bottom")  # doctest: +SKIP
        """
        from pcgen.editing.between import mixed

        (points,), (seed,) = _whole(points=points), _whole(None, seed=seed)
        _number(share=share)
        one, two = _given(shape), _given(other)
        z = mixed(self.shape_model, one.points, two.points, part=part, share=share, seed=seed)
        return self._made(z, one.category, points, seed)[0]

    def interpolate(
        self,
        start: Any,
        end: Any,
        *,
        frames: int = 12,
        points: int = 2048,
        seed: int = 0,
        progress: bool = False,
    ) -> Shapes:
        """Interpolate between two shapes, along the optimal-transport map of their points.

        Args:
            start, end: a :class:`pcgen.Shape`, an array (P, 3), or the path of a file; +Y up.
            frames: number of shapes, including both ends. points: points per shape.
            seed: of the noise, which all frames share, so that points correspond.
            progress: show progress on stderr.
        Raises:
            InputError: there are fewer than 2 frames or 16 points, or NaN.

        Example:
            >>> way = model.interpolate("old.ply", "new.glb", frames=24)  # doctest: +SKIP
        """
        from pcgen.editing.between import interpolate

        frames, points = _whole(frames=frames, points=points)
        (seed,) = _whole(None, seed=seed)
        one, two = _given(start), _given(end)
        model, ends = self.shape_model, (one.points, two.points)
        with shown(progress):
            return Shapes(interpolate(model, *ends, frames, points=points, seed=seed))

    def _made(self, z: Tensor, category: str, points: int, seed: int) -> Shapes:
        samples = self.shape_model.decode_samples(
            z, points=points, seed=seed, category=[category] * len(z)
        )
        return Shapes(samples)

    def save(self, path: Path | str, *, half: bool = True) -> Path:
        """Pack the run into a new folder for sampling, and return its path.

        Args:
            half: store weights in half precision, which halves the size.
        Raises:
            DataError: the run's folder no longer exists. StorageError: ``path`` is not empty.
        """
        return pack(self.path, path, half=half)

    def summary(self) -> dict[str, Any]:
        """Location, training data and sizes, as plain data."""
        model = self.shape_model
        summary: dict[str, Any] = {
            "run": str(self.path),
            "categories": list(self.categories),
            "dataset": str(model.dataset_path),
            "latent_dim": self.latent_dim,
            "known_shapes": len(model.known.z),
        }
        try:
            run = read_run(self.path)
        except Exception:
            return summary | {"deleted": True}
        return summary | {
            key: run.get(key) for key in ("preset", "seed", "budget_minutes", "version")
        }

    def __repr__(self) -> str:
        names = ", ".join(self.categories[:6]) + (" ..." if len(self.categories) > 6 else "")
        return f"Model({str(self.path)!r}: {names}; latents of {self.latent_dim} numbers)"

    def _repr_html_(self) -> str:
        from pcgen.gallery.notebook import table

        rows = [(name, str(value)) for name, value in self.summary().items() if value is not None]
        return table(rows, repr(self))


def _whole(least: int | None = 1, /, **values: Any) -> list[int]:
    """The values, of any type of integer; at least ``least`` if that is a number.

    Raises:
        InputError: a value is none; it names the argument.
    """
    numbers = []
    for name, value in values.items():
        try:
            number = operator.index(value)
        except TypeError:
            number = None
        if number is None or (least is not None and number < least):
            limit = "" if least is None else f" of at least {least}"
            raise InputError(f"{name} must be a whole number{limit}, got {value!r}")
        numbers.append(number)
    return numbers


def _number(**values: Any) -> None:
    """Refuse arguments that are no numbers."""
    for name, value in values.items():
        if not isinstance(value, int | float | np.number):
            raise InputError(f"{name} must be a number, got {value!r}")


def _boxed(answer: Completion, frame: SourceFrame, category: str, name: str) -> Shape:
    """Convert a completion of points in ``frame`` to a shape in its own box."""
    points = answer.points.numpy()
    low, high = points.min(0), points.max(0)
    middle, half = (low + high) / 2, float((high - low).max()) / 2
    centre = middle.astype(np.float64) * frame.scale + np.asarray(frame.centre)
    x, y, z = (float(value) for value in centre)
    return Shape(
        (points - middle) / half,
        None if answer.normals is None else answer.normals.numpy(),
        category=category,
        name=name,
        frame=SourceFrame(half * frame.scale, (x, y, z), frame.up, frame.unit),
        given=answer.given.numpy(),
        facts={
            "log_density": answer.log_density,
            "misfit": answer.misfit,
            "plausible": answer.plausible,
        },
    )


def _given(shape: Any) -> Shape:
    """A shape with enough points to say something of its form; see :func:`read_shape`.

    Raises:
        InputError: it has fewer than 16 points.
    """
    found = read_shape(shape)
    if len(found) < FEWEST_POINTS:
        raise InputError(f"expected at least {FEWEST_POINTS} points of a shape, got {len(found)}")
    return found


def _clouds(shapes: Any) -> list[NDArray[np.float32]]:
    """Clouds (P, 3) in their boxes, from any input that can be encoded."""
    if isinstance(shapes, Shapes):
        return [_given(shape).points for shape in shapes]
    if isinstance(shapes, list | tuple):
        return [cloud for one in shapes for cloud in _clouds(one)]
    if hasattr(shapes, "detach"):
        shapes = shapes.detach().cpu().numpy()
    if isinstance(shapes, np.ndarray) and shapes.ndim == 3:
        return [_given(cloud).points for cloud in shapes]
    if isinstance(shapes, str | Path) and Path(shapes).suffix.lower() == ".npz":
        return _clouds(Shapes.load(shapes))
    return [_given(shapes).points]


def load(run: Model | Path | str, *, device: str = "auto") -> Model:
    """Load a trained model.

    Args:
        run: the folder of a run, or the name of a model that comes with pcgen: ``seats``.
        device: ``auto``, ``cpu`` or ``cuda``.
    Raises:
        DataError: there is no run, or it is unfinished or damaged.

    Example:
        >>> shapes = pcgen.load("seats").sample(12)  # doctest: +SKIP
    """
    return run if isinstance(run, Model) else Model.load(run, device=device)
