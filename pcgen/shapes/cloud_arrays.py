"""Read ``.npy``, ``.npz``, PyTorch and HDF5 files of one cloud or of many.

An array (P, 3) is one cloud, (N, P, 3) are many. Of six columns, the last three are normals if they
have unit length; else they are left out with a note. In the same file or group, ``normal`` holds
normals and ``label`` classes; colours are ignored.
"""

from __future__ import annotations

import functools
import os
import posixpath
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError, MeshError
from pcgen.shapes.arrays import ARCHIVE_ERRORS, ARRAY_LIMIT, archive_fault, read_npy, read_npz
from pcgen.shapes.clouds import Cloud, Faulty, FileContent, OpenedShape, clean_cloud
from pcgen.shapes.formats.text import unit_rows
from pcgen.shapes.samples import Samples
from pcgen.shapes.sandbox import read_sandboxed
from pcgen.shapes.split_names import split_in, without_split

if TYPE_CHECKING:
    from torch import Tensor

Arrays = dict[str, NDArray[Any]]
Shapes = Mapping[str, tuple[int, ...]]
#: Common names of arrays of clouds; of several arrays in a file, the first of these is used.
POINTS = (
    "points", "data", "point_cloud", "pointcloud", "point_clouds", "pointclouds", "pc", "pcd",
    "pcs", "xyz", "pos", "clouds", "vertices", "surface_points", "samples", "x", "arr_0",
)  # fmt: skip
LABELS = ("label", "labels", "cls", "class", "classes", "category", "categories", "y")
_NORMAL = re.compile(r".*normals?|nrm|n")
_COLOUR = re.compile(r".*colou?rs?|.*rgbs?|scores")
#: Arrays with one row per point.
_NO_POINTS = re.compile(rf"{_NORMAL.pattern}|{_COLOUR.pattern}")
#: Arrays of completion data sets, such as MVP's ``incomplete_pcds`` and ``complete_pcds``.
_PARTIAL = re.compile(r"(?:^|[/_])(?:partial|incomplete)", re.IGNORECASE)
_WHOLE = re.compile(r"(?:^|[/_])(?:complete|gt|ground_?truth)", re.IGNORECASE)
_FACES = ("faces", "face", "triangles", "tris")
#: If a file has one of these, its points are samples of space, not of a surface.
_SPACE = ("occupancies", "occupancy", "occ", "sdf", "sdfs")
_SHOWN = 8  # arrays in a message
_COMPRESSION_LIMIT = 1000  # largest credible ratio of the size in a header to the file size


@dataclass(frozen=True)
class CloudArray:
    """One array of clouds, found by its header.

    Attributes:
        array: its name in the file, with groups; shape: (P, C) or (N, P, C).
        normals: the name of the array of its normals, or None.
        labels: the class of each cloud, by number or name, if the file has them.
        partial: number of arrays of partial shapes beside it, which are left out.
        left: other arrays beside it, which are left out, with their shapes.
    """

    array: str
    shape: tuple[int, ...]
    normals: str | None = None
    labels: tuple[int | str, ...] = ()
    partial: int = 0
    left: tuple[str, ...] = ()

    @property
    def points(self) -> int:
        return self.shape[-2]


