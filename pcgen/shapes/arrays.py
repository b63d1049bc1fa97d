"""Read ``.npy`` and ``.npz`` files of unknown origin, without pickle and with checked sizes.

NumPy allocates the size that a header states before it reads. This module first compares it with
the size of the file, so that a file of 200 bytes cannot request a terabyte.
"""

from __future__ import annotations

import io
import lzma
import math
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pcgen.errors import InputError
from pcgen.files import atomic_file, storage_errors

#: Limit of the unpacked size of an array in an archive, in bytes.
ARRAY_LIMIT = 16 * 2**30
#: Limit of the count that a header may state, before it is compared with the file.
MOST_NUMBERS = 2**50
#: Arrays of more bytes are stored in temporary files, see :func:`temporary_array`.
IN_MEMORY = 2**30
#: Limit of the compression ratio, for members beyond the first size in bytes. Text meshes reach 20;
#: deflate allows 1032, and only files made to fill memory come near.
RATIO_FREE = 64 * 2**20
RATIO_LIMIT = 200

#: Errors that :mod:`zipfile` raises for a damaged archive.
ARCHIVE_ERRORS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, NotImplementedError,
    RuntimeError, ValueError, struct.error, UnicodeError, OverflowError,
)  # fmt: skip


def read_header(handle: IO[bytes], where: str) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """The shape, type and Fortran order in the header of a ``.npy`` stream.

    Raises:
        InputError: not a ``.npy`` stream, or one of Python objects.
    """
    try:
        version = npy.read_magic(handle)
        reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = reader(handle)
    except (
        Exception
    ) as error:  # NumPy parses the header as Python source, which may raise any error
        raise InputError(f"{where} is not a NumPy array file ({str(error)[:200]})") from None
    if min(shape, default=0) < 0 or math.prod(shape) > MOST_NUMBERS:
        raise InputError(f"{where} states an array of shape {shape}; refused")
    if dtype.hasobject:
        raise InputError(
            f"{where} holds pickled Python objects, which could run code; refused. Save clouds of "
            "one size by numpy.stack, others each in a file of its own"
        )
    if dtype.names is not None:
        raise InputError(
            f"{where} has named columns ({', '.join(dtype.names[:8])}); save "
            "numpy.stack([a['x'], a['y'], a['z']], -1)"
        )
    return shape, dtype, fortran


def read_array(handle: IO[bytes], size: int, where: str) -> NDArray[Any]:
    """Read one array from a ``.npy`` stream of ``size`` bytes.

    Raises:
        InputError: damaged, truncated, pickled, or not as long as its header says.
    """
    shape, dtype, fortran = read_header(handle, where)
    expected = math.prod(shape) * dtype.itemsize
    present = size - handle.tell()
    if expected != present:
        raise InputError(
            f"{where} states {shape} of {dtype}, {expected} bytes, but holds {present}; "
            "it is truncated or damaged"
        )
    data = handle.read(expected)
    if len(data) != expected:
        raise InputError(f"{where} ends after {len(data)} of {expected} bytes; it is truncated")
    flat = np.frombuffer(bytearray(data), dtype=dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def archive_fault(archive: zipfile.ZipFile, limit: int) -> str:
    """Why an archive must not be unpacked; "" if it may be.

    Args:
        limit: of the unpacked bytes of all members together.
    """
    members = archive.infolist()
    total = sum(member.file_size for member in members)
    if total > limit:
        return f"it unpacks to {total} bytes; the limit is {limit}"
    if sum(member.compress_size for member in members) > _size(archive):
        return "its members overlap, so it unpacks to more than it holds"
    return next(filter(None, map(member_fault, members)), "")


def member_fault(member: zipfile.ZipInfo) -> str:
    """Why one member of an archive must not be unpacked; "" if it may be."""
    ratio = member.file_size / max(member.compress_size, 1)
    if member.file_size > RATIO_FREE and ratio > RATIO_LIMIT:
        return (
            f"{member.filename} unpacks to {member.file_size} bytes, {ratio:.0f} times its packed "
            f"size; the limit is {RATIO_LIMIT} times"
        )
    return ""


def _size(archive: zipfile.ZipFile) -> int:
    handle = archive.fp
    assert handle is not None
    return handle.seek(0, io.SEEK_END)


def read_npy(path: Path | str) -> NDArray[Any]:
    """Read a ``.npy`` file; see :func:`read_array` for errors."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file at {path}")
    with path.open("rb") as handle:
        return read_array(handle, path.stat().st_size, str(path))


def read_npz(path: Path | str | IO[bytes], where: str = "") -> dict[str, NDArray[Any]]:
    """Read all arrays of an ``.npz`` archive, a file or a stream; ``where`` names the stream.

    Raises:
        InputError: not an archive, damaged, pickled content, or beyond :data:`ARRAY_LIMIT` bytes.
    """
    source: Any = path
    if isinstance(path, str | Path):
        source = path = Path(path)
        if not path.is_file():
            raise InputError(f"no file at {path}")
    else:
        path = Path(where)
    try:
        with zipfile.ZipFile(source) as archive:
            fault = archive_fault(archive, ARRAY_LIMIT)
            if fault:
                raise InputError(f"{path}: {fault}")
            arrays = {}
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                with archive.open(member) as handle:
                    arrays[name] = read_array(handle, member.file_size, f"{path}:{name}")
            return arrays
    except ARCHIVE_ERRORS as error:
        raise InputError(f"{path} is not a readable .npz archive ({str(error)[:200]})") from None


def temporary_array(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An empty array, in memory or, above IN_MEMORY bytes, mapped to an unnamed temporary file.

    The system may move the mapped pages out of memory. The file goes with the array.
    """
    if math.prod(shape) * 4 <= IN_MEMORY:
        return np.empty(shape, np.float32)
    with (
        tempfile.TemporaryFile(prefix="pcgen-") as handle,
        storage_errors(Path(tempfile.gettempdir()), "TMPDIR names another folder."),
    ):
        return np.memmap(handle, np.float32, "w+", 0, shape)


def write_npz(path: Path | str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as a compressed ``.npz``, atomically; equal arrays give equal bytes."""
    with atomic_file(path) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, allow_pickle=False, **arrays)


def write_npy(path: Path | str, array: NDArray[Any]) -> None:
    """Write one array as ``.npy``, atomically."""
    array = np.ascontiguousarray(array)
    with atomic_file(path) as temporary, temporary.open("wb") as handle:
        handle.write(npy_header(array.dtype, array.shape))
        # numpy.save raises an unclear error when the disk is full.
        handle.write(array.tobytes())


def npy_header(kind: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The header bytes of a ``.npy`` file."""
    buffer = io.BytesIO()
    description = {"descr": kind.str, "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(buffer, description)
    return buffer.getvalue()
