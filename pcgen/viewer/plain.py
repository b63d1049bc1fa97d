"""The plain window, for machines without a graphics card: Open3D's OpenGL viewer and a few keys.

The full window (:mod:`pcgen.viewer.window`) stops drawing under software Vulkan with Open3D 0.20;
this one needs OpenGL alone. Turn with the mouse, N and P for the next and the previous shape or
seed, B for the base points, M for the mesh, S for a picture, Q to close.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pcgen.errors import BackendError
from pcgen.viewer.sources import FileSource, Item, Source

BLUE = (0.36, 0.55, 0.71)
SAND = (0.75, 0.66, 0.48)


class PlainWindow:
    """One shape at a time; ``index`` is its number in a file, or the seed of a run's."""

    def __init__(
        self, source: Source, name: str, *, index: int, steps: int, category: str | None
    ) -> None:
        import open3d

        self._open3d = open3d
        self.source, self.index = source, index
        self.steps, self.category = steps, category
        self.layer = "points"
        self.item: Item | None = None
        self.view = open3d.visualization.VisualizerWithKeyCallback()
        if not self.view.create_window(
            f"pcgen: {name} (N next, P previous, B base, M mesh)", 1100, 760
        ):
            raise BackendError("no window can be opened here; use pcgen gallery, or --png")
        keys = {
            "N": lambda: self.move(1),
            "P": lambda: self.move(-1),
            "B": lambda: self.show("base"),
            "M": lambda: self.show("mesh"),
            "S": self.save,
        }
        for key, action in keys.items():
            self.view.register_key_callback(ord(key), _callback(action))
        self.move(0)

    def move(self, by: int) -> None:
        """Show the next shape, the previous one, or this one again."""
        self.index += by
        if isinstance(self.source, FileSource):
            self.index %= len(self.source)
            self.item = self.source.load(self.index)
        else:
            self.index = max(0, self.index)
            self.item = self.source.draw(self.index, category=self.category, steps=self.steps)
        self.layer = "mesh" if self.item.mesh is not None else "points"
        self._draw()

    def show(self, layer: str) -> None:
        """Switch a layer on, or back to the points; one that the shape lacks changes nothing."""
        if self.item is not None and getattr(self.item, layer) is not None:
            self.layer = "points" if self.layer == layer else layer
            self._draw()

    def save(self) -> None:
        """A picture of the window beside the caller."""
        self.view.capture_screen_image(Path.cwd() / f"shape-{self.index}.png", True)

    def run(self) -> None:
        """Until the window is closed."""
        self.view.run()
        self.view.destroy_window()

    def _draw(self) -> None:
        assert self.item is not None
        self.view.clear_geometries()
        self.view.add_geometry(self._geometry(self.item))
        options = self.view.get_render_option()
        options.point_size, options.background_color = 4.0, np.array([0.97, 0.965, 0.955])
        options.mesh_show_back_face = True
        control = self.view.get_view_control()
        control.set_front([0.6, 0.35, 0.75])
        control.set_up([0.0, 1.0, 0.0])
        control.set_zoom(0.75)

    def _geometry(self, item: Item) -> Any:
        geometry, vector = self._open3d.geometry, self._open3d.utility.Vector3dVector
        if self.layer == "mesh" and item.mesh is not None:
            faces = self._open3d.utility.Vector3iVector(item.mesh.faces)
            mesh = geometry.TriangleMesh(vector(item.mesh.vertices), faces)
            mesh.compute_vertex_normals()
            mesh.paint_uniform_color(BLUE)
            return mesh
        base = self.layer == "base" and item.base is not None
        cloud = geometry.PointCloud(vector(np.asarray(item.base if base else item.points, float)))
        if base or item.normals is None:
            cloud.paint_uniform_color(SAND if base else BLUE)
        else:
            # Lit from above by hand: OpenGL's light wants signed normals, and these have no sign.
            lit = 0.45 + 0.55 * np.abs(item.normals @ np.array([0.3, 0.85, 0.43]))
            cloud.colors = vector(np.clip(lit[:, None] * np.array(BLUE) * 1.25, 0, 1))
        return cloud


def _callback(action: Callable[[], None]) -> Callable[[Any], bool]:
    """What Open3D calls with the visualiser; true asks for a redraw."""

    def pressed(_: Any) -> bool:
        action()
        return True

    return pressed
