"""Arrays of clouds: ``.npy``, ``.npz``, PyTorch and HDF5 files, of one cloud or of many.

An array (P, 3) is a cloud, (N, P, 3) are many; with six columns, the last three are normals where
they have unit length. Beside it in the same file or group, ``normal`` holds its normals and
``label`` its classes; colours are passed over.
"""

from __future__ import annotations

import posixpath
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError, MeshError
from pcgen.shapes.apart import read_apart
from pcgen.shapes.arrays import ARCHIVE_ERRORS, ARRAY_LIMIT, archive_fault, read_npy, read_npz
from pcgen.shapes.clouds import Cloud, Content, Faulty, checked
from pcgen.shapes.formats.text import unit_rows
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor

Arrays = dict[str, NDArray[Any]]
#: What people call an array of clouds; of several arrays in a file the first of these counts.
POINTS = (
    "points", "data", "point_cloud", "pointcloud", "point_clouds", "pointclouds", "pc", "pcd",
    "pcs", "xyz", "pos", "clouds", "vertices", "surface_points", "samples", "x", "arr_0",
)  # fmt: skip
NORMALS = ("normal", "normals", "surface_normals", "nrm", "n")
LABELS = ("label", "labels", "cls", "class", "classes", "category", "y")
COLOURS = ("color", "colors", "colour", "colours", "rgb", "rgbs", "scores")
#: Where a file has one of these, its points are samples of space.
_SPACE = ("occupancies", "occupancy", "occ", "sdf", "sdfs")
_COMPRESSION_LIMIT = 1000  # a header that promises more than so many times the file is damaged


@dataclass(frozen=True)
class Stack:
    """One array of clouds, found by its header.

    Attributes:
        array: its name in the file, with groups; shape: (P, C) or (N, P, C).
        normals: the name of the array of its normals, or None.
        labels: the class of each cloud, where an array says it.
    """

    array: str
    shape: tuple[int, ...]
    normals: str | None = None
    labels: tuple[int, ...] = ()

    @property
    def points(self) -> int:
        return self.shape[-2]


def find_stacks(shapes: Mapping[str, tuple[int, ...]]) -> list[Stack]:
    """The arrays of clouds among arrays of these shapes, with the normals that belong to them.

    Raises:
        InputError: the points are samples of space with occupancies, not of a surface.
    """
    found = []
    for name, shape in sorted(shapes.items()):
        group, own = posixpath.split(name)
        beside = {posixpath.basename(n).lower(): n for n in shapes if posixpath.dirname(n) == group}
        if own.lower() in (*NORMALS, *COLOURS) and any(
            shapes[n][:-1] == shape[:-1] for k, n in beside.items() if k not in (*NORMALS, *COLOURS)
        ):
            continue
        if len(shape) not in (2, 3) or shape[-1] not in (3, 6) or 0 in shape:
            continue
        if any(word in beside for word in _SPACE):
            raise InputError(
                "its points are samples of space with occupancies or distances, not of a surface; "
                "use the file of surface points, such as pointcloud.npz"
            )
        normals = [n for k, n in beside.items() if k in NORMALS and shapes[n] == (*shape[:-1], 3)]
        found.append(Stack(name, shape, normals[0] if normals else None))
    return found


def only_stack(shapes: Mapping[str, tuple[int, ...]], path: Path | str) -> Stack:
    """The one array of clouds of a file: by its name, else the only one.

    Raises:
        InputError: none, or several without a usual name; all are listed.
    """
    try:
        stacks = find_stacks(shapes)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    named = [s for name in POINTS for s in stacks if posixpath.basename(s.array).lower() == name]
    if named:
        return named[0]
    several = [stack for stack in stacks if len(stack.shape) == 3]
    if len(several or stacks) == 1:
        return (several or stacks)[0]
    listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    raise InputError(
        f"{path} must hold an array 'points' or exactly one of (N, P, 3); it has {listed or 'none'}"
    )


def cloud_of(points: NDArray[Any], normals: NDArray[Any] | None = None) -> Cloud:
    """A cloud of rows (P, 3), or of (P, 6) whose last columns are unit normals.

    Raises:
        MeshError: another shape, with what to save instead.
    """
    if points.ndim == 2 and points.shape[1] == 6:
        if not unit_rows(points[:, 3:].astype(np.float64)):
            raise MeshError(
                f"a cloud must be (P, 3), got {points.shape} without unit normals in the last "
                "columns; save points[..., :3]: colours do not belong to the points"
            )
        points, normals = points[:, :3], points[:, 3:].astype(np.float64)
    return Cloud(points, normals)


