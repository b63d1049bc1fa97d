"""Captions over the scene: the shape at the top, progress and messages at the bottom.

They overlay the picture, so that changing texts do not move the widgets of the panel.
"""

from __future__ import annotations

import textwrap
from typing import Any

from open3d.visualization import gui

from pcgen.render import palette
from pcgen.viewer.controller import Controller
from pcgen.viewer.descriptions import display_name

FAINT = (0.40, 0.41, 0.44)
NEWS = (0.68, 0.28, 0.08)
LETTER = 0.55  # approximate width of a letter in font sizes
HINT = "Drag to rotate, right button to move, wheel to zoom; H shows the keys."


class Captions:
    """Labels over the scene of a window.

    Attributes:
        widgets: to add to the window, after the scene.
    """

    def __init__(self, controller: Controller, em: int, large: int) -> None:
        """
        Args:
            em: font size in pixels; large: id of the font of the name.
        """
        self.controller, self.em = controller, em
        self._name, self._facts, self._news = (gui.Label("") for _ in range(3))
        self._name.font_id = large
        self._name.text_color = gui.Color(*palette.INK)
        self._facts.text_color = gui.Color(*FAINT)
        self._news.text_color = gui.Color(*NEWS)
        self._progress = gui.ProgressBar()
        self._progress.visible = False
        self._words = 60
        self.widgets = (self._name, self._facts, self._news, self._progress)
        for widget in self.widgets:
            widget.background_color = gui.Color(*palette.PAPER, 0.0)

    def lay_out(self, area: Any, context: Any) -> None:
        """Place the texts in the rectangle of the scene."""
        margin, width = self.em, max(1, area.width - 2 * self.em)
        self._words = max(20, int(width / (LETTER * self.em)))
        heights = [
            widget.calc_preferred_size(context, gui.Widget.Constraints()).height
            for widget in self.widgets
        ]
        x, top = area.x + margin, area.y + margin
        self._name.frame = gui.Rect(x, top, width, heights[0])
        self._facts.frame = gui.Rect(x, top + heights[0], width, heights[1])
        low = area.get_bottom() - margin - heights[3]
        self._progress.frame = gui.Rect(x, low, min(width, 16 * self.em), heights[3])
        self._news.frame = gui.Rect(x, low - heights[2], width, heights[2])

    def refresh(self) -> None:
        """Show the state of the controller."""
        facts = self.controller.facts()
        item = self.controller.item
        self._name.text = "" if item is None else display_name(item)
        self._facts.text = "\n".join(f"{label}: {value}" for label, value in facts[1:])
        self.show_message(self.controller.state.status)

    def show_message(self, text: str) -> None:
        """Show ``text``, or the hint if it is empty."""
        self._news.text_color = gui.Color(*(NEWS if text else FAINT))
        self._news.text = textwrap.fill(text or HINT, self._words)

    def show_busy(self, label: str, now: float) -> bool:
        """Show the current work, "" for none; True if the layout changed."""
        if label:
            # The duration is unknown: a moving bar shows that work is in progress.
            self._progress.value = (now / 1.5) % 1.0
            self.show_message(f"{label} ...")
        if bool(label) == self._progress.visible:
            return False
        self._progress.visible = bool(label)
        if not label:
            self.refresh()
        return True
