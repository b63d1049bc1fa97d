"""The window: shapes on the screen, before reading anything.

In: the path of a run, a data set, a samples file, a mesh, a cloud or a folder of them. Out: a
window, or, where none can open, one line that says why and what to use instead.

* ``sources`` turns the path into shapes: files are read one at a time, a run draws one per seed,
  with its base points and the path of its flow.
* ``state`` holds what can be set, and the keys that set it.
* ``controller`` is the viewer without a window: commands, and what is to be drawn. ``facts``
  describes a shape in words; mesh and nearest training shape come from ``extras``. Long work runs
  through ``background`` (one worker thread; a newer request replaces an older one).
* ``drawing`` turns the state into arrays, ``window`` puts them into Open3D's GUI and calls the
  commands. ``graphics_probe`` tests in another process whether that can work, and the window itself
  runs in another (``window_process``), so that no driver ends the command.
* ``stills`` makes the same pictures without a window: PNG, contact sheets, turntables.
"""

from pcgen.viewer.show import show
from pcgen.viewer.stills import stills

__all__ = ["show", "stills"]
