"""Point clouds of any origin: other programs' samples, scans, our own files."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pcgen import progress
from pcgen.errors import InputError, MeshError
from pcgen.shapes.apart import read_apart
from pcgen.shapes.arrays import ARCHIVE_ERRORS, ARRAY_LIMIT, archive_fault, read_npy, read_npz
from pcgen.shapes.formats.ply import read_ply
from pcgen.shapes.formats.points import POINT_SUFFIXES, read_points
from pcgen.shapes.items import Cloud, check_cloud, shaped_cloud
from pcgen.shapes.mesh_files import read_file
from pcgen.shapes.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor

Check = Callable[[Cloud], Cloud]
CLOUD_SUFFIXES = (".npz", ".npy", ".pt", ".pth", ".ply", *POINT_SUFFIXES)


@dataclass(frozen=True)
class Clouds:
    """Clouds in the order of their files, possibly of different sizes.

    Attributes:
        clouds: points (P, 3) float64 and normals or None, each.
        names: of each: the file's, with a number where a file holds many.
        categories: of each; ``""`` where nothing is known.
        meta: of a samples file; else empty.
    """

    clouds: Sequence[Cloud]
    names: Sequence[str]
    categories: Sequence[str]
    meta: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.clouds)

    def samples(self) -> Samples:
        """All clouds as one array.

        Raises:
            InputError: they have different numbers of points.
        """
        sizes = sorted({len(cloud.points) for cloud in self.clouds})
        if len(sizes) != 1:
            raise InputError(
                f"the clouds have between {sizes[0]} and {sizes[-1]} points; here all must have "
                "the same number"
            )
        normals = [cloud.normals for cloud in self.clouds]
        whole = [array for array in normals if array is not None]
        return Samples(
            points=np.stack([cloud.points for cloud in self.clouds]).astype(np.float32),
            category=np.array(list(self.categories), np.str_),
            meta=self.meta,
            normals=np.stack(whole).astype(np.float32) if len(whole) == len(normals) else None,
        )


def read_clouds(
    path: Path | str, *, faulty: Literal["refuse", "drop", "keep"] = "refuse"
) -> Clouds:
    """Read a file of one or many clouds, or all such files of a folder, by name.

    ``.npz`` is our samples file or any with one array (N, P, 3); ``.npy`` and ``.pt`` hold
    (N, P, 3) or (P, 3); ``.ply``, ``.xyz``, ``.pts`` and ``.pcd`` hold one cloud. ``.pt`` is read
    by PyTorch's weights-only loader, which runs no code.

    Args:
        faulty: what becomes of points that are NaN or infinite, as scanners write them. ``refuse``
            refuses the file, ``drop`` leaves them out and says how many, and both drop unusable
            normals. ``keep`` gives points and normals as they are, to whoever judges himself.
    Raises:
        InputError: nothing there, an unknown suffix, or a file that cannot be read; it is named.
    """
    path = Path(path)
    checks = {"refuse": check_cloud, "drop": _finite_part, "keep": shaped_cloud}
    check = checks[faulty]
    if path.is_dir():
        files = cloud_files(path)
        return _joined([_read_one(file, check) for file in files])
    return _read_one(path, check)


def cloud_files(folder: Path) -> list[Path]:
    """The files of clouds in a folder, by name; hidden ones, such as half-written ones, left out.

    Raises:
        InputError: there are none.
    """
    files = [file for file in folder.iterdir() if file.suffix.lower() in CLOUD_SUFFIXES]
    files = sorted(file for file in files if not file.name.startswith("."))
    if not files:
        raise InputError(f"no file in {folder} ends in {', '.join(CLOUD_SUFFIXES)}")
    return files


def _read_one(path: Path, check: Check) -> Clouds:
    suffix = path.suffix.lower()
    if suffix not in CLOUD_SUFFIXES:
        raise InputError(f"clouds are files ending in {', '.join(CLOUD_SUFFIXES)}, got {path}")
    if not path.is_file():
        raise InputError(f"no file at {path}")
    try:
        if suffix == ".npz":
            return _from_npz(path, check)
        if suffix == ".npy":
            return _from_array(read_npy(path), path, check)
        if suffix in (".pt", ".pth"):
            tensors = read_apart("torch", path)
            whole = tensors[""] if "" in tensors else tensors[_only_clouds(tensors, path)]
            return _from_array(whole, path, check)
        if suffix == ".ply":
            ply = read_ply(read_file(path))
            cloud = Cloud(ply.vertices, ply.normals)
        else:
            cloud = Cloud(*read_points(read_file(path), suffix))
        return Clouds([check(cloud)], [path.stem], [""])
    except MeshError as error:
        raise InputError(f"{path}: {error}") from None


def _finite_part(cloud: Cloud) -> Cloud:
    points, normals = cloud
    if points.ndim == 2 and points.dtype.kind == "f":
        kept = np.isfinite(points).all(axis=1)
        count = int(kept.sum())
        if 0 < count < len(points):
            left = len(points) - count
            progress.say(f"left out {left} of {len(points)} points that are NaN or infinite")
            cloud = Cloud(points[kept], None if normals is None else normals[kept])
    return check_cloud(cloud)


def _from_npz(path: Path, check: Check) -> Clouds:
    arrays = read_npz(path)
    if "points" not in arrays:
        name = _only_clouds(arrays, path)
        return _from_array(arrays[name], path, check)
    samples = Samples.load(path)
    if not len(samples):
        raise InputError(f"{path} holds no clouds")
    normals = [None] * len(samples) if samples.normals is None else list(samples.normals)
    clouds = [Cloud(p, n) for p, n in zip(samples.points, normals, strict=True)]
    checked = _checked(clouds, check)
    return Clouds(checked, _numbered(path, len(checked)), samples.category.tolist(), samples.meta)


def _from_array(array: NDArray[Any], path: Path, check: Check) -> Clouds:
    if array.ndim == 2 and array.shape[1] > 3 and array.shape[1] % 3 == 0:
        raise InputError(
            f"{path} must hold (N, P, 3) or (P, 3), got {array.shape}; if these are {len(array)} "
            f"clouds, save points.reshape({len(array)}, -1, 3)"
        )
    if array.ndim == 2:
        return Clouds([check(Cloud(array))], [path.stem], [""])
    if array.ndim != 3 or array.shape[2] != 3 or len(array) == 0:
        raise InputError(f"{path} must hold (N, P, 3) or (P, 3), got {array.shape}{_advice(array)}")
    clouds = _checked([Cloud(points) for points in array], check)
    return Clouds(clouds, _numbered(path, len(clouds)), [""] * len(clouds))


def _checked(clouds: Sequence[Cloud], check: Check) -> list[Cloud]:
    """All clouds of one file, checked; the first that fails is named by its number."""
    checked = []
    for number, cloud in enumerate(clouds):
        try:
            checked.append(check(cloud))
        except MeshError as error:
            raise MeshError(f"cloud {number} of {len(clouds)}: {error}") from None
    return checked


def _advice(array: NDArray[Any]) -> str:
    """What the usual wrong shapes need."""
    if array.ndim == 3 and len(array) == 0:
        return "; it holds no cloud"
    if array.ndim == 3 and array.shape[1] == 3:
        return "; save points.transpose(0, 2, 1): coordinates come last"
    if array.ndim == 3 and array.shape[2] in (4, 6):
        return "; save points[..., :3]: normals or colours do not belong to the points"
    return ""


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


def _only_clouds(arrays: dict[str, NDArray[Any]], path: Path) -> str:
    """The name of the one array (N, P, 3)."""
    fitting = [name for name, array in arrays.items() if array.ndim == 3 and array.shape[2] == 3]
    if len(fitting) != 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise InputError(
            f"{path} must hold an array 'points' or exactly one of (N, P, 3); it has {shapes}"
        )
    return fitting[0]


def _numbered(path: Path, count: int) -> list[str]:
    return [f"{path.stem}-{number:04d}" for number in range(count)]


def _joined(parts: list[Clouds]) -> Clouds:
    return Clouds(
        [cloud for part in parts for cloud in part.clouds],
        [name for part in parts for name in part.names],
        [category for part in parts for category in part.categories],
    )
