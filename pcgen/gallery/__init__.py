"""Make the gallery: a static page of shapes that opens from disk, without network or server.

* :func:`build` writes the page of samples, with their nearest training shapes, parents, meshes, an
  interpolation and learning curves; :func:`gallery` collects these from a path.
* :mod:`preview` is the page that a training refreshes with what it has learned so far.
* ``index.html`` embeds style, scripts, pictures and quantised clouds. ``meshes/`` holds the mesh
  files, ``view/`` simplified ones, which the page loads on demand.
* Samples are shown in the order sampled, without selection. Pictures are rendered in advance
  (:mod:`pcgen.render`); one three.js renderer draws what a visitor rotates, with the ambient
  occlusion of :mod:`web_geometry`, or a painter's algorithm without WebGL.
"""

from pcgen.gallery.build import build
from pcgen.gallery.contact import contact_sheet
from pcgen.gallery.curves import read_curves
from pcgen.gallery.from_path import gallery
from pcgen.gallery.meshes import MeshFiles, find_meshes
from pcgen.gallery.parents import Parent

__all__ = [
    "MeshFiles",
    "Parent",
    "build",
    "contact_sheet",
    "find_meshes",
    "gallery",
    "read_curves",
]