def find_cloud_arrays(shapes: Shapes) -> list[CloudArray]:
    """The arrays of clouds among arrays of these shapes, with their normals.

    Raises:
        InputError: the points are samples of space with occupancies, or the corners of a mesh.
    """
    found = []
    parts = [name for name in shapes if _PARTIAL.search(name)]
    if not any(_WHOLE.search(name) for name in shapes if name not in parts):
        parts = []
    groups: dict[str, dict[str, str]] = {}  # in a group, the full name of each array
    for name in shapes:
        group, own = posixpath.split(name)
        groups.setdefault(group, {})[own.lower()] = name
    for name, shape in sorted(shapes.items()):
        if name in parts:
            continue
        group, own = posixpath.split(name)
        beside = groups[group]
        if own.lower() in _FACES and len(shape) == 2:
            raise InputError("it holds a mesh, vertices and faces; save it as OBJ or PLY")
        if not _may_be_clouds(shape) or _is_attribute(own.lower(), beside, shapes):
            continue
        if any(word in beside for word in _SPACE):
            raise InputError(
                "its points are samples of space with occupancies or distances, not of a surface; "
                "use the file of surface points, such as pointcloud.npz"
            )
        fits = (*shape[:-1], 3)
        normals = [n for k, n in beside.items() if _NORMAL.fullmatch(k) and shapes[n] == fits]
        left = [
            f"{n} {shapes[n]}"
            for k, n in beside.items()
            if n not in normals[:1] and len(shapes[n]) == len(shape) and not _COLOUR.fullmatch(k)
            and (_NORMAL.fullmatch(k) or _may_be_clouds(shapes[n]))
            and _is_attribute(k, beside, shapes)
        ]  # fmt: skip
        found.append(CloudArray(name, shape, normals[0] if normals else None, (), len(parts),
                                tuple(left)))  # fmt: skip
    return _densest(found)


def _may_be_clouds(shape: tuple[int, ...]) -> bool:
    return len(shape) in (2, 3) and shape[-1] in (3, 6) and 0 not in shape


def _is_attribute(own: str, beside: Mapping[str, str], shapes: Shapes) -> bool:
    """Whether an array holds something about the points of another array in its group."""
    shape = shapes[beside[own]]
    clouds = [
        k for k, n in beside.items()
        if k != own and len(shapes[n]) == len(shape) and _may_be_clouds(shapes[n])
    ]  # fmt: skip
    if _NO_POINTS.fullmatch(own):
        return any(not _NO_POINTS.fullmatch(k) for k in clouds)
    # Such as the corners of boxes, or rotations.
    return not is_points(own) and any(map(is_points, clouds))


def is_points(array: str) -> bool:
    """Whether an array has a common name, perhaps with that of a split: ``X_train``."""
    return without_split(posixpath.basename(array)) in POINTS


def _densest(found: list[CloudArray]) -> list[CloudArray]:
    """Leave out arrays of the same shapes with fewer points: poisson_1024 beside poisson_2048."""
    best: dict[tuple[str, int], CloudArray] = {}
    for cloud_array in found:
        size = str(cloud_array.points)
        key = (cloud_array.array.replace(size, "#"), cloud_array.shape[0])
        if len(cloud_array.shape) == 2 or size not in cloud_array.array:
            key = (cloud_array.array, 0)
        other = best.setdefault(key, cloud_array)
        if other is not cloud_array:
            few, many = sorted((other, cloud_array), key=lambda one: one.points)
            left = (*many.left, *few.left, f"{few.array} {few.shape}")
            best[key] = replace(many, left=left)
    return list(best.values())


def only_cloud_array(shapes: Shapes, path: Path | str) -> CloudArray:
    """The array of clouds of a file: the one with a common name, else the only one.

    Raises:
        InputError: none, or several without a common name; the message lists them.
    """
    try:
        found_arrays = find_cloud_arrays(shapes)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    named = [
        s for name in POINTS for s in found_arrays if posixpath.basename(s.array).lower() == name
    ]
    if named:
        return named[0]
    several = [cloud_array for cloud_array in found_arrays if len(cloud_array.shape) == 3]
    if len(several or found_arrays) == 1:
        return (several or found_arrays)[0]
    raise InputError(
        f"{path} must hold an array 'points' or exactly one of (N, P, 3); it has {_listed(shapes)}"
    )


def _listed(shapes: Shapes) -> str:
    """The first arrays with their shapes, and advice on them."""
    several = [f"{n} {s}{shape_advice(s)}" for n, s in shapes.items()]
    more = f", and {len(several) - _SHOWN} more" if len(several) > _SHOWN else ""
    return ", ".join(several[:_SHOWN]) + more or "none"


