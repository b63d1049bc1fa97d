"""The Open3D window: widgets that call the controller, and a scene that shows its drawables.

Nothing is decided here. This is the one module that imports Open3D's GUI.
"""

from __future__ import annotations

import functools
import queue
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from open3d import geometry, utility
from open3d.visualization import gui, rendering

from pcgen import runtime
from pcgen.errors import PcgenError
from pcgen.render import palette
from pcgen.render.camera import FIELD_OF_VIEW, fit
from pcgen.render.files import save
from pcgen.viewer.controller import COLOURS, KEYS, MOST_STEPS, Controller
from pcgen.viewer.drawing import Drawable
from pcgen.viewer.exporting import CLOUD_ENDINGS, MESH_ENDINGS
from pcgen.viewer.sources import category_names

SIZE = (1280, 820)
PANEL_WIDTH = 19  # in font sizes
ANY = "any category"
# A driver that is behind skips frames without a word, also the last one after an event; so that
# is drawn again, after waits that grow from the first to the last of these seconds.
FIRST_WAIT, LAST_WAIT, GROWTH = 0.05, 30.0, 1.5
MOUSE = "Drag turns, the right button moves, the wheel zooms."
LAYER_LABELS = {
    "points": "Points  (C)",
    "mesh": "Mesh  (M)",
    "normals": "Normals  (L)",
    "base": "Base points  (B)",
    "paths": "Flow paths  (F)",
    "training": "Training shape  (T)",
}


