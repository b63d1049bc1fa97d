"""The window's controls on a web page, for use without graphics or over SSH.

The shapes are computed here and shown in a browser (viser). By default the server is only reachable
from this machine, since anyone who reaches the address can use it. All browsers see the same shape.
Requests of browsers are put in a queue, and one thread calls the controller, as in the window.
"""

from __future__ import annotations

import functools
import math
import queue
import re
import socket
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pcgen import progress
from pcgen.errors import BackendError, MissingPackage, PcgenError
from pcgen.render import palette
from pcgen.viewer import drawing
from pcgen.viewer.controller import Controller
from pcgen.viewer.descriptions import display_name
from pcgen.viewer.drawing import GAP, Drawable
from pcgen.viewer.sources import FileSource, RunSource, ViewedShape
from pcgen.viewer.state import COLOURS, LAYERS, MOST_STEPS

HOST, PORT = "127.0.0.1", 8080
ANY = "any"
MOST = 12  # shapes side by side
ENDINGS = (".glb", ".stl", ".obj", ".3mf", ".ply mesh", ".ply points", ".xyz", ".npz")
TICK_S = 0.05
EYE = (2.2, 1.6, 3.1)  # initial position of the camera, in box units


def loopback(host: str) -> bool:
    """Whether an address is reachable only from this machine."""
    return host in ("localhost", "::1") or host.startswith("127.")


def _check_address(host: str, port: int) -> None:
    """Raise what is wrong with an address; the next port is taken where one is in use.

    The server would wait for such an address forever.
    """
    if not 0 < port < 2**16:
        raise OSError("a port is a number from 1 to 65535")
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.bind((address[0], 0))


