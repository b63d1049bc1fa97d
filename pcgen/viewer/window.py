"""The Open3D window: a panel that calls the controller, and a scene that shows its drawables.

Only this module, ``panel``, ``captions`` and ``dialogs`` import Open3D's GUI.
"""

from __future__ import annotations

import queue
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
from open3d import geometry, utility
from open3d.visualization import gui, rendering

from pcgen import runtime
from pcgen.errors import PcgenError
from pcgen.render import palette
from pcgen.render.camera import FIELD_OF_VIEW, fit
from pcgen.render.image_files import save
from pcgen.viewer.captions import Captions
from pcgen.viewer.controller import Controller
from pcgen.viewer.dialogs import Dialogs, free_name
from pcgen.viewer.drawing import Drawable
from pcgen.viewer.panel import Panel
from pcgen.viewer.screen_size import fit_to_screen
from pcgen.viewer.state import KEYS

SIZE = (1240, 740)  # fits the screen of a laptop
PANEL_WIDTH = 20  # in font sizes
CAPTION_HEIGHT = 4  # in font sizes, of the captions above and below the shape
LARGE = 21  # font size of names and titles in pixels; that of other texts is 16
# A slow driver silently skips frames, perhaps the last one after an event, so that is drawn again
# after delays that grow from the first to the last of these seconds.
FIRST_WAIT, LAST_WAIT, GROWTH = 0.05, 30.0, 1.5
# Seconds between frames during background work, which needs the CPU.
PROGRESS_EVERY = 0.1

MODIFIERS = (gui.KeyName.LEFT_CONTROL, gui.KeyName.RIGHT_CONTROL, gui.KeyName.ALT, gui.KeyName.META)


