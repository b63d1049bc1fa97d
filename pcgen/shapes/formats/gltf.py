"""glTF 2.0, as text or GLB: the triangles that its scene shows, in world coordinates.

It supports nodes, instances, skins at rest, morph weights, sparse, normalised and quantised
accessors, strips and fans; compressed geometry is refused. An unknown extension that may change the
shape is refused if the file requires it, and else noted; extensions for appearance are ignored.
"""

from __future__ import annotations

import base64
import binascii
import re
import urllib.parse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError, MeshError
from pcgen.files import parse_json
from pcgen.shapes.formats.polygons import check_range, joined
from pcgen.shapes.formats.raw import RawShape, Sibling

Floats = NDArray[np.float64]

#: More numbers in one accessor without data, or corners in one scene, are refused.
LIMIT = 150_000_000

_KINDS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_INSTANCES = "EXT_mesh_gpu_instancing"
_DRACO = "KHR_draco_mesh_compression"
_SUPPORTED = {"KHR_mesh_quantization", _INSTANCES, "KHR_node_visibility", "MSFT_lod"}
_COMPRESSED = {_DRACO, "EXT_meshopt_compression", "KHR_meshopt_compression"}
# Extensions for materials, textures, lights, metadata and behaviour, which do not change the shape.
_HARMLESS = re.compile(
    r"(?:KHR|EXT|ADOBE|NV|WEB3D|AGI|ASOBO|CESIUM|MPEG|FB|MSFT|MOZ|OMI|GODOT|GRIFFEL)_"
    r"(?:.*(?:material|texture|light|image|sound|audio|xmp|metadata|feature|animation|interactiv|"
    r"physics|collision|rigid|shape|select|hover|outline|ngon|manifold|environment|anchor|link|"
    r"spawn|avatar|packing|techniques).*)|VRM.*"
)


def read_gltf(data: bytes, sibling: Sibling | None = None) -> RawShape:
    """All triangles of the default scene, or its points if it has nothing else.

    Raises:
        MeshError: damaged, compressed, version 1, or an unknown feature that changes the shape.
    """
    try:
        with np.errstate(all="ignore"):
            return _Scene(*_split(data), sibling).read()
    except (MeshError, InputError, MemoryError):
        raise
    except (
        KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError,
        RecursionError, ArithmeticError,
    ) as error:  # fmt: skip
        reason = f"{type(error).__name__}: {error}"[:200]
        raise MeshError(f"not a readable glTF file ({reason})") from None


def _split(data: bytes) -> tuple[dict[str, Any], bytes | None]:
    """The tree, and the binary part of a GLB."""
    text, binary = data, None
    if data[:4] == b"glTF":
        if int.from_bytes(data[4:8], "little") != 2:
            raise MeshError("not a readable glTF file: a GLB of version 1; export it as glTF 2.0")
        length = int.from_bytes(data[12:16], "little")
        if data[16:20] != b"JSON" or len(data) < 20 + length:
            raise MeshError("not a readable glTF file: it is truncated")
        text, rest = data[20 : 20 + length], data[20 + length :]
        if rest[4:8] == b"BIN\0":
            binary = rest[8 : 8 + int.from_bytes(rest[:4], "little")]
    try:
        tree = parse_json(text)
        version = str(tree["asset"]["version"]) if "asset" in tree else "2"
    except (ValueError, AttributeError, RecursionError, TypeError, KeyError):
        raise MeshError("not a readable glTF file: its JSON part is damaged") from None
    if not isinstance(tree, dict):
        raise MeshError("not a readable glTF file: its JSON part is not an object")
    if not version.startswith("2"):
        raise MeshError(f"glTF of version {version[:20]}; export it as glTF 2.0")
    return tree, binary


def _compressed(name: str) -> MeshError:
    return MeshError(
        f"its geometry is compressed with {name}; decode it with: gltf-transform cp IN OUT.glb"
    )