def cloud_of(
    points: NDArray[Any], normals: NDArray[Any] | None = None, faulty: Faulty = "drop"
) -> OpenedShape:
    """The cloud in an array (P, 3), or (P, 6) whose last columns are unit normals or left out.

    Raises:
        MeshError: another shape, or what :func:`pcgen.shapes.clouds.clean_cloud` refuses.
    """
    remark: tuple[str, ...] = ()
    if points.ndim == 2 and points.shape[1] == 6:
        points, last = points[:, :3], points[:, 3:].astype(np.float64)
        if unit_rows(last):
            normals = last
        else:
            remark = ("columns 4 to 6 are not unit normals, perhaps colours; left out",)
    cloud, notes = clean_cloud(Cloud(points, normals), faulty)
    return OpenedShape(cloud, (*remark, *notes))


def open_cloud_arrays(path: Path, faulty: Faulty) -> FileContent:
    """All clouds of a file of arrays."""
    suffix = path.suffix.lower()
    if suffix in (".h5", ".hdf5"):
        return _of_hdf5(path, faulty)
    if suffix == ".npy":
        return _content(read_npy(path), None, path, faulty)
    if suffix == ".npz":
        arrays = read_npz(path)
        whole = arrays.get("points", np.zeros(0))
        if whole.ndim == 3 and whole.shape[2] == 3 and (faulty == "refuse" or _is_finite(whole)):
            samples = Samples.load(path)
            if not len(samples):
                raise InputError(f"{path} holds no clouds")
            content = _content(samples.points, samples.normals, path, faulty)
            return FileContent(
                content.shapes, content.names, samples.category.tolist(), samples.meta,
                content.notes,
            )  # fmt: skip
    else:
        arrays = read_sandboxed("torch", path)
        if list(arrays) == [""]:
            return _content(arrays[""], None, path, faulty)
    cloud_array = only_cloud_array({name: array.shape for name, array in arrays.items()}, path)
    normals = None if cloud_array.normals is None else arrays[cloud_array.normals]
    return _content(arrays[cloud_array.array], normals, path, faulty)


def _is_finite(array: NDArray[Any]) -> bool:
    return array.dtype.kind in "fiu" and bool(np.isfinite(array).all())


def _content(
    array: NDArray[Any], normals: NDArray[Any] | None, path: Path, faulty: Faulty
) -> FileContent:
    """The clouds of one array; an error names the first faulty one by its number."""
    if array.ndim == 2:
        if (advice := shape_advice(array.shape)) and len(array):
            raise InputError(f"{path} must hold (N, P, 3) or (P, 3), got {array.shape}{advice}")
        return _numbered([functools.partial(cloud_of, array, normals, faulty)], path, faulty)
    if array.ndim != 3 or array.shape[2] not in (3, 6) or len(array) == 0:
        wanted = f"{path} must hold (N, P, 3) or (P, 3), got {array.shape}"
        raise InputError(f"{wanted}{shape_advice(array.shape)}")
    return _numbered(
        [
            functools.partial(
                cloud_of, points, None if normals is None else normals[number], faulty
            )
            for number, points in enumerate(array)
        ],
        path,
        faulty,
    )


def _numbered(
    openers: Sequence[Callable[[], OpenedShape]], path: Path, faulty: Faulty
) -> FileContent:
    """The content of one cloud, or of many with numbers; each note once, with a count.

    Unless faults are refused, faulty clouds are left out if others remain.
    """
    clouds, names, faults = [], [], []
    counts: Counter[str] = Counter()
    for number, opener in enumerate(openers):
        try:
            shape, remarks = opener()
        except MeshError as error:
            where = f"cloud {number} of {len(openers)}: " if len(openers) > 1 else ""
            faults.append(f"{where}{error}")
            if faulty == "drop":
                continue
            break
        clouds.append(shape)
        names.append(f"{path.stem}-{number:04d}" if len(openers) > 1 else path.stem)
        counts.update(remarks)
    if faults and (faulty != "drop" or not clouds):
        raise MeshError(faults[0])
    notes = tuple(f"{n} clouds: {note}" if n > 1 else note for note, n in counts.items())
    if faults:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        notes += (f"left out {faults[0]}{more}",)
    return FileContent(clouds, names, [""] * len(clouds), notes=notes)