def open_stacks(path: Path, faulty: Faulty) -> Content:
    """All clouds of a file of arrays."""
    suffix = path.suffix.lower()
    if suffix in (".h5", ".hdf5"):
        return _of_hdf5(path, faulty)
    if suffix == ".npy":
        return _content(read_npy(path), None, path, faulty)
    if suffix == ".npz":
        arrays = read_npz(path)
        if "points" in arrays and arrays["points"].ndim == 3 and arrays["points"].shape[2] == 3:
            samples = Samples.load(path)
            if not len(samples):
                raise InputError(f"{path} holds no clouds")
            content = _content(samples.points, samples.normals, path, faulty)
            return Content(
                content.shapes, content.names, samples.category.tolist(), samples.meta,
                content.notes,
            )  # fmt: skip
    else:
        arrays = read_apart("torch", path)
        if list(arrays) == [""]:
            return _content(arrays[""], None, path, faulty)
    stack = only_stack({name: array.shape for name, array in arrays.items()}, path)
    normals = None if stack.normals is None else arrays[stack.normals]
    return _content(arrays[stack.array], normals, path, faulty)


def _content(
    array: NDArray[Any], normals: NDArray[Any] | None, path: Path, faulty: Faulty
) -> Content:
    """The clouds of one array; the first that cannot be used is named by its number."""
    if array.ndim == 2:
        _refuse_flat(array.shape, path)
        cloud, notes = checked(cloud_of(array, normals), faulty)
        return Content([cloud], [path.stem], [""], notes=notes)
    if array.ndim != 3 or array.shape[2] not in (3, 6) or len(array) == 0:
        wanted = f"{path} must hold (N, P, 3) or (P, 3), got {array.shape}"
        raise InputError(f"{wanted}{advice(array.shape)}")
    clouds: list[Mesh | Cloud] = []
    said: list[str] = []
    for number, points in enumerate(array):
        own = None if normals is None else normals[number]
        try:
            cloud, notes = checked(cloud_of(points, own), faulty)
        except MeshError as error:
            raise MeshError(f"cloud {number} of {len(array)}: {error}") from None
        clouds.append(cloud)
        said += notes
    names = [f"{path.stem}-{number:04d}" for number in range(len(clouds))]
    return Content(clouds, names, [""] * len(clouds), notes=tuple(said))


def _refuse_flat(shape: tuple[int, ...], path: Path) -> None:
    if shape[1] > 6 and shape[1] % 3 == 0:
        raise InputError(
            f"{path} must hold (N, P, 3) or (P, 3), got {shape}; if these are {shape[0]} "
            f"clouds, save points.reshape({shape[0]}, -1, 3)"
        )


def advice(shape: Sequence[int]) -> str:
    """What the usual wrong shapes need."""
    if len(shape) == 3 and shape[0] == 0:
        return "; it holds no cloud"
    if len(shape) == 3 and shape[1] == 3:
        return "; save points.transpose(0, 2, 1): coordinates come last"
    if len(shape) == 3 and shape[2] == 4:
        return "; save points[..., :3]: normals or colours do not belong to the points"
    return ""


def list_hdf5(path: Path) -> list[Stack]:
    """The arrays (N, P, 3) of an HDF5 file, or (P, 3) under a usual name, by name.

    Raises:
        InputError: not readable, or numbers that are elsewhere or more than can be there.
    """
    import h5py

    most = path.stat().st_size * _COMPRESSION_LIMIT
    shapes: dict[str, tuple[int, ...]] = {}

    def visit(name: str | bytes, node: Any) -> None:
        if not (isinstance(node, h5py.Dataset) and node.dtype.kind in "fiu"):
            return
        if not isinstance(name, str) or node.ndim not in (1, 2, 3):
            return
        if node.external or node.is_virtual:
            raise InputError(f"the numbers of {name} are said to be in other files; refused")
        if node.nbytes > most:
            raise InputError(f"{name} promises {node.nbytes} bytes, more than can be there")
        shapes[name] = tuple(map(int, node.shape))

    try:
        with h5py.File(path, "r") as handle:
            handle.visititems(visit)
            stacks = [
                Stack(s.array, s.shape, s.normals, _labels(handle, s, shapes))
                for s in find_stacks(shapes)
                if len(s.shape) == 3 or posixpath.basename(s.array).lower() in POINTS
            ]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, InputError) as error:
        raise InputError(f"not a readable HDF5 file ({error})") from None
    if not stacks:
        raise InputError("no array of shape (N, P, 3) in it")
    return stacks


