"""The C loops, compiled once on the machine that runs them.

``native.c``, ``search.c`` and ``cells.c`` next to this file are compiled by the system's C compiler
(``CC``, else cc, gcc or clang; about two seconds) for exactly this processor and cached for the
user.
Without a compiler there is no ``native`` backend: ``auto`` selects another one, and requesting
``native`` by name raises an error that says so.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import itertools
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pcgen.errors import BackendError, StorageError
from pcgen.files import atomic_file, cache_folder

SOURCES = [Path(__file__).with_name(name) for name in ("native.c", "search.c", "cells.c")]
HEADERS = [Path(__file__).with_name("exponential.h")]
FLAGS = [
    "-std=gnu11",
    "-O3",
    "-fopenmp-simd",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fPIC",
    "-shared",
]
# Below this many pairs of points a second thread costs more than it saves.
PAIRS_PER_THREAD = 2**20
# Tried in turn, as compilers differ in the flag that enables all features of this processor.
TUNING: tuple[list[str], ...] = (
    ["-march=native", "-mprefer-vector-width=512"],
    ["-march=native"],
    ["-mcpu=native"],
    [],
)

T = TypeVar("T")


@functools.cache
def library() -> ctypes.CDLL:
    """Load the loops, and compile them first if this machine has not done so.

    Raises:
        BackendError: there is no compiler, or it fails; with its message.
    """
    compiler = _compiler()
    if compiler is None:
        raise BackendError(
            "the native backend needs a C compiler and found none; install gcc or clang, "
            "or choose another backend"
        )
    complaints = []
    for tuning in TUNING:
        path = cache_folder("native") / f"loops-{_key(compiler, tuning)}.so"
        try:
            if not path.is_file():
                with atomic_file(path) as temporary:
                    command = [compiler, *FLAGS, *tuning, *map(str, SOURCES)]
                    command += ["-o", str(temporary), "-lm"]
                    subprocess.run(command, capture_output=True, text=True, check=True)
            return ctypes.CDLL(str(path))
        except subprocess.CalledProcessError as error:
            complaints.append(error.stderr.strip().partition("\n")[0])
        except (OSError, StorageError) as error:
            complaints.append(str(error))
    raise BackendError(f"the native backend could not be compiled by {compiler}: {complaints[-1]}")


@functools.cache
def usable() -> bool:
    """Whether this machine can compile and load the loops; tried once per process."""
    try:
        library()
    except BackendError:
        return False
    return True


def _compiler() -> str | None:
    names = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    return next((found for name in names if name and (found := shutil.which(name))), None)


def _key(compiler: str, tuning: list[str]) -> str:
    """A cache key that differs between machines, as a home folder may be shared."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        processor = platform.processor()
    texts = [path.read_text() for path in (*SOURCES, *HEADERS)]
    parts = [*texts, version, platform.machine(), processor, *FLAGS, *tuning]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def call(name: str, *arguments: Any) -> None:
    """Call a C function: arrays by address (contiguity checked), integers as int."""
    plain: list[Any] = []
    for argument in arguments:
        if isinstance(argument, ctypes.c_float | ctypes.c_double):
            plain.append(argument)
        elif isinstance(argument, np.ndarray):
            assert argument.flags.c_contiguous
            plain.append(ctypes.c_void_p(argument.ctypes.data))
        else:
            plain.append(ctypes.c_int(argument))
    if getattr(library(), name)(*plain):
        raise MemoryError(f"{name} could not allocate its scratch row")


def over_threads(run: Callable[[slice], T], batch: int, pairs: int) -> list[T]:
    """The results of ``run`` on slices of a batch; each element has ``pairs`` inner steps."""
    import torch

    threads = min(torch.get_num_threads(), max(1, min(batch, batch * pairs // PAIRS_PER_THREAD)))
    bounds = [batch * t // threads for t in range(threads + 1)]
    parts = [slice(a, b) for a, b in itertools.pairwise(bounds)]
    if len(parts) == 1:
        return [run(parts[0])]
    with ThreadPoolExecutor(threads) as pool:  # the C code releases Python's lock
        return list(pool.map(run, parts))
