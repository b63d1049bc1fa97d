"""3MF: the objects that its build section places, in millimetres.

It supports units, components, transforms, and models in several parts. Objects for support and
other purposes are left out and counted; other required extensions are refused by name. Sources: 3MF
Core Specification 1.3, sections 3 and 4; Production Extension 1.1. docs/notes/data.md compares
trimesh's reader.
"""

from __future__ import annotations

import io
import posixpath
import zipfile
from dataclasses import dataclass, field
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError
from pcgen.shapes.arrays import ARCHIVE_ERRORS, archive_fault
from pcgen.shapes.formats.polygons import check_range, joined
from pcgen.shapes.formats.raw import RawShape, Sibling

Floats = NDArray[np.float64]

CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
MILLIMETRES = {
    "micron": 0.001, "millimeter": 1.0, "centimeter": 10.0, "inch": 25.4, "foot": 304.8,
    "meter": 1000.0,
}  # fmt: skip
_PRODUCTION = "http://schemas.microsoft.com/3dmanufacturing/production/2015/06"
#: Extensions that do not change the shape, or are supported.
_KNOWN = (
    CORE, _PRODUCTION,
    "http://schemas.microsoft.com/3dmanufacturing/material/2015/02",
    "http://schemas.microsoft.com/3dmanufacturing/trianglesets/2021/07",
)  # fmt: skip
#: Kinds of objects that are printed. BambuStudio calls its modifiers "other".
_SOLID = ("model", "surface")
_UNPACKED = 2**31  # bytes
_LIMIT = 50_000_000  # vertices of all placed objects; each object counts as 100 more
_DEPTH = 100  # of components in components


class _Place(NamedTuple):
    part: str  # the file that holds the object
    name: str
    matrix: Floats  # (4, 4) for row vectors


@dataclass
class _Object:
    kind: str = "model"
    vertices: Floats = field(default_factory=lambda: np.zeros((0, 3)))
    faces: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    components: list[_Place] = field(default_factory=list)


@dataclass
class _Model:
    unit: str = "millimeter"
    objects: dict[str, _Object] = field(default_factory=dict)
    build: list[_Place] = field(default_factory=list)