def _labels(handle: Any, stack: Stack, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    if len(stack.shape) != 3:
        return ()
    group = posixpath.dirname(stack.array)
    for name, shape in shapes.items():
        fits = shape in ((stack.shape[0],), (stack.shape[0], 1))
        named = posixpath.dirname(name) == group and posixpath.basename(name).lower() in LABELS
        if fits and named and handle[name].dtype.kind in "iu":
            return tuple(int(value) for value in np.asarray(handle[name]).ravel())
    return ()


def hdf5_cloud(path: Path, array: str, row: int | None, normals: str | None = None) -> Cloud:
    """One cloud of an HDF5 file."""
    import h5py

    try:
        with h5py.File(path, "r") as handle:
            take: Callable[[str], NDArray[Any]] = lambda name: np.asarray(  # noqa: E731
                handle[name][() if row is None else row]
            )
            return cloud_of(take(array), None if normals is None else take(normals))
    except (OSError, LookupError, ValueError, RuntimeError, TypeError) as error:
        raise InputError(f"the HDF5 file is damaged ({error})") from None


def _of_hdf5(path: Path, faulty: Faulty) -> Content:
    parts = []
    for stack in list_hdf5(path):
        rows: list[int | None] = [None] if len(stack.shape) == 2 else list(range(stack.shape[0]))
        parts += [(stack, row) for row in rows]
    clouds: list[Mesh | Cloud] = []
    notes: list[str] = []
    for stack, row in parts:
        cloud, said = checked(hdf5_cloud(path, stack.array, row, stack.normals), faulty)
        clouds.append(cloud)
        notes += said
    if len(clouds) == 1:
        return Content(clouds, [path.stem], [""], notes=tuple(notes))
    names = [f"{path.stem}-{number:04d}" for number in range(len(clouds))]
    return Content(clouds, names, [""] * len(clouds), notes=tuple(notes))


def parse_torch(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a PyTorch file by name, ``""`` where there is only one; in this process."""
    import torch

    _refuse_bombs(path)
    try:
        with warnings.catch_warnings():  # PyTorch warns of what it then refuses
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # PyTorch raises whatever its archive or unpickler runs into
        text = str(error)
        if any(sign in text for sign in ("nsupported global", "nsupported class", "is blocked")):
            raise InputError(
                f"{path} holds Python objects besides tensors, which could run code; refused. "
                "Save the tensor of points alone, with torch.save(points, path)"
            ) from None
        reason = (text.strip().splitlines() or [type(error).__name__])[0]
        if "weights_only" in reason:  # PyTorch's advice is to run whatever is in the file
            reason = "it is damaged, or a pickle of other objects, which could run code"
        raise InputError(
            f"{path} is not a readable PyTorch file of tensors ({reason[:200]})"
        ) from None
    if isinstance(content, torch.Tensor):
        content = {"": content}
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a tensor (N, P, 3), got {type(content).__name__}")
    tensors = {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}
    return {name: _as_array(tensor, path) for name, tensor in tensors.items()}


def _as_array(tensor: Tensor, path: Path) -> NDArray[Any]:
    import torch

    # Strides of zero make a tensor of any size from one number.
    if tensor.layout != torch.strided or tensor.numel() > tensor.untyped_storage().nbytes():
        raise InputError(f"{path} holds a tensor that is larger than its numbers; refused")
    if tensor.dtype.is_complex or tensor.is_quantized or tensor.device.type != "cpu":
        raise InputError(f"{path} holds a tensor of {tensor.dtype} on {tensor.device}")
    array: NDArray[Any] = tensor.detach().float().numpy()
    return array


def _refuse_bombs(path: Path) -> None:
    """A PyTorch file is a zip archive, of stored members where PyTorch made it."""
    try:
        if not zipfile.is_zipfile(path):
            return  # the format before PyTorch 1.6
        with zipfile.ZipFile(path) as archive:
            fault = archive_fault(archive, ARRAY_LIMIT)
    except ARCHIVE_ERRORS as error:
        raise InputError(f"{path} is not a readable PyTorch file ({str(error)[:200]})") from None
    if fault:
        raise InputError(f"{path}: {fault}")
