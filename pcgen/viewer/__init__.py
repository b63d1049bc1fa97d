"""The window: look at shapes before reading anything.

A path enters: a run, a data set, a samples file, a mesh, a cloud or a folder of them. A window
opens, or, where none can, one line that says why and what to use instead.

* ``sources`` turn the path into shapes: files are read one at a time, a run draws one per seed,
  with its base points and the path of its flow.
* ``state`` is what can be set and by which keys.
* ``controller`` is the viewer without a window: commands, and what is to be drawn.
  What it knows of a shape is put into words by ``facts``; mesh and nearest training shape come
  from ``extras``.
  It runs long work through ``background`` (one worker thread; a newer wish replaces an older one).
* ``drawing`` turns its state into arrays, ``window`` puts them into Open3D's GUI and calls the
  commands; ``graphics_probe`` asks in a process of its own whether that can work, and the window
  itself is in another (``window_process``), so that no driver takes the command down.
* ``stills`` makes the same pictures without a window: PNG, contact sheets, turntables.
"""

from pcgen.viewer.show import show
from pcgen.viewer.stills import stills

__all__ = ["show", "stills"]