class Window:
    """One window on one controller."""

    def __init__(self, controller: Controller, title: str, *, software: bool = False) -> None:
        """
        Args:
            software: the driver draws with the CPU, so anti-aliasing is disabled.
        """
        self._software = software
        controller.state.coarse = software
        self.controller = controller
        self.application = gui.Application.instance
        # Fonts must be added before the first window opens.
        large = self.application.add_font(gui.FontDescription(point_size=LARGE))
        self.window = self.application.create_window(f"pcgen view: {title}", *fit_to_screen(SIZE))
        self.em = self.window.theme.font_size
        self._results: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._held: dict[str, tuple[Any, ...]] = {}
        self._framed: tuple[Any, ...] = ()
        self._last = time.monotonic()
        self._wait = FIRST_WAIT
        self._next_draw = self._next_progress = 0.0
        self._dialog_gone = self._escape_held = False
        self._modifiers: set[Any] = set()
        self._scene = self._make_scene()
        self._panel = Panel(controller, self.em, self._do, self._command)
        self._captions = Captions(controller, self.em, large)
        self._dialogs = Dialogs(self.window, controller, large, self._do, self._draw_soon)
        for widget in (self._scene, *self._panel.widgets, *self._captions.widgets):
            self.window.add_child(widget)
        self.window.set_on_layout(self._lay_out)
        self.window.set_on_key(self._key)
        self.window.set_on_tick_event(self._tick)
        self.window.set_on_close(self._close)
        controller.jobs.deliver = self._results.put
        controller.changed = self.refresh

    # ---- building ----

    def _make_scene(self) -> Any:
        widget = gui.SceneWidget()
        scene = rendering.Open3DScene(self.window.renderer)
        # The colours include the light, so shadows and tone mapping are off, which is fast on a
        # CPU.
        scene.set_background([*palette.PAPER, 1.0])
        scene.view.set_post_processing(False)
        scene.view.set_shadowing(False, rendering.View.ShadowType.PCF)
        scene.view.set_ambient_occlusion(False)
        scene.view.set_sample_count(1 if self._software else 4)
        widget.scene = scene
        widget.set_view_controls(gui.SceneWidget.Controls.ROTATE_CAMERA)
        widget.set_on_mouse(self._mouse)
        return widget

    # ---- events ----

    def _do(self, act: Any, *arguments: Any) -> None:
        """Call the controller; the captions show its errors."""
        try:
            act(*arguments)
        except PcgenError as error:
            self.controller.say(str(error))
        except Exception as error:
            self._report_bug(error)

    def _guarded(self, call: Callable[[], None]) -> None:
        """Report a bug in terminal and captions, and keep the window open."""
        try:
            call()
        except Exception as error:
            self._report_bug(error)

    def _report_bug(self, error: Exception) -> None:
        traceback.print_exc()
        self._captions.show_message(f"unexpected {type(error).__name__}: {error}")

    def _command(self, name: str) -> None:
        own = {
            "screenshot": self._screenshot,
            "export": self._dialogs.ask_export,
            "reset_view": self._frame,
            "help": self._dialogs.help,
        }
        if name in own:
            own[name]()
        else:
            self._do(self.controller.command, name)

    def _key(self, event: Any) -> bool:
        down = event.type == gui.KeyEvent.Type.DOWN
        if event.key == gui.KeyName.ESCAPE:
            self._escape_held = down and (self._escape_held or self._dialog_gone)
            self._dialog_gone = False
        if event.key in MODIFIERS:
            (self._modifiers.add if down else self._modifiers.discard)(event.key)
        if not down:
            return False
        self._draw_soon()
        if self._modifiers:
            return False  # Ctrl+A in a field is not the key A
        code = int(event.key)
        name = "Space" if code == 32 else chr(code).upper() if 33 <= code < 127 else ""
        if self._dialogs.is_open:
            self._dialogs.press(name)
            return True
        for key, command, _ in KEYS:
            if key == name:
                self._command(command)
                return True
        return False

    def _tick(self) -> bool:
        # Results are fetched here, not posted by the worker, because Open3D swallows their errors.
        while not self._results.empty():
            self._guarded(self._results.get())
        now = time.monotonic()
        moving = self.controller.tick(min(now - self._last, 0.1))
        self._last = now
        busy = self.controller.jobs.busy
        if self._captions.show_busy(busy, now):
            self.window.set_needs_layout()
        again = now >= self._next_draw and self._wait <= LAST_WAIT
        if again:
            self._next_draw = now + self._wait
            self._wait *= GROWTH
        if busy and now >= self._next_progress:
            self._next_progress = now + PROGRESS_EVERY
            return True
        return moving or again

    def _draw_soon(self) -> None:
        self._wait, self._next_draw = FIRST_WAIT, 0.0

    def _mouse(self, _: Any) -> Any:
        self._draw_soon()
        return gui.Widget.EventCallbackResult.IGNORED

    def _close(self) -> bool:
        # Open3D closes the window when Escape is pressed and again when it is released; with an
        # open dialog, it must close only that.
        if self._escape_held:
            return False
        if self._dialogs.is_open:
            self._dialogs.close()
            self._dialog_gone = True
            return False
        self.controller.jobs.close()
        return True

    def _lay_out(self, context: Any) -> None:
        area = self.window.content_rect
        width = min(PANEL_WIDTH * self.em, area.width // 2)
        self._scene.frame = gui.Rect(area.x, area.y, area.width - width, area.height)
        self._captions.lay_out(self._scene.frame, context)
        self._panel.place(gui.Rect(area.get_right() - width, area.y, width, area.height))

    # ---- showing ----

    def refresh(self) -> None:
        """Update scene and panel to the state of the controller."""
        control = self.controller
        scene = self._scene.scene
        wanted = {drawable.name: drawable for drawable in control.drawables()}
        for name in [name for name in self._held if name not in wanted]:
            scene.remove_geometry(name)
            del self._held[name]
        for name, drawable in wanted.items():
            if self._held.get(name) != drawable.key:
                if name in self._held:
                    scene.remove_geometry(name)
                scene.add_geometry(name, _geometry(drawable), self._material(drawable))
                self._held[name] = drawable.key
        # The camera moves only if a different set of shapes is shown.
        beside = "training" in wanted
        if control.item is not None and self._framed != (beside,) and wanted:
            self._framed = (beside,)
            self._frame()
        self._panel.refresh()
        self._captions.refresh()
        self.window.set_needs_layout()
        self._scene.force_redraw()
        self._draw_soon()

    def _material(self, drawable: Drawable) -> Any:
        material = rendering.MaterialRecord()
        material.shader = "unlitLine" if drawable.kind == "lines" else "defaultUnlit"
        material.line_width = 1.5 * self.window.scaling
        material.point_size = 3.0 * self.controller.state.point_size * self.window.scaling
        return material

    def _frame(self) -> None:
        """Fit everything that is shown into the initial view."""
        shown = [drawable.vertices for drawable in self.controller.drawables()]
        if not shown:
            return
        points = np.concatenate([vertices[:: max(1, len(vertices) // 5000)] for vertices in shown])
        area = self._scene.frame
        free = max(area.height - 2 * CAPTION_HEIGHT * self.em, area.height // 2, 1)
        aspect = max(area.width, 1) / free
        camera = fit(points, aspect=aspect)[0]
        low, high = points.min(0), points.max(0)
        bounds = geometry.AxisAlignedBoundingBox(low, high)
        # Open3D needs the vertical angle; FIELD_OF_VIEW is that of the shorter side.
        tall = np.tan(np.radians(FIELD_OF_VIEW) / 2) * max(1.0, 1 / aspect)
        tall *= max(area.height, 1) / free
        vertical = float(np.degrees(2 * np.arctan(tall)))
        self._scene.setup_camera(vertical, bounds, camera.target)
        self._scene.look_at(camera.target, camera.eye, camera.axes[1])

    # ---- keeping ----

    def _screenshot(self) -> None:
        def keep(image: Any) -> None:
            try:
                path = save(np.asarray(image)[:, :, :3].copy(), free_name("pcgen-view", ".png"))
                self.controller.say(f"saved {path}")
            except PcgenError as error:
                self.controller.say(str(error))

        self._scene.scene.scene.render_to_image(keep)


def run(controller: Controller, title: str, *, software: bool = False) -> None:
    """Open the window and return when it is closed."""
    if software:
        runtime.hand_out_zeroed_memory()
    gui.Application.instance.initialize()
    window = Window(controller, title, software=software)
    controller.start()
    window.refresh()
    gui.Application.instance.run()


def _geometry(drawable: Drawable) -> Any:
    vertices = utility.Vector3dVector(np.ascontiguousarray(drawable.vertices, dtype=np.float64))
    colours = utility.Vector3dVector(np.ascontiguousarray(drawable.colours, dtype=np.float64))
    if drawable.kind == "dots":
        cloud = geometry.PointCloud(vertices)
        cloud.colors = colours
        return cloud
    faces = np.ascontiguousarray(drawable.faces, dtype=np.int32)
    if drawable.kind == "lines":
        lines = geometry.LineSet(vertices, utility.Vector2iVector(faces))
        lines.colors = colours
        return lines
    mesh = geometry.TriangleMesh(vertices, utility.Vector3iVector(faces))
    mesh.vertex_colors = colours
    # Software Vulkan of Open3D 0.20 freezes at a mesh without normals, even if unlit.
    mesh.compute_vertex_normals()
    return mesh