class _Scene:
    def __init__(self, tree: dict[str, Any], binary: bytes | None, sibling: Sibling | None) -> None:
        self._tree, self._binary, self._sibling = tree, binary, sibling
        self._buffers: dict[int, bytes] = {}
        self._worlds: dict[int, Floats] = {}
        self._notes: list[str] = []
        self._meshes: list[tuple[Floats, NDArray[np.int64]]] = []
        self._points: list[tuple[Floats, Floats | None]] = []
        self._lines = 0
        self._size = 0

    def read(self) -> RawShape:
        self._check_extensions()
        nodes = self._list("nodes")
        self._parent: dict[int, int] = {}
        for number, node in enumerate(nodes):
            for child in node.get("children", ()):
                if child in self._parent:
                    raise MeshError("not a readable glTF file: a node has two parents")
                self._parent[child] = number
        for number in self._shown():
            if "mesh" in nodes[number]:
                self._show(number)
        if self._lines:
            self._notes.append(f"{self._lines} parts of the glTF file are lines; left out")
        return self._whole()

    def _whole(self) -> RawShape:
        if self._meshes:
            if self._points:
                self._notes.append(f"{len(self._points)} parts are points; left out")
            return RawShape(*joined(self._meshes), notes=tuple(self._notes))
        if self._points:
            normals = [normal for _, normal in self._points if normal is not None]
            whole = len(normals) == len(self._points)
            return RawShape(
                np.concatenate([points for points, _ in self._points]),
                normals=np.concatenate(normals) if whole else None,
                notes=tuple(self._notes),
            )
        lines = ": it is made of lines" if self._lines else ": its scene shows no mesh"
        raise MeshError(f"no faces{lines}")

    def _check_extensions(self) -> None:
        required = {str(name) for name in self._tree.get("extensionsRequired") or ()}
        used = {str(name) for name in self._tree.get("extensionsUsed") or ()}
        parts = [part for mesh in self._list("meshes") for part in mesh.get("primitives", ())]
        for owner in (*self._list("nodes"), *parts):  # where they change the shape
            used.update(owner.get("extensions", {}))
        for name in sorted(required | used):
            if name in _SUPPORTED or _HARMLESS.fullmatch(name):
                continue
            if name in _COMPRESSED:
                if name in required:
                    raise _compressed(name)
            elif name in required:
                raise MeshError(f"it requires the extension {name}, which is not understood")
            else:
                self._notes.append(f"the extension {name} is not understood")

    def _shown(self) -> list[int]:
        """The visible nodes of the default scene."""
        nodes, scenes = self._list("nodes"), self._list("scenes")
        roots = [number for number in range(len(nodes)) if number not in self._parent]
        if scenes:
            roots = scenes[self._tree.get("scene", 0)].get("nodes", [])
            if len(scenes) > 1:
                self._notes.append(f"{len(scenes) - 1} scenes beside the default one; left out")
        elif nodes and not roots:
            raise MeshError("not a readable glTF file: its nodes form a cycle")
        extensions = [node.get("extensions", {}) for node in nodes]
        coarse = {n for own in extensions for n in own.get("MSFT_lod", {}).get("ids", ())}
        found, waiting = [], list(reversed(roots))
        hidden, coarser = 0, len(coarse.intersection(range(len(nodes))))
        seen = set(coarse)  # some programs list children among the roots too
        while waiting:
            number = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            node = nodes[number]
            if extensions[number].get("KHR_node_visibility", {}).get("visible", True) is False:
                hidden += 1
                continue
            found.append(number)
            waiting += reversed(node.get("children", []))
        if hidden:
            self._notes.append(f"{hidden} nodes of the glTF file are invisible; left out")
        if coarser:
            self._notes.append(f"{coarser} nodes are coarser levels of detail; left out")
        return found

    def _show(self, number: int) -> None:
        """Add the mesh of a node, once per instance."""
        node = self._list("nodes")[number]
        mesh = self._list("meshes")[node["mesh"]]
        weights = node.get("weights", mesh.get("weights", ()))
        places = self._places(number)
        for part in mesh["primitives"]:
            attributes = part["attributes"]
            if "POSITION" not in attributes:
                self._notes.append("a part of the glTF file has no positions; left out")
                continue
            self._check_compressed(part)
            local = self._accessor(attributes["POSITION"]).astype(np.float64)
            if local.shape[1] != 3:
                raise MeshError("not a readable glTF file: positions must be VEC3")
            local = self._morphed(local, part, weights)
            mode, corners = part.get("mode", 4), self._corners(part, len(local))
            if mode in (1, 2, 3):
                self._lines += 1
                continue
            joints = self._joints(attributes, node)
            self._size += len(places if joints is None else [0]) * max(len(corners), len(local))
            if self._size > LIMIT:
                raise MeshError(f"its instances make more than {LIMIT} corners; too many to read")
            triangles = None if mode == 0 else _triangles(corners, mode)
            if mode == 4 and (rest := len(corners) % 3):
                self._notes.append(f"{rest} corners after the last triangle; left out")
            for moved, linear in (
                [(_bent(local, *joints), _mean_linear(*joints))]
                if joints is not None
                else [(_moved(local, place), place[:3, :3]) for place in places]
            ):
                if triangles is None:
                    turned = self._normals(attributes, linear)
                    self._points.append(
                        (moved[corners], None if turned is None else turned[corners])
                    )
                elif len(triangles):
                    mirror = np.linalg.det(linear) < 0
                    self._meshes.append((moved, triangles[:, ::-1] if mirror else triangles))

    def _normals(self, attributes: dict[str, int], linear: Floats) -> Floats | None:
        if "NORMAL" not in attributes:
            return None
        try:
            turned: Floats = self._accessor(attributes["NORMAL"]) @ np.linalg.inv(linear)
        except np.linalg.LinAlgError:
            return None
        return turned

    def _check_compressed(self, part: dict[str, Any]) -> None:
        """Refuse a part that has compressed data only, without a fallback."""
        numbers = [part["attributes"]["POSITION"], part.get("indices")]
        accessors = [self._list("accessors")[n] for n in numbers if n is not None]
        if _DRACO in part.get("extensions", {}) and any("bufferView" not in a for a in accessors):
            raise _compressed(_DRACO)

    def _corners(self, part: dict[str, Any], count: int) -> NDArray[np.int64]:
        if "indices" not in part:
            return np.arange(count)
        corners = self._accessor(part["indices"], exact=True).ravel().astype(np.int64)
        check_range(corners, count)
        return corners

    def _morphed(self, local: Floats, part: dict[str, Any], weights: Any) -> Floats:
        targets = part.get("targets", ())
        if len(weights) > len(targets):
            raise MeshError(f"{len(weights)} morph weights for {len(targets)} morph targets")
        for weight, target in zip(weights, targets, strict=False):
            if weight and "POSITION" in target:
                local = local + float(weight) * self._accessor(target["POSITION"])
        return local

    def _joints(
        self, attributes: dict[str, int], node: dict[str, Any]
    ) -> tuple[NDArray[np.int64], Floats, Floats] | None:
        """Joint numbers (V, k), weights (V, k) and matrices (J, 4, 4) of a skinned part."""
        sets = [k for k in range(8) if f"JOINTS_{k}" in attributes]
        if "skin" not in node or not sets:
            return None
        skin = self._list("skins")[node["skin"]]
        worlds = np.stack([self._world(joint) for joint in skin["joints"]])
        if "inverseBindMatrices" in skin:
            inverse = self._accessor(skin["inverseBindMatrices"])[: len(worlds)]
            worlds = worlds @ inverse.reshape(-1, 4, 4).transpose(0, 2, 1)
        chosen = [self._accessor(attributes[f"JOINTS_{k}"], exact=True) for k in sets]
        weights = [self._accessor(attributes[f"WEIGHTS_{k}"]) for k in sets]
        joints, shares = np.concatenate(chosen, 1).astype(np.int64), np.concatenate(weights, 1)
        if joints.max(initial=0) >= len(worlds):
            raise MeshError(f"joint {joints.max()} is out of range: the skin has {len(worlds)}")
        shares[~(shares.sum(1) > 0), 0] = 1.0  # as viewers place what hangs on nothing
        return joints, shares / shares.sum(1, keepdims=True), worlds

    def _places(self, number: int) -> list[Floats]:
        """The world matrix of a node, or one per instance."""
        world = self._world(number)
        instancing = self._list("nodes")[number].get("extensions", {}).get(_INSTANCES)
        if instancing is None:
            return [world]
        given = instancing.get("attributes", {})
        names = ("TRANSLATION", "ROTATION", "SCALE")
        found = [self._accessor(given[name]) if name in given else None for name in names]
        count = {len(values) for values in found if values is not None}
        if len(count) != 1 or max(count) > LIMIT // 100:
            raise MeshError(f"{_INSTANCES} with lists of different lengths, or none")
        return [
            world @ _matrix(*(None if values is None else values[k] for values in found))
            for k in range(max(count))
        ]

    def _world(self, number: int) -> Floats:
        """The world matrix of a node, from its parents; cycles are refused."""
        chain = []
        above: int | None = number
        while above is not None and above not in self._worlds:
            chain.append(above)
            if len(chain) > len(self._list("nodes")):
                raise MeshError("not a readable glTF file: its nodes form a cycle")
            above = self._parent.get(above)
        world = np.eye(4) if above is None else self._worlds[above]
        for one in reversed(chain):
            node = self._list("nodes")[one]
            if "matrix" in node:
                own = np.array(node["matrix"], np.float64).reshape(4, 4).T
            else:
                own = _matrix(node.get("translation"), node.get("rotation"), node.get("scale"))
            world = self._worlds[one] = world @ own
        return world

    def _accessor(self, number: int, exact: bool = False) -> NDArray[Any]:
        """The numbers of an accessor, (count, width); float64 unless ``exact``."""
        accessor = self._list("accessors")[number]
        kind, width = np.dtype(_KINDS[accessor["componentType"]]), _WIDTHS[accessor["type"]]
        count = int(accessor["count"])
        if count < 0 or count * width > LIMIT:
            raise MeshError(f"an accessor of {count} needs more memory than one file may take")
        if "bufferView" in accessor:
            start = accessor.get("byteOffset", 0)
            values = self._view(accessor["bufferView"], start, kind, count, width)
        else:
            values = np.zeros((count, width), kind)
        sparse = accessor.get("sparse")
        if sparse:
            values = np.array(values)
            some, place, new = int(sparse["count"]), sparse["indices"], sparse["values"]
            where = np.dtype(_KINDS[place["componentType"]])
            rows = self._view(place["bufferView"], place.get("byteOffset", 0), where, some, 1)
            check_range(rows.astype(np.int64), count)
            values[rows[:, 0]] = self._view(
                new["bufferView"], new.get("byteOffset", 0), kind, some, width
            )
        if exact:
            return values
        floats: Floats = values.astype(np.float64)
        if accessor.get("normalized") and kind.kind != "f":
            floats = np.maximum(floats / np.iinfo(kind).max, -1.0)
        return floats

    def _view(
        self, number: int, start: int, kind: np.dtype[Any], count: int, width: int
    ) -> NDArray[Any]:
        view = self._list("bufferViews")[number]
        for name in _COMPRESSED & view.get("extensions", {}).keys():
            if self._list("buffers")[view["buffer"]].get("uri") is None and view["buffer"] > 0:
                raise _compressed(name)
        buffer = self._buffer(view["buffer"])
        size = kind.itemsize * width
        stride = int(view.get("byteStride") or size)
        begin = int(view.get("byteOffset", 0)) + int(start)
        end = begin + (count - 1) * stride + size
        within = int(start) + (count - 1) * stride + size <= int(view["byteLength"])
        if begin < 0 or stride < 1 or count < 0:
            raise MeshError("not a readable glTF file: an offset below zero")
        if count and (end > len(buffer) or not within):
            raise MeshError("not a readable glTF file: an accessor goes beyond its buffer")
        if not count:
            return np.zeros((0, width), kind)
        return np.ndarray((count, width), kind, buffer, begin, (stride, kind.itemsize))

    def _buffer(self, number: int) -> bytes:
        if number not in self._buffers:
            uri = self._list("buffers")[number].get("uri")
            if uri is None:
                if self._binary is None or number:
                    raise MeshError("not a readable glTF file: a buffer has no data")
                self._buffers[number] = self._binary
            elif str(uri).startswith("data:"):
                self._buffers[number] = _inline(str(uri))
            elif self._sibling is None:
                raise MeshError(f"it needs the file {uri}, which cannot be found from here")
            else:
                name = urllib.parse.unquote(str(uri)).replace("\\", "/")
                self._buffers[number] = self._sibling(name)
        return self._buffers[number]

    def _list(self, name: str) -> list[Any]:
        found = self._tree.get(name, [])
        if not isinstance(found, list):
            raise MeshError(f"not a readable glTF file: {name} is not a list")
        return found