def shape_advice(shape: Sequence[int]) -> str:
    """How to fix an array of a common wrong shape; "" for others."""
    if len(shape) > 1 and shape[0] == 0:
        return "; it holds no cloud"
    if len(shape) == 2 and shape[0] == 3 and shape[1] not in (3, 6):
        return "; save points.T: coordinates come last"
    if len(shape) == 3 and shape[1] == 3 and shape[2] not in (3, 6):
        return "; save points.transpose(0, 2, 1): coordinates come last"
    if len(shape) in (2, 3) and shape[-1] in (4, 5, *range(7, 16)):
        return "; save points[..., :3], or [..., :6] and unit normals: others are not read"
    if len(shape) == 2 and shape[1] > 6 and shape[1] % 3 == 0:
        return f"; if these are {shape[0]} clouds, save points.reshape({shape[0]}, -1, 3)"
    if len(shape) == 4 and shape[-1] in (3, 6):
        return f"; save points.reshape(-1, {shape[2]}, {shape[3]})"
    return ""


def list_hdf5(path: Path | IO[bytes]) -> list[CloudArray]:
    """The arrays (N, P, 3) of an HDF5 file, those (P, 3) with a common name, or else all (P, 3).

    Raises:
        InputError: not readable, data in other files, or a size that the file cannot hold.
    """
    import h5py

    size = os.stat(path if isinstance(path, Path) else path.fileno()).st_size
    most = size * _COMPRESSION_LIMIT
    shapes: dict[str, tuple[int, ...]] = {}
    words: dict[str, Any] = {}  # arrays of text

    def visit(name: str | bytes, node: Any) -> None:
        if not isinstance(node, h5py.Dataset):
            return
        text = h5py.check_string_dtype(node.dtype) is not None and node.ndim in (1, 2)
        if not (node.dtype.kind in "fiu" or text):
            return
        if not isinstance(name, str) or node.ndim not in (1, 2, 3):
            return
        if node.external or node.is_virtual:
            raise InputError(f"the data of {name} are in other files; refused")
        if node.nbytes > most:
            raise InputError(f"{name} states {node.nbytes} bytes, more than the file can hold")
        if not text:
            shapes[name] = tuple(map(int, node.shape))
        elif without_split(posixpath.basename(name)) in LABELS:
            words[name] = node.asstr("utf-8", "replace")[()]

    try:
        with h5py.File(path, "r") as handle:
            handle.visititems(visit)
            arrays = words | {name: handle[name] for name in shapes}
            found = find_cloud_arrays(shapes)
            named = [s for s in found if is_points(s.array)]
            several = [s for s in found if len(s.shape) == 3 or s in named]
            found_arrays = [with_labels(arrays, cloud_array) for cloud_array in several or found]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, InputError) as error:
        raise InputError(f"not a readable HDF5 file ({error})") from None
    if not found_arrays:
        listed = _listed({name: shape for name, shape in shapes.items() if len(shape) > 1})
        raise InputError(f"no array of shape (N, P, 3) in it; it has {listed}")
    return found_arrays


def with_labels(arrays: Mapping[str, Any], cloud_array: CloudArray) -> CloudArray:
    """The array with the classes of its clouds, integers or names, from the array of labels."""
    group, own = posixpath.split(cloud_array.array)
    count = cloud_array.shape[0] if len(cloud_array.shape) == 3 else 1
    labels = []
    for name in arrays:
        around, last = posixpath.split(name)
        if around == group and without_split(last) in LABELS and split_in(last) == split_in(own):
            labels.append((LABELS.index(without_split(last)), name))
    for _, name in sorted(labels):
        shape = arrays[name].shape or (1,)
        # MVP has a label for each of the 26 parts of a whole shape.
        every = shape[0] // count if cloud_array.partial and shape[0] % count == 0 else 1
        if every and shape in ((count * every,), (count * every, 1)):
            values = np.asarray(arrays[name]).ravel()[::every]
            if values.dtype.kind == "S":
                values = np.char.decode(values, "utf-8", "replace")
            if values.dtype.kind in "UO":
                return replace(cloud_array, labels=tuple(map(str, values)))
            if values.dtype.kind in "iuf" and (values == np.round(values)).all():
                return replace(cloud_array, labels=tuple(map(int, values)))
    return cloud_array


