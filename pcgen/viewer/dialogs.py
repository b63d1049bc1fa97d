"""The dialogs of the window: export, and the list of keys."""

from __future__ import annotations

import functools
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from open3d.visualization import gui

from pcgen.viewer.captions import HINT
from pcgen.viewer.controller import Controller
from pcgen.viewer.descriptions import display_name
from pcgen.viewer.panel import button, faint
from pcgen.viewer.state import KEYS

# Key in the export dialog, its button, ending, whether the file holds the mesh.
EXPORTS = (
    ("1", "GLB", ".glb", True),
    ("2", "STL", ".stl", True),
    ("3", "OBJ", ".obj", True),
    ("4", "PLY", ".ply", True),
    ("5", "PLY", ".ply", False),
    ("6", "XYZ", ".xyz", False),
    ("7", "NPZ", ".npz", False),
)


class Dialogs:
    """At most one dialog over a window."""

    def __init__(
        self, window: Any, controller: Controller, large: int,
        act: Callable[..., None], closed: Callable[[], None],
    ) -> None:  # fmt: skip
        """
        Args:
            large: id of the font of titles.
            act: calls a function with arguments and reports its errors.
            closed: called when a dialog has closed.
        """
        self._window, self._controller, self._large = window, controller, large
        self._act, self._closed = act, closed
        self.em = window.theme.font_size
        self._keys: dict[str, Callable[[], None]] | None = None

    @property
    def is_open(self) -> bool:
        return self._keys is not None

    def press(self, key: str) -> None:
        """Run the command of a key in the open dialog; other keys close it."""
        act = (self._keys or {}).get(key)
        self.close()
        if act is not None:
            act()

    def close(self) -> None:
        self._keys = None
        self._window.close_dialog()
        self._closed()

    def ask_export(self) -> None:
        """A click or key writes a file to the current folder; "elsewhere" asks for a path."""
        item = self._controller.item
        if item is None:
            return
        name = re.sub(r"[^\w.-]+", "-", display_name(item))

        def chosen(ending: str, as_mesh: bool) -> None:
            self._act(self._controller.export, free_name(name, ending), as_mesh)

        acts: dict[str, Callable[[], None]] = {
            key: functools.partial(chosen, ending, as_mesh) for key, _, ending, as_mesh in EXPORTS
        }
        acts["E"] = self._ask_path
        column = self._column(f"Export {display_name(item)}")
        for title, wanted in (
            ("As a mesh, reconstructed from the points if needed", True),
            ("As points", False),
        ):
            column.add_child(faint(title))
            kinds = [(key, label) for key, label, _, as_mesh in EXPORTS if as_mesh == wanted]
            self._buttons(column, [(f"{label}  ({key})", acts[key]) for key, label in kinds])
        column.add_child(faint(f"into {textwrap.shorten(str(Path.cwd()), 60)}"))
        self._buttons(
            column, [("Elsewhere ...  (E)", self._ask_path), ("Cancel  (Esc)", lambda: None)]
        )
        self._show("Export", column, acts)

    def help(self) -> None:
        column = self._column("Keys")
        # One label per column, because Open3D computes twice the height for a grid of labels.
        row = gui.Horiz(round(1.5 * self.em))
        shown = [*((key, text) for key, _, text in KEYS), ("Esc", "close this, then the window")]
        half = (len(shown) + 1) // 2
        for block in (shown[:half], shown[half:]):
            for words in zip(*block, strict=True):
                row.add_child(gui.Label("\n".join(words)))
        column.add_child(row)
        column.add_child(faint(HINT.split(";")[0] + "."))
        self._buttons(column, [("Close", lambda: None)])
        self._show("Keys", column, {})

    def _ask_path(self) -> None:
        dialog = gui.FileDialog(gui.FileDialog.SAVE, "Export", self._window.theme)
        for ending in dict.fromkeys(ending for _, _, ending, _ in EXPORTS):
            dialog.add_filter(ending, ending)
        dialog.set_path(str(Path.cwd()))
        dialog.set_on_cancel(self.close)

        def chosen(path: str) -> None:
            self.close()
            self._act(self._controller.export, path)

        dialog.set_on_done(chosen)
        # The text field handles its keys.
        self._window.show_dialog(dialog)

    def _column(self, title: str) -> Any:
        column = gui.Vert(round(0.6 * self.em), gui.Margins(*[round(1.5 * self.em)] * 4))
        heading = gui.Label(title)
        heading.font_id = self._large
        column.add_child(heading)
        return column

    def _buttons(self, column: Any, buttons: list[tuple[str, Callable[[], None]]]) -> None:
        """A row of buttons that close the dialog, then act."""
        row = gui.Horiz(round(0.4 * self.em))
        for label, act in buttons:
            row.add_child(button(label, functools.partial(self._press_button, act)))
        column.add_child(row)

    def _press_button(self, act: Callable[[], None]) -> None:
        self.close()
        self._act(act)

    def _show(self, title: str, column: Any, keys: dict[str, Callable[[], None]]) -> None:
        dialog = gui.Dialog(title)
        dialog.add_child(column)
        self._keys = keys
        self._window.show_dialog(dialog)


def free_name(stem: str, ending: str) -> Path:
    """The first free name ``stem-001.ending``, … in the current folder."""
    number = 1
    while (path := Path(f"{stem}-{number:03d}{ending}")).exists():
        number += 1
    return path