class Window:
    """One window on one controller."""

    def __init__(self, controller: Controller, title: str, *, software: bool = False) -> None:
        """
        Args:
            software: the driver is a program, not a card: spare it the smoothing of edges.
        """
        self._software = software
        controller.state.coarse = software
        self.controller = controller
        self.application = gui.Application.instance
        self.window = self.application.create_window(f"pcgen view: {title}", *SIZE)
        self.em = self.window.theme.font_size
        self._results: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._held: dict[str, tuple[Any, ...]] = {}
        self._framed: tuple[Any, ...] = ()
        self._last = time.monotonic()
        self._updating = False
        self._wait = FIRST_WAIT
        self._next_draw = 0.0
        self._dialog = self._dialog_gone = self._escape_held = False
        self._scene = self._make_scene()
        self._panel = self._make_panel()
        self.window.add_child(self._scene)
        self.window.add_child(self._panel)
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
        # Light is baked into the colours: no shadows, no tone mapping, and quick on a CPU.
        scene.set_background([*palette.PAPER, 1.0])
        scene.view.set_post_processing(False)
        scene.view.set_shadowing(False, rendering.View.ShadowType.PCF)
        scene.view.set_ambient_occlusion(False)
        scene.view.set_sample_count(1 if self._software else 4)
        widget.scene = scene
        widget.set_view_controls(gui.SceneWidget.Controls.ROTATE_CAMERA)
        widget.set_on_mouse(self._mouse)
        return widget

    def _make_panel(self) -> Any:
        em, control = self.em, self.controller
        panel = gui.ScrollableVert(round(0.4 * em), gui.Margins(em, em, em, em))
        self._facts = gui.Label("")
        panel.add_child(self._facts)
        self._status = gui.Label("")
        self._status.text_color = gui.Color(0.98, 0.72, 0.45)
        panel.add_child(self._status)
        self._progress = gui.ProgressBar()
        self._progress.visible = False
        panel.add_child(self._progress)
        again = "New sample  (N)" if control.source.draws else "Next  (N)"
        self._add_row(panel, ("Previous  (P)", "back"), (again, "forward"))
        if control.source.draws:
            self._add_drawing(panel)
        self._add_heading(panel, "Show")
        self._layers = {}
        grid = gui.VGrid(2, round(0.3 * em))
        for layer, label in LAYER_LABELS.items():
            box = gui.Checkbox(label)
            box.set_on_checked(functools.partial(self._do, control.toggle, layer))
            self._layers[layer] = box
            grid.add_child(box)
        panel.add_child(grid)
        if control.source.draws:
            self._add_heading(panel, "Flow: base to shape  (Space plays)")
            self._time = self._slider(panel, 0.0, 1.0, 1.0, control.scrub)
        self._add_heading(panel, "Colour  (K)")
        self._colour = gui.Combobox()
        for name in COLOURS:
            self._colour.add_item(name)
        self._colour.set_on_selection_changed(lambda name, _: self._do(control.choose_colour, name))
        panel.add_child(self._colour)
        self._add_heading(panel, "Point size")
        self._size = self._slider(panel, 0.2, 3.0, 1.0, control.choose_size)
        panel.add_fixed(round(0.4 * em))
        self._add_row(
            panel, ("Picture  (S)", "screenshot"), ("Export  (E)", "export"), ("Keys  (H)", "help")
        )
        panel.add_child(self._text(MOUSE.replace(", the wheel", ",\nthe wheel")))
        return panel

    def _add_row(self, panel: Any, *buttons: tuple[str, str]) -> None:
        row = gui.Horiz(round(0.4 * self.em))
        for label, command in buttons:
            row.add_child(self._button(label, command))
        panel.add_child(row)

    def _add_drawing(self, panel: Any) -> None:
        control = self.controller
        row = gui.Horiz(round(0.4 * self.em))
        row.add_child(self._text("Seed"))
        self._seed = gui.NumberEdit(gui.NumberEdit.INT)
        self._seed.set_limits(0, 2**31 - 1)
        self._seed.set_on_value_changed(lambda value: self._do(control.select, round(float(value))))
        row.add_child(self._seed)
        panel.add_child(row)
        names = category_names(control.source)
        if len(names) > 1:
            choice = gui.Combobox()
            for name in (ANY, *names):
                choice.add_item(name)
            choice.set_on_selection_changed(
                lambda name, _: self._do(control.choose_category, None if name == ANY else name)
            )
            panel.add_child(choice)
        self._add_heading(panel, "Evaluations of each flow")
        self._slider(
            panel, 1, MOST_STEPS, 1, lambda value: control.choose_steps(int(value)), whole=True
        )
        self._add_heading(panel, "Between two shapes")
        self._add_row(panel, ("Pin A  (1)", "pin:A"), ("Pin B  (2)", "pin:B"))
        self._slider(panel, 0.0, 1.0, 0.0, control.blend)

    def _add_heading(self, panel: Any, text: str) -> None:
        panel.add_fixed(round(0.15 * self.em))
        panel.add_child(self._text(text))

    def _text(self, text: str) -> Any:
        label = gui.Label(text)
        label.text_color = gui.Color(0.72, 0.72, 0.72)
        return label

    def _button(self, label: str, command: str) -> Any:
        button = gui.Button(label)
        button.vertical_padding_em = 0.15
        button.horizontal_padding_em = 0.5
        button.set_on_clicked(lambda: self._command(command))
        return button

    def _slider(
        self, panel: Any, low: float, high: float, value: float, act: Any, whole: bool = False
    ) -> Any:
        slider = gui.Slider(gui.Slider.INT if whole else gui.Slider.DOUBLE)
        slider.set_limits(low, high)
        if whole:
            slider.int_value = int(value)
        else:
            slider.double_value = value
        slider.set_on_value_changed(lambda value: self._do(act, value))
        panel.add_child(slider)
        return slider

    # ---- events ----

    def _do(self, act: Any, *arguments: Any) -> None:
        """Call the controller; what it refuses is told in the panel."""
        if self._updating:
            return
        try:
            act(*arguments)
        except PcgenError as error:
            self.controller.say(str(error))
        except Exception as error:
            self._tell_defect(error)

    def _guarded(self, call: Callable[[], None]) -> None:
        """A defect of ours is told in terminal and panel; the window stays."""
        try:
            call()
        except Exception as error:
            self._tell_defect(error)

    def _tell_defect(self, error: Exception) -> None:
        traceback.print_exc()
        self._status.text = f"unexpected {type(error).__name__}: {error}"

    def _command(self, name: str) -> None:
        own = {
            "screenshot": self._screenshot,
            "export": self._ask_export,
            "reset_view": self._frame,
            "help": self._help,
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
        if not down:
            return False
        self._draw_soon()
        code = int(event.key)
        if self._dialog:
            self._close_dialog()
            return True
        name = "Space" if code == 32 else chr(code).upper() if 33 <= code < 127 else ""
        for key, command, _ in KEYS:
            if key == name:
                self._command(command)
                return True
        return False

    def _tick(self) -> bool:
        # Results are fetched here, not posted by the worker: Open3D swallows what they raise.
        while not self._results.empty():
            self._guarded(self._results.get())
        now = time.monotonic()
        moving = self.controller.tick(min(now - self._last, 0.1))
        self._last = now
        busy = self.controller.jobs.busy
        if busy:
            # How long it takes is not known: a bar that runs says that something happens.
            self._progress.value = (now / 1.5) % 1.0
            self._status.text = f"{busy} …"
        if bool(busy) != self._progress.visible:
            self._progress.visible = bool(busy)
            self._status.text = self._status.text if busy else self._wrapped()
            self.window.set_needs_layout()
        again = now >= self._next_draw and self._wait <= LAST_WAIT
        if again:
            self._next_draw = now + self._wait
            self._wait *= GROWTH
        return moving or bool(busy) or again

    def _draw_soon(self) -> None:
        self._wait, self._next_draw = FIRST_WAIT, 0.0

    def _mouse(self, _: Any) -> Any:
        self._draw_soon()
        return gui.Widget.EventCallbackResult.IGNORED

    def _close(self) -> bool:
        # Open3D closes the window at Escape, when it goes down and again when it comes up; with
        # a dialog open it is meant for that alone.
        if self._escape_held:
            return False
        if self._dialog:
            self._close_dialog()
            self._dialog_gone = True
            return False
        self.controller.jobs.close()
        return True

    def _lay_out(self, _: Any) -> None:
        area = self.window.content_rect
        width = min(PANEL_WIDTH * self.em, area.width // 2)
        self._scene.frame = gui.Rect(area.x, area.y, area.width - width, area.height)
        self._panel.frame = gui.Rect(area.get_right() - width, area.y, width, area.height)

    # ---- showing ----

    def refresh(self) -> None:
        """Bring scene and panel to what the controller says."""
        control, state = self.controller, self.controller.state
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
        # The camera moves only when another thing is to be seen, never under the user's hands.
        beside = "training" in wanted
        if control.item is not None and self._framed != (beside,) and wanted:
            self._framed = (beside,)
            self._frame()
        self._updating = True
        self._facts.text = "\n".join(f"{label}: {value}" for label, value in control.facts())
        self._status.text = self._wrapped()
        for layer, box in self._layers.items():
            box.checked = layer in state.layers
            box.enabled = not control.missing(layer) or layer in state.layers
        self._colour.selected_text = state.colour
        self._size.double_value = state.point_size
        if control.source.draws:
            self._time.double_value = state.time
            self._seed.int_value = state.seed
        self._updating = False
        self.window.set_needs_layout()
        self._scene.force_redraw()
        self._draw_soon()

    def _wrapped(self, width: int = 34) -> str:
        import textwrap

        return "\n".join(textwrap.wrap(self.controller.state.status, width))

    def _material(self, drawable: Drawable) -> Any:
        material = rendering.MaterialRecord()
        material.shader = "unlitLine" if drawable.kind == "lines" else "defaultUnlit"
        material.line_width = 1.5 * self.window.scaling
        material.point_size = 3.0 * self.controller.state.point_size * self.window.scaling
        return material

    def _frame(self) -> None:
        """Look at everything that is shown from the three-quarter view."""
        shown = [drawable.vertices for drawable in self.controller.drawables()]
        if not shown:
            return
        points = np.concatenate([vertices[:: max(1, len(vertices) // 5000)] for vertices in shown])
        area = self._scene.frame
        aspect = area.width / area.height if area.height > 0 else 1.2
        camera = fit(points, aspect=aspect)[0]
        low, high = points.min(0), points.max(0)
        bounds = geometry.AxisAlignedBoundingBox(low, high)
        # Open3D's angle is vertical; ours is that of the shorter side.
        tall = np.tan(np.radians(FIELD_OF_VIEW) / 2) * max(1.0, 1 / aspect)
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

    def _ask_export(self) -> None:
        dialog = gui.FileDialog(gui.FileDialog.SAVE, "Export", self.window.theme)
        for ending in dict.fromkeys((*MESH_ENDINGS, *CLOUD_ENDINGS)):
            dialog.add_filter(ending, ending)
        dialog.set_path(str(Path.cwd()))
        dialog.set_on_cancel(self._close_dialog)

        def chosen(path: str) -> None:
            self._close_dialog()
            self._do(self.controller.export, path)

        dialog.set_on_done(chosen)
        self.window.show_dialog(dialog)

    def _help(self) -> None:
        dialog = gui.Dialog("Keys")
        column = gui.Vert(round(0.8 * self.em), gui.Margins(*[round(1.5 * self.em)] * 4))
        # One label a column: a grid of labels comes out twice as high as it is.
        row = gui.Horiz(round(1.5 * self.em))
        shown = [*((key, text) for key, _, text in KEYS), ("Esc", "close this, then the window")]
        for words in zip(*shown, strict=True):
            row.add_child(gui.Label("\n".join(words)))
        column.add_child(row)
        column.add_child(gui.Label(MOUSE))
        close = gui.Button("Close")
        close.set_on_clicked(self._close_dialog)
        column.add_child(close)
        dialog.add_child(column)
        self._dialog = True
        self.window.show_dialog(dialog)

    def _close_dialog(self) -> None:
        self._dialog = False
        self.window.close_dialog()
        self._draw_soon()


def run(controller: Controller, title: str, *, software: bool = False) -> None:
    """Open the window and stay until it is closed."""
    if software:
        runtime.hand_out_zeroed_memory()
    gui.Application.instance.initialize()
    window = Window(controller, title, software=software)
    controller.start()
    window.refresh()
    gui.Application.instance.run()


def free_name(stem: str, ending: str) -> Path:
    """The first of ``stem-001.ending``, … in the current folder that is not taken."""
    number = 1
    while (path := Path(f"{stem}-{number:03d}{ending}")).exists():
        number += 1
    return path


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
    # Unlit or not: Open3D 0.20's software Vulkan freezes for good at a mesh without normals.
    mesh.compute_vertex_normals()
    return mesh
