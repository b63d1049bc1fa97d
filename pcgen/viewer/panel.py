"""The panel next to the scene, with all settings."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable
from typing import Any

from open3d.visualization import gui

from pcgen.viewer.controller import Controller
from pcgen.viewer.sources import RunSource
from pcgen.viewer.state import COLOURS, KEYS, LAYERS, MOST_STEPS

# A scrolling list gives its colour to the tracks of its sliders, which would be invisible. With a
# transparent list over a dark background, every layer is lighter than the last.
BEHIND = (0.0, 0.01, 0.03, 1.0)
GLASS = (1.0, 1.0, 1.0, 0.095)
FAINT = (0.74, 0.75, 0.77)
LINE_LENGTH = 36  # letters per line
ANY = "any category"


class Panel:
    """Widgets that call the controller and show its state.

    Attributes:
        widget: to add to the window.
    """

    def __init__(
        self, controller: Controller, em: int,
        act: Callable[..., None], command: Callable[[str], None],
    ) -> None:  # fmt: skip
        """
        Args:
            em: font size in pixels.
            act: calls a function with arguments and reports its errors.
            command: runs a command of :data:`pcgen.viewer.state.KEYS`.
        """
        self.controller, self.em, self._command = controller, em, command
        self._call = act
        self._updating = False
        self._number: Any = None
        self._category: Any = None
        self._layers: dict[str, Any] = {}
        sampled = isinstance(controller.source, RunSource)
        self.widget = gui.ScrollableVert(round(0.35 * em), gui.Margins(em, em, em, em))
        self.widget.background_color = gui.Color(*GLASS)
        self._behind = gui.Vert()
        self._behind.background_color = gui.Color(*BEHIND)
        again = "New sample  (N)" if sampled else "Next  (N)"
        self._row(("Previous  (P)", "back"), (again, "forward"))
        self._add_choice()
        if sampled:
            self._add_drawing()
        self._add_layers()
        if sampled:
            self._heading("Flow from base to shape  (Space plays)")
            self._time = self._slider("base", 0.0, 1.0, 1.0, controller.scrub, "shape")
        self._heading("Colour by  (K)")
        self._colour = self._choice(COLOURS, controller.choose_colour)
        self._size = self._slider("Point size  (- =)", 0.2, 3.0, 1.0, controller.choose_size)
        self.widget.add_fixed(round(0.4 * em))
        self._row(("Picture  (S)", "screenshot"), ("Export  (E)", "export"), ("Keys  (H)", "help"))

    @property
    def widgets(self) -> tuple[Any, ...]:
        """All widgets, from back to front."""
        return self._behind, self.widget

    def place(self, frame: gui.Rect) -> None:
        for widget in self.widgets:
            widget.frame = frame

    # ---- building ----

    def _add_choice(self) -> None:
        """Add the choice of the shape: seed or number, and category."""
        control, source = self.controller, self.controller.source
        first, last = (0, 2**31 - 1) if isinstance(source, RunSource) else (1, len(source))
        if last > first:
            row = gui.Horiz(round(0.4 * self.em))
            row.add_child(self._beside("Number" if first else "Seed"))
            self._number = gui.NumberEdit(gui.NumberEdit.INT)
            self._number.set_limits(first, last)
            self._number.set_on_value_changed(
                lambda value: self._act(control.select, round(float(value)) - first)
            )
            row.add_child(self._number)
            self.widget.add_child(row)
        if len(source.categories) > 1:
            self._category = self._choice(
                (ANY, *source.categories),
                lambda name: control.choose_category(None if name == ANY else name),
            )

    def _add_drawing(self) -> None:
        control = self.controller
        steps = control.state.steps
        self._slider("Evaluations", 1, MOST_STEPS, steps,
                     lambda value: control.choose_steps(int(value)), whole=True)  # fmt: skip
        self._heading("Interpolate between two shapes")
        self._row(("Pin as A  (A)", "pin:A"), ("Pin as B  (B)", "pin:B"))
        self._pinned = faint("")
        self.widget.add_child(self._pinned)
        self._share = self._slider("A", 0.0, 1.0, 0.0, control.blend, "B")

    def _add_layers(self) -> None:
        self._heading("Show")
        grid = gui.VGrid(2, round(0.3 * self.em))
        keys = {command: key for key, command, _ in KEYS}
        for layer, label in LAYERS.items():
            box = gui.Checkbox(f"{label.capitalize()}  ({keys[f'toggle:{layer}']})")
            box.set_on_checked(functools.partial(self._act, self.controller.toggle, layer))
            self._layers[layer] = box
            grid.add_child(box)
        self.widget.add_child(grid)

    def _heading(self, text: str) -> None:
        self.widget.add_fixed(round(0.15 * self.em))
        self.widget.add_child(faint(text))

    def _beside(self, text: str) -> Any:
        """A label, aligned with the text of the next widget."""
        column = gui.Vert(0, gui.Margins(0, round(0.25 * self.em), 0, 0))
        column.add_child(faint(text))
        return column

    def _row(self, *buttons: tuple[str, str]) -> None:
        row = gui.Horiz(round(0.4 * self.em))
        for label, command in buttons:
            row.add_child(button(label, functools.partial(self._command, command)))
        self.widget.add_child(row)

    def _choice(self, names: tuple[str, ...], act: Callable[[str], None]) -> Any:
        choice = gui.Combobox()
        for name in names:
            choice.add_item(name)
        choice.set_on_selection_changed(lambda name, _: self._act(act, name))
        self.widget.add_child(choice)
        return choice

    def _slider(
        self, left: str, low: float, high: float, value: float, act: Any, right: str = "",
        whole: bool = False,
    ) -> Any:  # fmt: skip
        """A slider between labels of its ends."""
        slider = gui.Slider(gui.Slider.INT if whole else gui.Slider.DOUBLE)
        slider.set_limits(low, high)
        if whole:
            slider.int_value = int(value)
        else:
            slider.double_value = value
        slider.set_on_value_changed(lambda value: self._act(act, value))
        row = gui.Horiz(round(0.4 * self.em))
        row.add_child(self._beside(left))
        row.add_child(slider)
        if right:
            row.add_child(self._beside(right))
        self.widget.add_child(row)
        return slider

    def _act(self, act: Callable[..., None], *arguments: Any) -> None:
        if not self._updating:
            self._call(act, *arguments)

    # ---- showing ----

    def refresh(self) -> None:
        """Show the state of the controller."""
        control, state = self.controller, self.controller.state
        sampled = isinstance(control.source, RunSource)
        self._updating = True
        for layer, box in self._layers.items():
            reason = control.missing(layer)
            box.checked = layer in state.layers
            box.enabled = not reason or layer in state.layers
            box.tooltip = textwrap.fill(reason, LINE_LENGTH)
        self._colour.selected_text = state.colour
        self._size.double_value = state.point_size
        if self._number is not None:
            self._number.int_value = state.seed if sampled else state.index + 1
        if self._category is not None:
            self._category.selected_text = state.category or ANY
        if sampled:
            self._time.double_value = state.time
            self._share.double_value = state.share
            self._share.enabled = len(control.pins) == 2
            pins = [f"{name}: {item.name}" for name, item in sorted(control.pins.items())]
            text = "     ".join(pins) or "Pin this shape, then another one."
            self._pinned.text = textwrap.shorten(text, LINE_LENGTH)
        self._updating = False


def faint(text: str) -> Any:
    label = gui.Label(text)
    label.text_color = gui.Color(*FAINT)
    return label


def button(label: str, act: Callable[[], None]) -> Any:
    made = gui.Button(label)
    made.vertical_padding_em = 0.15
    made.horizontal_padding_em = 0.5
    made.set_on_clicked(act)
    return made
