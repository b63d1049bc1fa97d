"""Show shapes in a window, or write pictures of them.

* :mod:`sources` opens a path: files are read one at a time, a run samples one shape per seed.
* :mod:`state` holds all settings and their keys; :mod:`controller` is the viewer without a window:
  commands, and what to draw. :mod:`descriptions` describes a shape; :mod:`derived_data` computes
  its mesh and nearest training shape, in a worker thread of :mod:`background`.
* :mod:`drawing` turns the state into arrays; :mod:`window` shows them in Open3D's GUI. The window
  runs in its own process (:mod:`window_process`) after a test in another (:mod:`graphics_probe`),
  because a graphics driver may crash.
* :mod:`stills` writes pictures, contact sheets and turntables without a window.
"""

from pcgen.viewer.show import show
from pcgen.viewer.sources import Selection
from pcgen.viewer.stills import stills

__all__ = ["Selection", "show", "stills"]