class Page:
    """A server for one controller.

    Attributes:
        url: the address for a browser.
    """

    def __init__(self, controller: Controller, title: str, host: str = HOST, port: int = PORT):
        """
        Raises:
            MissingPackage: viser is not installed. BackendError: the address cannot be bound.
        """
        try:
            import viser
        except ImportError:
            raise MissingPackage("viser", "web", "the viewer in a browser") from None

        self.controller = controller
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._held: dict[str, tuple[Any, Any]] = {}
        self._more: list[ViewedShape] = []
        self._asked: tuple[Any, ...] = ()
        self._count = 1
        self._ended = threading.Event()
        try:
            _check_address(host, port)
            self.server: Any = viser.ViserServer(host=host, port=port, label=title, verbose=False)
        except (OSError, RuntimeError) as error:
            raise BackendError(f"no page can be served at {host}:{port}: {error}") from None
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.server.get_port()}"
        controller.state.dots = True
        self._set_up_scene()
        self._add_controls()
        controller.jobs.deliver = self._events.put
        controller.changed = self.refresh

    def run(self) -> None:
        """Serve until :meth:`close`, or Ctrl-C."""
        self._do(self.controller.start)
        last = time.monotonic()
        try:
            while not self._ended.is_set():
                try:
                    self._events.get(timeout=TICK_S)()
                except queue.Empty:
                    pass
                except Exception as error:
                    traceback.print_exc()  # a bug in pcgen: the page is kept
                    self._message.content = f"unexpected {type(error).__name__}: {error}"
                now = time.monotonic()
                self.controller.tick(min(now - last, 0.1))
                last = now
                self._show_busy()
        finally:
            self.controller.jobs.close()
            self.server.stop()

    def close(self) -> None:
        """End :meth:`run`; may be called from any thread."""
        self._ended.set()

    # ---- building ----

    def _set_up_scene(self) -> None:
        scene, gui = self.server.scene, self.server.gui
        gui.configure_theme(
            control_layout="fixed", show_logo=False, show_share_button=False,
            brand_color=tuple(round(255 * part) for part in palette.GENERATED),
        )  # fmt: skip
        scene.set_up_direction("+y")
        # The colours include the lighting, as in the window.
        scene.configure_default_lights(enabled=False)
        scene.add_light_ambient("/light", intensity=math.pi)
        paper = np.round(255 * np.broadcast_to(palette.PAPER, (8, 8, 3))).astype(np.uint8)
        scene.set_background_image(paper, format="png")
        camera = self.server.initial_camera
        camera.position, camera.look_at = EYE, (0.0, 0.0, 0.0)
        camera.up = (0.0, 1.0, 0.0)

    def _add_controls(self) -> None:
        control, gui = self.controller, self.server.gui
        source, state = control.source, control.state
        sampled = isinstance(source, RunSource)
        self._facts = gui.add_markdown("")
        self._message = gui.add_markdown("")
        self._button("New sample" if sampled else "Next", control.forward)
        self._button("Previous", control.back)
        first, last = (0, 2**31 - 1) if isinstance(source, RunSource) else (1, len(source))
        self._number = None
        if last > first:
            number = gui.add_number(
                "Seed" if sampled else "Number", first, min=first, max=last, step=1
            )
            self._number = self._bound(number, lambda value: control.select(int(value) - first))
            count = gui.add_slider("Count", 1, min(MOST, last), 1, 1)
            self._bound(count, self._choose_count)
        self._category = None
        if len(source.categories) > 1:
            menu = gui.add_dropdown("Category", (ANY, *source.categories), initial_value=ANY)
            self._category = self._bound(
                menu, lambda name: control.choose_category(None if name == ANY else name)
            )
        self._share = None
        if sampled:
            steps = gui.add_slider("Evaluations", 1, MOST_STEPS, 1, state.steps)
            self._bound(steps, control.choose_steps)
            with gui.add_folder("Interpolate"):
                self._button("Pin as A", lambda: control.pin("A"))
                self._button("Pin as B", lambda: control.pin("B"))
                share = gui.add_slider("A to B", 0.0, 1.0, 0.01, 0.0, disabled=True)
                self._share = self._bound(share, control.blend)
                time_ = gui.add_slider("Base to shape", 0.0, 1.0, 0.01, 1.0)
                self._time = self._bound(time_, control.scrub)
        with gui.add_folder("Show"):
            self._layers = {
                layer: self._bound(
                    gui.add_checkbox(label, layer in state.layers),
                    functools.partial(control.toggle, layer),
                )
                for layer, label in LAYERS.items()
                if sampled or layer not in ("base", "paths")
            }
            colour = gui.add_dropdown("Colour", COLOURS, initial_value=state.colour)
            self._colour = self._bound(colour, control.choose_colour)
            size = gui.add_slider("Point size", 0.2, 3.0, 0.05, state.point_size)
            self._size = self._bound(size, control.choose_size)
        with gui.add_folder("Save"):
            self._ending = gui.add_dropdown("As", ENDINGS, initial_value=ENDINGS[0])
            save = gui.add_button("Save")
            save.on_click(
                lambda event: self._events.put(lambda: self._do(self._save, event.client))
            )

    def _button(self, label: str, act: Callable[[], Any]) -> None:
        made = self.server.gui.add_button(label)
        made.on_click(lambda _: self._events.put(lambda: self._do(act)))

    def _bound(self, handle: Any, act: Callable[[Any], Any]) -> Any:
        """Call ``act`` with new values of the handle that a browser sets; returns the handle."""

        def changed(event: Any) -> None:
            if event.client is not None:  # else set by the controller
                self._events.put(lambda: self._do(act, handle.value))

        handle.on_update(changed)
        return handle

    # ---- acting ----

    def _do(self, act: Callable[..., Any], *arguments: Any) -> None:
        try:
            act(*arguments)
        except PcgenError as error:
            self.controller.say(str(error))

    def _choose_count(self, count: float) -> None:
        self._count = int(count)
        away = max(1.0, 1.1 * math.ceil(math.sqrt(self._count)))
        for client in self.server.get_clients().values():
            client.camera.position = tuple(away * part for part in EYE)
        self.refresh()

    def _save(self, client: Any) -> None:
        item = self.controller.item
        if item is None:
            return
        ending, _, kind = str(self._ending.value).partition(" ")
        stem = re.sub(r"[^\w.-]+", "-", display_name(item))
        folder = tempfile.TemporaryDirectory(prefix="pcgen-")

        def written(path: Path) -> None:
            with folder:
                client.send_file_download(path.name, path.read_bytes(), save_immediately=True)
            self.controller.say(f"sent {path.name}")

        self.controller.export(
            Path(folder.name) / f"{stem}{ending}", kind != "points" if kind else None, written
        )

    def _load_more(self) -> None:
        """Load the shapes next to the first in the background, each only once."""
        control, state, source = self.controller, self.controller.state, self.controller.source
        asked = (state.seed, state.index, state.category, state.steps, self._count)
        if asked == self._asked:
            return
        self._asked, self._more = asked, []
        if self._count == 1:
            return

        def work() -> list[ViewedShape]:
            if isinstance(source, FileSource):
                numbers = list(source.numbers(state.category))
                begin = numbers.index(state.index)
                rows = [numbers[k % len(numbers)] for k in range(begin + 1, begin + self._count)]
                return [drawing.precompute_lighting(source.load(row)) for row in rows]
            seeds = range(state.seed + 1, state.seed + self._count)
            return [
                drawing.precompute_lighting(
                    source.draw(seed, category=state.category, steps=state.steps)
                )
                for seed in seeds
            ]

        def done(items: list[ViewedShape]) -> None:
            self._more = items
            self.refresh()

        control.jobs.submit("more", f"loading {self._count - 1} more", work, done, long=True)

    # ---- showing ----

    def refresh(self) -> None:
        """Update scene and controls to the state of the controller."""
        control, state = self.controller, self.controller.state
        if control.item is not None:
            self._load_more()
        wanted = {drawable.name: drawable for drawable in control.drawables()}
        for number, item in enumerate(self._more, 1):
            for drawable in drawing.drawables(item, state, None):
                wanted[f"{drawable.name}-{number}"] = drawable
        with self.server.atomic():
            for name in [name for name in self._held if name not in wanted]:
                self._held.pop(name)[1].remove()
            for name, drawable in wanted.items():
                place = int(name.partition("-")[2] or 0)
                key = (*drawable.key, self._count)
                if self._held.get(name, (None,))[0] != key:
                    if name in self._held:
                        self._held[name][1].remove()
                    self._held[name] = (key, self._add(name, drawable, self._offset(place)))
            self._update_controls()

    def _offset(self, place: int) -> tuple[float, float, float]:
        """The position of one of several shapes: in rows, with the first in the middle."""
        columns = math.ceil(math.sqrt(self._count))
        step = 2 + GAP
        across = (place % columns) - (columns - 1) / 2
        deep = place // columns - (math.ceil(self._count / columns) - 1) / 2
        return (across * step, 0.0, deep * step)

    def _add(self, name: str, drawable: Drawable, offset: tuple[float, float, float]) -> Any:
        scene = self.server.scene
        vertices = drawable.vertices.astype(np.float32)
        colours = np.round(255 * np.clip(drawable.colours, 0, 1)).astype(np.uint8)
        if drawable.kind == "dots":
            return scene.add_point_cloud(
                f"/{name}",
                vertices,
                colours,
                point_size=1.4 * drawable.radius,
                point_shape="circle",
                point_shading="gradient",
                precision="float32",
                position=offset,
            )
        assert drawable.faces is not None
        if drawable.kind == "lines":
            ends = vertices[drawable.faces]
            both = np.repeat(colours[:, None], 2, axis=1)
            return scene.add_line_segments(f"/{name}", ends, both, thickness=0.004, position=offset)
        import trimesh

        solid = trimesh.Trimesh(vertices, drawable.faces, vertex_colors=colours, process=False)
        return scene.add_mesh_trimesh(
            f"/{name}", solid, position=offset, cast_shadow=False, receive_shadow=False
        )

    def _update_controls(self) -> None:
        """Update the controls to the current settings."""
        control, state = self.controller, self.controller.state
        facts = control.facts()
        if control.item is not None:
            lines = "  \n".join(f"{label}: {value}" for label, value in facts[1:])
            self._facts.content = f"**{display_name(control.item)}**  \n{lines}"
        self._message.content = state.status
        if self._number is not None:
            sampled = isinstance(control.source, RunSource)
            self._set(self._number, state.seed if sampled else state.index + 1)
        if self._category is not None:
            self._set(self._category, state.category or ANY)
        if self._share is not None:
            self._share.disabled = len(control.pins) < 2
            self._set(self._share, state.share)
            self._set(self._time, state.time)
        for layer, box in self._layers.items():
            reason = control.missing(layer)
            box.disabled = bool(reason) and layer not in state.layers
            self._set(box, layer in state.layers)
        self._set(self._colour, state.colour)
        self._set(self._size, state.point_size)

    @staticmethod
    def _set(handle: Any, value: Any) -> None:
        if handle.value != value:
            handle.value = value

    def _show_busy(self) -> None:
        busy = self.controller.jobs.busy
        message = f"{busy} ..." if busy else self.controller.state.status
        if self._message.content != message:
            self._message.content = message


def serve(controller: Controller, title: str, host: str = HOST, port: int = PORT) -> None:
    """Serve a page until Ctrl-C; print its address first.

    Raises:
        MissingPackage: viser is not installed. BackendError: the address cannot be bound.
    """
    page = Page(controller, title, host, port)
    # Printed even with --quiet: without the address there is nothing to see.
    progress.say(f"open {page.url} in a browser; Ctrl-C here ends it", always=True)
    if not loopback(host):
        progress.say("anyone who reaches this address can use it", always=True)
    try:
        page.run()
    except KeyboardInterrupt:
        page.close()
