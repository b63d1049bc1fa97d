"""Write meshes as 3MF, the format of slicers that states its unit.

trimesh writes it too, but always in millimetres, with new random names each time, and by lxml.
Here equal meshes give equal bytes. 3MF Core Specification 1.3, sections 3 and 4.
"""

from __future__ import annotations

import io
import zipfile
from xml.sax.saxutils import quoteattr

import numpy as np

from pcgen.errors import InputError
from pcgen.shapes.formats.threemf import CORE
from pcgen.shapes.mesh_files import Mesh, far_offset

UNITS = {"mm": "millimeter", "cm": "centimeter", "m": "meter", "in": "inch", "ft": "foot"}
"""The units that a file can state, by the names that commands use."""

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_MODEL = "3D/3dmodel.model"
_PARTS = {
    "[Content_Types].xml": (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="model" '
        'ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/></Types>'
    ),
    "_rels/.rels": (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Target="/{_MODEL}" Id="rel0" '
        'Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>'
    ),
}


def write_3mf(mesh: Mesh, unit: str = "mm", name: str = "mesh") -> bytes:
    """One mesh, with +Z up and vertices in ``unit``, as the content of a file.

    A mesh far from the origin keeps its precision by the transform of its item.

    Raises:
        InputError: an unknown unit.
    """
    if unit not in UNITS:
        raise InputError(f"the unit of a 3MF file is one of {', '.join(UNITS)}, got {unit!r}")
    offset = far_offset(mesh.used_vertices()) if len(mesh.faces) else np.zeros(3)
    local = mesh.vertices - offset
    corners = "".join(f'<vertex x="{x:.9g}" y="{y:.9g}" z="{z:.9g}"/>' for x, y, z in local)
    place = f' transform="1 0 0 0 1 0 0 0 1 {" ".join(f"{x:.17g}" for x in offset)}"'
    sides = "".join(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in mesh.faces)
    model = (
        f'<model unit="{UNITS[unit]}" xml:lang="en-US" xmlns="{CORE}"><resources>'
        f'<object id="1" type="model" name={quoteattr(name)}><mesh><vertices>{corners}</vertices>'
        f"<triangles>{sides}</triangles></mesh></object></resources>"
        f'<build><item objectid="1"{place if offset.any() else ""}/></build></model>'
    )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for part, text in {**_PARTS, _MODEL: model}.items():
            info = zipfile.ZipInfo(part)  # dated 1980: equal meshes, equal bytes
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, _HEAD + text)
    return content.getvalue()