def read_3mf(data: bytes, sibling: Sibling | None = None) -> RawShape:
    """The triangles of all placed objects, in millimetres, with +Z up as in the file.

    Raises:
        MeshError: damaged, or a required extension that changes the shape.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if fault := archive_fault(archive, _UNPACKED):
                raise MeshError(fault)
            return _ObjectReader(archive).read()
    except (*ARCHIVE_ERRORS, ElementTree.ParseError, LookupError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise MeshError(f"not a readable 3MF file ({reason})") from None


class _ObjectReader:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = {name.lower(): name for name in archive.namelist()}
        self._models: dict[str, _Model] = {}
        self._meshes: list[tuple[Floats, NDArray[np.int64]]] = []
        self._strange: set[str] = set()
        self._others = self._size = 0

    def read(self) -> RawShape:
        root = self._root()
        model = self._model(root)
        if model.unit not in MILLIMETRES:
            raise MeshError(f"its unit {model.unit!r} is none of {', '.join(MILLIMETRES)}")
        for place in model.build:
            self._put(place, 0)
        if not self._meshes:
            listed = f"{len(model.objects)} objects, and its build section places none of them"
            raise MeshError(f"no faces: the 3MF file has {listed}")
        notes = [f"elements of {name} are not understood" for name in sorted(self._strange)]
        if self._others:
            notes.append(f"{self._others} objects are for support or other purposes; left out")
        if modifiers := self._modifiers():
            notes.append(f"{modifiers} parts are modifiers of the slicer; read like the others")
        if model.unit != "millimeter":
            notes.append(f"its unit is the {model.unit}; it is read in millimetres")
        vertices, faces = joined(self._meshes)
        return RawShape(vertices * MILLIMETRES[model.unit], faces, notes=tuple(notes))

    def _modifiers(self) -> int:
        """The parts that PrusaSlicer's own table calls modifiers."""
        name = self._names.get("metadata/slic3r_pe_model.config")
        return self._archive.read(name).count(b'key="modifier" value="1"') if name else 0

    def _root(self) -> str:
        """The model that the package names, or the one at the usual place."""
        if "_rels/.rels" in self._names:
            for link in ElementTree.fromstring(self._text("_rels/.rels")):
                if link.get("Type", "").endswith("/3dmodel"):
                    return link.attrib["Target"]
        return "3D/3dmodel.model"

    def _text(self, name: str) -> bytes:
        place = posixpath.normpath(name.replace("\\", "/")).lstrip("/").lower()
        if place not in self._names:
            raise MeshError(f"not a readable 3MF file: it refers to {name}, which is not in it")
        text = self._archive.read(self._names[place])
        if b"<!DOCTYPE" in text:
            raise MeshError("not a readable 3MF file: it has a DOCTYPE, which 3MF forbids")
        return text

    def _model(self, part: str) -> _Model:
        if part in self._models:
            return self._models[part]
        model, found = _Model(), _Object()
        prefixes: dict[str, str] = {}
        corners: list[list[float]] = []
        sides: list[list[int]] = []
        text = io.BytesIO(self._text(part))
        for event, value in ElementTree.iterparse(text, ("start-ns", "end")):
            if event == "start-ns":
                prefixes[value[0]] = value[1]
                continue
            own = value.attrib
            space, _, tag = value.tag[1:].rpartition("}")
            if tag == "vertex":
                corners.append([float(own["x"]), float(own["y"]), float(own["z"])])
            elif tag == "triangle":
                sides.append([int(own["v1"]), int(own["v2"]), int(own["v3"])])
            elif space not in _KNOWN:
                self._strange.add(space)
            elif tag == "mesh":
                found.vertices = np.array(corners, np.float64).reshape(-1, 3)
                found.faces = np.array(sides, np.int64).reshape(-1, 3)
                corners, sides = [], []
            elif tag == "component":
                found.components.append(_place(own, part))
            elif tag == "object":
                found.kind = own.get("type", "model")
                model.objects[own["id"]], found = found, _Object()
            elif tag == "item":
                model.build.append(_place(own, part))
            elif tag == "model":
                model.unit = own.get("unit", "millimeter")
                _check_required(own.get("requiredextensions", ""), prefixes)
            value.clear()
        self._models[part] = model
        return model

    def _put(self, place: _Place, depth: int) -> None:
        """Add an object and its components."""
        found = self._model(place.part).objects.get(place.name)
        if found is None:
            raise MeshError(f"not a readable 3MF file: it has no object {place.name!r}")
        if found.kind not in _SOLID:
            self._others += 1
            return
        self._size += 100 + len(found.vertices)
        if depth > _DEPTH or self._size > _LIMIT:
            raise MeshError("its components contain themselves, or are too many to read")
        if len(found.faces):
            check_range(found.faces, len(found.vertices))
            linear = place.matrix[:3, :3]
            faces = found.faces[:, ::-1] if np.linalg.det(linear) < 0 else found.faces
            self._meshes.append((found.vertices @ linear + place.matrix[3, :3], faces))
        for part in found.components:
            self._put(part._replace(matrix=part.matrix @ place.matrix), depth + 1)


def _check_required(required: str, prefixes: dict[str, str]) -> None:
    for prefix in required.split():
        space = prefixes.get(prefix, prefix)
        if space not in _KNOWN:
            raise MeshError(f"it requires the extension {space}, which is not understood")


def _place(attributes: dict[str, str], part: str) -> _Place:
    matrix = np.eye(4)
    if "transform" in attributes:
        numbers = np.array(attributes["transform"].split(), np.float64)
        matrix[:, :3] = numbers.reshape(4, 3)
    path = attributes.get(f"{{{_PRODUCTION}}}path", part)
    return _Place(path, attributes["objectid"], matrix)
