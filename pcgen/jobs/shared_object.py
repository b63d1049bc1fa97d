"""An object that all tasks of a job need, shared between processes without copies of its arrays.

The object is pickled once into a private file, followed by its arrays, which every process maps.
Only processes of one job read the file: no pickle of unknown origin is ever opened.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcgen.files import storage_errors

_ALIGNED = 64  # bytes: suits BLAS and vector loads


@dataclass(frozen=True)
class SharedObject:
    """The location of a pickled object; can itself be pickled.

    Attributes:
        path: the file. spans: (start, length) of the pickle, then of each array in it.
    """

    path: str
    spans: tuple[tuple[int, int], ...]

    @classmethod
    def save(cls, value: Any) -> SharedObject:
        """Write ``value``; call :meth:`remove` when the job is finished."""
        buffers: list[pickle.PickleBuffer] = []
        data = pickle.dumps(value, 5, buffer_callback=buffers.append)
        handle, path = tempfile.mkstemp(prefix="pcgen-")  # readable only by this user
        spans = []
        try:
            with storage_errors(Path(path)), os.fdopen(handle, "wb") as file:
                for part in (memoryview(data), *(buffer.raw() for buffer in buffers)):
                    file.write(bytes(-file.tell() % _ALIGNED))
                    spans.append((file.tell(), part.nbytes))
                    file.write(part)
        except BaseException:
            os.unlink(path)
            raise
        return cls(path, tuple(spans))

    def load(self) -> Any:
        """Load the object; its arrays are mapped and read-only."""
        with open(self.path, "rb") as file:
            whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        data, *buffers = (whole[start : start + length] for start, length in self.spans)
        return pickle.loads(data, buffers=buffers)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.path)