def _inline(uri: str) -> bytes:
    """The bytes of a data URI."""
    kind, _, text = uri.partition(",")
    data = urllib.parse.unquote_to_bytes(text)
    if not kind.endswith(";base64"):
        return data
    try:
        data = data.translate(bytes.maketrans(b"-_", b"+/"))  # those of the URL-safe alphabet
        return base64.b64decode(data + b"=" * (-len(data) % 4))
    except (binascii.Error, ValueError):
        raise MeshError("not a readable glTF file: a data URI is damaged") from None


def _triangles(corners: NDArray[np.int64], mode: Any) -> NDArray[np.int64]:
    """Corner numbers of triangles (4), a strip (5) or a fan (6) as (F, 3)."""
    if mode == 4:
        return corners[: len(corners) // 3 * 3].reshape(-1, 3)
    k = np.arange(max(len(corners) - 2, 0))
    if mode == 5:
        return np.stack([corners[k], corners[k + 1 + k % 2], corners[k + 2 - k % 2]], 1)
    if mode == 6:
        return np.stack([corners[k + 1], corners[k + 2], corners[np.zeros_like(k)]], 1)
    raise MeshError(f"the primitive mode {mode!r} is unknown; it must be 0 to 6")


def _matrix(translation: Any, rotation: Any, scale: Any) -> Floats:
    """Translation · rotation · scale, (4, 4); a rotation is a quaternion (x, y, z, w)."""
    whole = np.eye(4)
    if rotation is not None:
        x, y, z, w = np.asarray(rotation, np.float64) / (np.linalg.norm(rotation) or 1.0)
        whole[:3, :3] = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    if scale is not None:
        whole[:3, :3] *= np.asarray(scale, np.float64).reshape(1, 3)
    if translation is not None:
        whole[:3, 3] = np.asarray(translation, np.float64).reshape(3)
    return whole


def _moved(local: Floats, place: Floats) -> Floats:
    moved: Floats = local @ place[:3, :3].T + place[:3, 3]
    return moved


def _bent(local: Floats, joints: NDArray[np.int64], shares: Floats, worlds: Floats) -> Floats:
    """Linear blend skinning: each vertex by the mean of its joints' matrices."""
    bent = np.zeros_like(local)
    for k in range(joints.shape[1]):
        used = np.flatnonzero(shares[:, k])
        own = worlds[joints[used, k]]
        moved = np.einsum("vij,vj->vi", own[:, :3, :3], local[used]) + own[:, :3, 3]
        bent[used] += shares[used, k, None] * moved
    return bent


def _mean_linear(joints: NDArray[np.int64], shares: Floats, worlds: Floats) -> Floats:
    weight = np.bincount(joints.ravel(), shares.ravel(), len(worlds))
    mean: Floats = np.einsum("j,jik->ik", weight, worlds[:, :3, :3]) / max(weight.sum(), 1e-30)
    return mean
