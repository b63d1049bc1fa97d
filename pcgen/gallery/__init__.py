"""The gallery: one page that opens from disk, with no network and no server.

Samples enter, with whatever is known beside them: the nearest training shape of each, mesh files
with their reports, a path between two shapes, learning curves. A folder leaves:

* ``index.html`` with style, scripts, pictures and quantised clouds inside, so that it opens by a
  double click and travels as one file;
* ``meshes/`` with the mesh files to download, and ``view/`` with the same meshes simplified for
  display, which the page loads when somebody asks to see one.

Samples are shown in the order in which they were drawn, none left out: the page is evidence, not
advertisement. Pictures come ready with the page (:mod:`pcgen.render`); only what a visitor turns
is drawn live, by one three.js renderer for all (``static/scene.js``, under the same light as the
pictures, with the occlusion of the sky baked in by :mod:`pcgen.gallery.web_geometry`), and by a
painter's algorithm where a browser has no WebGL. So a page with hundreds of shapes is as quick as
one.
"""

from pcgen.gallery.build import build
from pcgen.gallery.contact import contact_sheet
from pcgen.gallery.curves import read_curves
from pcgen.gallery.from_path import gallery
from pcgen.gallery.meshes import MeshFiles, find_meshes

__all__ = ["MeshFiles", "build", "contact_sheet", "find_meshes", "gallery", "read_curves"]
