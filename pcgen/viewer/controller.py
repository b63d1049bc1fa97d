"""The viewer without a window: state, commands, and what to draw.

A window calls the commands and draws :meth:`Controller.drawables`; so do tests. Long commands run
in :class:`~pcgen.viewer.background.Jobs` and change the state when their result arrives. Every
change calls ``changed()``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pcgen.errors import InputError
from pcgen.evaluate.neighbours import Neighbour, Neighbours
from pcgen.shapes.mesh_files import Mesh
from pcgen.viewer import drawing
from pcgen.viewer.background import ImmediateJobs, Jobs
from pcgen.viewer.derived_data import DerivedData
from pcgen.viewer.descriptions import describe_shape, why_unavailable
from pcgen.viewer.drawing import Drawable
from pcgen.viewer.exporting import export, holds_mesh
from pcgen.viewer.sources import FileSource, RunSource, Source, ViewedShape, reconstruct_mesh
from pcgen.viewer.state import COLOURS, MOST_STEPS, ViewState


class Controller:
    """The controller of the viewer.

    Attributes:
        state: the settings; item: the current shape, None until the first is loaded.
        nearest: the training shape nearest to ``item``, if requested and found.
        pins: the two shapes to interpolate between, by "A" and "B".
    """

    def __init__(
        self,
        source: Source,
        jobs: Jobs | None = None,
        *,
        training: Callable[[], Neighbours | None] | None = None,
        mesh_of: Callable[[ViewedShape], Mesh] = reconstruct_mesh,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            training, mesh_of: see :class:`~pcgen.viewer.derived_data.DerivedData`.
        """
        self.source = source
        self.state = ViewState()
        self.jobs = jobs or ImmediateJobs(self.say)
        self.jobs.failed = self.say
        self.changed = changed
        self.item: ViewedShape | None = None
        self.nearest: Neighbour | None = None
        self.pins: dict[str, ViewedShape] = {}
        self._extras = DerivedData(source, training, mesh_of)

    # ---- which shape ----

    def start(self) -> None:
        """Load the first shape."""
        self._load()

    def forward(self) -> None:
        """Go to the next file, or the next seed of a run."""
        self._step(1)

    def back(self) -> None:
        self._step(-1)

    def select(self, number: int) -> None:
        """Go to file ``number``, or to that seed of a run."""
        if isinstance(self.source, FileSource):
            self.state.index = number % len(self.source)
            if self.state.index not in self._numbers():
                self.state.category = None
        else:
            self.state.seed = max(0, number)
        # Show the new shape itself, not its base.
        self.state.time, self.state.playing = 1.0, False
        self._load()

    def choose_category(self, name: str | None) -> None:
        """Restrict files or samples to one category; None for all."""
        known = self.source.categories
        if name is not None and name not in known:
            raise InputError(f"no category {name!r}; there are {', '.join(known) or 'none'}")
        self.state.category = name
        numbers = self._numbers()
        if isinstance(self.source, FileSource) and self.state.index not in numbers:
            self.state.index = numbers[0]
        self._load()

    def choose_steps(self, steps: int) -> None:
        """Set the evaluations of each flow, 1 to 16, and sample the seed again."""
        self.state.steps = min(max(1, int(steps)), MOST_STEPS)
        if isinstance(self.source, RunSource):
            self._load()

    def pin(self, name: str) -> None:
        """Keep the current shape as end A or B of an interpolation."""
        if self.item is None or self.item.latent is None:
            self.say("only samples of a run can be pinned; open one with: pcgen view RUN")
            return
        self.pins[name] = self.item
        other = "B" if name == "A" else "A"
        ready = "move the slider from A to B" if other in self.pins else f"now pin {other}"
        self.say(f"{self.item.name} is {name}; {ready}")

    def blend(self, share: float) -> None:
        """Show the shape at the position ``share`` between A and B."""
        self.state.share = min(max(share, 0.0), 1.0)
        source = self.source
        if isinstance(source, FileSource) or len(self.pins) < 2:
            self.say("pin two shapes first: keys A and B")
            return
        first, second, steps = self.pins["A"], self.pins["B"], self.state.steps
        share = self.state.share

        def work() -> ViewedShape:
            return drawing.precompute_lighting(source.between(first, second, share, steps=steps))

        self.jobs.submit("item", "interpolating", work, self._show)

    def blend_by(self, share: float | str) -> None:
        self.blend(round(self.state.share + float(share), 2))

    def _step(self, by: int) -> None:
        state = self.state
        if isinstance(self.source, FileSource):
            numbers = self._numbers()
            self.select(numbers[(numbers.index(state.index) + by) % len(numbers)])
        else:
            self.select(state.seed + by)

    def _numbers(self) -> Sequence[int]:
        """The numbers of the files to go through."""
        source = self.source
        return source.numbers(self.state.category) if isinstance(source, FileSource) else ()

    def _load(self) -> None:
        source, state = self.source, self.state
        if isinstance(source, RunSource):
            seed, category, steps = state.seed, state.category, state.steps

            def work() -> ViewedShape:
                return drawing.precompute_lighting(
                    source.draw(seed, category=category, steps=steps)
                )

            self.jobs.submit("item", f"sampling seed {seed}", work, self._show)
        else:
            index = state.index
            name = source.collection.names[index]
            self.jobs.submit(
                "item",
                f"reading {name}",
                lambda: drawing.precompute_lighting(source.load(index)),
                self._show,
            )

    def _show(self, item: ViewedShape) -> None:
        first = self.item is None
        self.item, self.nearest = item, None
        self.state.status = ""
        for channel in ("sketch", "mesh", "training"):
            self.jobs.cancel(channel)
        if first and item.mesh is not None:
            # Show a mesh file as a mesh.
            self.state.layers = {"mesh"}
        self._complete()
        self.changed()

    # ---- how it is shown ----

    def toggle(self, layer: str, on: bool | None = None) -> None:
        """Show or hide a layer; its data are computed in the background."""
        wanted = layer not in self.state.layers if on is None else on
        if wanted:
            reason = self.missing(layer)
            if reason:
                self.say(reason)
                return
            self.state.layers.add(layer)
        else:
            self.state.layers.discard(layer)
        self._complete()
        self.changed()

    def missing(self, layer: str) -> str:
        """Why a layer cannot be shown; "" if it can."""
        return why_unavailable(self.item, layer, comparable=self._extras.comparable)

    def scrub(self, time: float) -> None:
        """Set the flow time of the points, from 0 (base) to 1 (shape)."""
        if self.item is not None and self.item.trace is None:
            self.say(self.missing("paths"))
            return
        self.state.time = min(max(time, 0.0), 1.0)
        self.changed()

    def scrub_by(self, time: float | str) -> None:
        self.scrub(round(self.state.time + float(time), 2))

    def play(self) -> None:
        """Start or stop the animation of the flow."""
        if self.item is None or self.item.trace is None:
            self.say(self.missing("paths"))
            return
        self.state.playing = not self.state.playing
        if self.state.playing and self.state.time >= 1:
            self.state.time = 0.0
        self.changed()

    def tick(self, seconds: float) -> bool:
        """Advance the animation; True while it runs."""
        if not self.state.playing:
            return False
        self.state.time = min(1.0, self.state.time + seconds / drawing.PLAY_SECONDS)
        self.state.playing = self.state.time < 1
        self.changed()
        return True

    def choose_colour(self, name: str) -> None:
        if name not in COLOURS:
            raise InputError(f"colour must be one of {', '.join(COLOURS)}, got {name!r}")
        self.state.colour = name
        if name == "part" and self.item is not None and self.item.part is None:
            self.state.status = "only samples of a run have parts of the base"
        elif name == "normal" and self.item is not None and self.item.normals is None:
            self.state.status = "this shape has no normals; estimated ones are shown"
        self.changed()

    def next_colour(self) -> None:
        place = COLOURS.index(self.state.colour)
        self.choose_colour(COLOURS[(place + 1) % len(COLOURS)])

    def choose_size(self, factor: float) -> None:
        self.state.point_size = min(max(factor, 0.2), 4.0)
        self.changed()

    def size_by(self, factor: float | str) -> None:
        self.choose_size(self.state.point_size * float(factor))

    def drawables(self) -> list[Drawable]:
        """What to draw now; equal keys mean equal content."""
        return drawing.drawables(self.item, self.state, self.nearest)

    # ---- description and export ----

    def facts(self) -> list[tuple[str, str]]:
        """Labels and values that describe the current shape."""
        item = self.item
        if item is None:
            return []
        numbers = self._numbers()
        number = (numbers.index(self.state.index) + 1, len(numbers)) if len(numbers) > 1 else None
        return describe_shape(item, number, self.nearest, self.state.layers, self.state.time)

    def say(self, text: str) -> None:
        self.state.status = text
        self.changed()

    def export(
        self,
        path: Path | str,
        as_mesh: bool | None = None,
        written: Callable[[Path], None] | None = None,
    ) -> None:
        """Write the shape in the format of the suffix, see :mod:`pcgen.viewer.exporting`.

        Args:
            as_mesh: write a ``.ply`` as a mesh, which is computed if missing; by default if the
                mesh is shown.
            written: called with the path after writing; by default the path is reported.
        """
        if self.item is None:
            return
        item, path = self.item, Path(path)
        try:
            mesh = holds_mesh(path, "mesh" in self.state.layers if as_mesh is None else as_mesh)
        except InputError as error:
            self.say(str(error))
            return

        def work() -> tuple[Path, Mesh | None]:
            made = self._extras.mesh(item) if mesh and item.mesh is None else item.mesh
            return export(dataclasses.replace(item, mesh=made), path, as_mesh=mesh), made

        def done(result: tuple[Path, Mesh | None]) -> None:
            found, made = result
            if self.item is item and made is not None:
                self.item = dataclasses.replace(item, mesh=made)
            if written is not None:
                written(found)
            else:
                self.say(f"wrote {found}")

        self.jobs.submit("export", f"writing {path.name}", work, done, long=True)

    def command(self, name: str) -> bool:
        """Run a command of :data:`KEYS`; False if the window must handle it."""
        verb, _, argument = name.partition(":")
        if verb in ("screenshot", "export", "reset_view", "help"):
            return False
        method: Callable[..., Any] = getattr(self, verb)
        method(*([argument] if argument else []))
        return True

    # ---- data of layers ----

    def _complete(self) -> None:
        item = self.item
        if item is None:
            return
        if "mesh" in self.state.layers and item.mesh is None:
            if item.sketch is None:
                self.jobs.submit(
                    "sketch", "sketching the mesh", lambda: self._extras.coarse_mesh(item),
                    self._take_sketch,
                )  # fmt: skip
            self.jobs.submit(
                "mesh", "reconstructing the mesh", lambda: self._extras.mesh(item),
                self._take_mesh, long=True,
            )  # fmt: skip
        if "training" in self.state.layers and self.nearest is None:
            self.jobs.submit("training", "searching the training shapes",
                             lambda: self._extras.nearest(item), self._take_nearest,
                             long=True)  # fmt: skip

    def _take_nearest(self, found: Neighbour) -> None:
        self.nearest = found
        self.changed()

    def _take_sketch(self, mesh: Mesh | None) -> None:
        if self.item is not None and self.item.mesh is None:
            self.item = dataclasses.replace(self.item, sketch=mesh)
        self.changed()

    def _take_mesh(self, mesh: Mesh) -> None:
        if self.item is not None:
            self.item = dataclasses.replace(self.item, mesh=mesh)
        self.changed()