def hdf5_cloud(
    path: Path | IO[bytes],
    array: str,
    row: int | None,
    normals: str | None = None,
    faulty: Faulty = "drop",
) -> OpenedShape:
    """One cloud of an HDF5 file."""
    import h5py

    try:
        with h5py.File(path, "r") as handle:
            take: Callable[[str], NDArray[Any]] = lambda name: np.asarray(  # noqa: E731
                handle[name][() if row is None else row]
            )
            return cloud_of(take(array), None if normals is None else take(normals), faulty)
    except (OSError, LookupError, ValueError, RuntimeError, TypeError) as error:
        raise InputError(f"the HDF5 file is damaged ({error})") from None


def _of_hdf5(path: Path, faulty: Faulty) -> FileContent:
    openers = []
    for cloud_array in list_hdf5(path):
        rows: list[int | None] = (
            [None] if len(cloud_array.shape) == 2 else list(range(cloud_array.shape[0]))
        )
        openers += [
            functools.partial(hdf5_cloud, path, cloud_array.array, row, cloud_array.normals, faulty)
            for row in rows
        ]
    return _numbered(openers, path, faulty)


def parse_torch(path: Path) -> dict[str, NDArray[Any]]:
    """Read the tensors of a PyTorch file in this process: by name, or a single one as ``""``."""
    import torch

    _refuse_bombs(path)
    try:
        with warnings.catch_warnings():  # PyTorch warns before it refuses
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # PyTorch passes on any error of its archive or unpickler
        text = str(error)
        if any(sign in text for sign in ("nsupported global", "nsupported class", "is blocked")):
            raise InputError(
                f"{path} holds Python objects besides tensors, which could run code; refused. "
                "Save the tensor of points alone, with torch.save(points, path)"
            ) from None
        reason = (text.strip().splitlines() or [type(error).__name__])[0]
        if "weights_only" in reason:  # PyTorch advises to run the code in the file
            reason = "it is damaged, or a pickle of other objects, which could run code"
        raise InputError(
            f"{path} is not a readable PyTorch file of tensors ({reason[:200]})"
        ) from None
    if isinstance(content, torch.Tensor):
        content = {"": content}
    if not isinstance(content, dict):
        listed = (
            "; save torch.stack(clouds), or one file per cloud" if isinstance(content, list) else ""
        )
        raise InputError(
            f"{path} must hold a tensor (N, P, 3), got {type(content).__name__}{listed}"
        )
    tensors = {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}
    return {name: _as_array(tensor, path) for name, tensor in tensors.items()}


def _as_array(tensor: Tensor, path: Path) -> NDArray[Any]:
    import torch

    # Strides of zero make a tensor of any size from one number.
    if tensor.layout != torch.strided or tensor.numel() > tensor.untyped_storage().nbytes():
        raise InputError(f"{path} holds a tensor that is larger than its storage; refused")
    if tensor.dtype.is_complex or tensor.is_quantized or tensor.device.type != "cpu":
        raise InputError(f"{path} holds a tensor of {tensor.dtype} on {tensor.device}")
    array: NDArray[Any] = tensor.detach().float().numpy()
    return array


def _refuse_bombs(path: Path) -> None:
    """Refuse a PyTorch file, which is a zip archive, if it unpacks to more than the limit."""
    try:
        if not zipfile.is_zipfile(path):
            return  # the format before PyTorch 1.6
        with zipfile.ZipFile(path) as archive:
            fault = archive_fault(archive, ARRAY_LIMIT)
    except ARCHIVE_ERRORS as error:
        raise InputError(f"{path} is not a readable PyTorch file ({str(error)[:200]})") from None
    if fault:
        raise InputError(f"{path}: {fault}")
