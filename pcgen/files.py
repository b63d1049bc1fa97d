"""Atomic writing, which leaves either the old file or the new one, and locks that name their owner.

All output goes through :func:`atomic_file` or :func:`atomic_folder`: it is written under a
temporary name next to the target, flushed to disk, then renamed. A process that is killed leaves
its temporary file behind. The next process that writes into the folder removes it, like every
temporary file without a lock.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pcgen.errors import StorageError

TEMPORARY_PREFIX = ".part-"
STALE_S = 60  # the owner may not have locked a younger temporary file yet


@contextlib.contextmanager
def storage_errors(path: Path, hint: str = "") -> Iterator[None]:
    """Convert the operating system's write errors to one clear line."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full; free some space and run the command again",
            errno.EDQUOT: "the disk quota is used up; free some space and run the command again",
            errno.EROFS: "the file system is read-only; choose another folder",
            errno.EACCES: "permission denied; choose another folder",
            errno.EPERM: "permission denied; choose another folder",
            errno.ENOENT: "the folder cannot be created; choose another folder",
            errno.EEXIST: "a file with this name exists; choose another folder",
            errno.EISDIR: "a folder with this name exists; choose another name",
            errno.ENOTDIR: "part of the path is a file; choose another folder",
            errno.ENAMETOOLONG: "the name is too long",
        }
        if error.errno not in reasons:
            raise
        tail = f" {hint}" if hint else ""
        raise StorageError(f"cannot write {path}: {reasons[error.errno]}.{tail}") from error


@contextlib.contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; on success flush it and rename it to ``path``.

    Raises:
        StorageError: the folder is not writable or the disk is full; the old file is kept.
    """
    path = Path(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent)
        handle, name = tempfile.mkstemp(path.suffix, TEMPORARY_PREFIX, path.parent)
        temporary = Path(name)
        try:
            _claim(handle)
            yield temporary
            _flush(temporary)
            temporary.chmod(0o666 & ~_umask())  # mkstemp made it private to its owner
            temporary.replace(path)
            _flush(path.parent)
        finally:
            os.close(handle)
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path | str, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``path`` on success.

    Args:
        replace: replace an existing folder; otherwise ``path`` must not exist.
    """
    path = Path(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and (not path.is_dir() or (any(path.iterdir()) and not replace)):
            raise StorageError(f"{path} exists already; remove it or choose another name")
        _remove_abandoned(path.parent)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=path.parent))
        handle = os.open(temporary, os.O_RDONLY)
        try:
            _claim(handle)
            yield temporary
            for folder, _, names in os.walk(temporary):
                for name in (*names, "."):
                    _flush(Path(folder) / name)
            temporary.chmod(0o777 & ~_umask())
            _take_place(temporary, path)
            _flush(path.parent)
        finally:
            os.close(handle)
            shutil.rmtree(temporary, ignore_errors=True)


def _take_place(new: Path, path: Path) -> None:
    """Rename a folder to ``path``; a previous folder is then at ``new``."""
    if not path.exists() or not any(path.iterdir()):
        new.replace(path)  # also replaces an empty folder
        return
    exchange = 2  # Linux's RENAME_EXCHANGE: a folder of that name exists at any moment
    here = -100  # AT_FDCWD
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None or rename(here, os.fsencode(new), here, os.fsencode(path), exchange):
        spare = new.with_name(new.name + "-old")
        path.rename(spare)
        new.rename(path)
        spare.rename(new)


def cache_folder(name: str) -> Path:
    """A folder for reproducible results: ``$PCGEN_CACHE/NAME``, or in the user's cache.

    If that is not writable, as in a container without a home, it is a private folder of this user
    in the temporary one: content of a cache may be loaded as code.
    """
    root = os.environ.get("PCGEN_CACHE")
    if root:
        return Path(root) / name
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "pcgen" / name
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    private = Path(tempfile.gettempdir()) / f"pcgen-{os.getuid()}"
    with storage_errors(private):
        private.mkdir(mode=0o700, exist_ok=True)
    if private.stat().st_uid != os.getuid():
        raise StorageError(f"{private} belongs to another user; set PCGEN_CACHE to a folder")
    return private / name


def write_json(path: Path | str, data: Any) -> None:
    """Write ``data`` as indented JSON, atomically. NaN, which JSON does not have, is refused."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n")


def check_regular(path: Path) -> None:
    """Refuse a pipe or device, which may never end, before it is opened.

    Raises:
        OSError: the path exists and is not a regular file.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def read_text(path: Path | str) -> str:
    """The text of a regular file; see :func:`check_regular`.

    Raises:
        OSError: it cannot be read. UnicodeDecodeError: it is not text.
    """
    path = Path(path)
    check_regular(path)
    return path.read_text(encoding="utf-8")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON of unknown origin.

    Raises:
        ValueError: not JSON, nested too deeply, or with an integer beyond 64 bits, which is never
            valid here and may not even be a float.
    """
    try:
        return json.loads(text, parse_int=_integer)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError(f"it contains an integer of {len(digits)} digits")
    return int(digits)


@contextlib.contextmanager
def lock(folder: Path | str) -> Iterator[None]:
    """Lock ``folder`` against a second writer during the block.

    The kernel releases the lock when its owner dies, so nothing needs to be cleaned up.

    Raises:
        StorageError: another process holds the lock; the message names its host and process.
    """
    folder = Path(folder)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _held(folder / ".lock", folder):
        yield


@contextlib.contextmanager
def lock_file(path: Path | str) -> Iterator[None]:
    """The same for a file that is written more than once, or that other files belong to.

    Raises:
        StorageError: see :func:`lock`.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.lock")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _held(beside, path):
        try:
            yield
        finally:
            beside.unlink(missing_ok=True)


@contextlib.contextmanager
def _held(lock: Path, what: Path) -> Iterator[None]:
    """Hold the lock file ``lock``, which names the process that writes ``what``."""
    handle = -1
    try:
        while handle < 0 or not os.fstat(handle).st_nlink:  # its last owner has just removed it
            if handle >= 0:
                os.close(handle)
            with storage_errors(what):
                handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
            if not _claim(handle):
                owner = os.pread(handle, 300, 0).decode("utf-8", "replace").strip()
                raise StorageError(
                    f"{what} is being written by {owner or 'another process'}; wait for it to end "
                    "or choose another name"
                )
        with storage_errors(what):
            os.ftruncate(handle, 0)
            # Unbuffered: on a full disk a buffer fails again when it is closed.
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
        try:
            yield
        finally:
            os.ftruncate(handle, 0)
    finally:
        if handle >= 0:
            os.close(handle)


def _claim(handle: int) -> bool:
    """Lock an open file or folder while it is open; returns whether nobody else held the lock.

    A file system without locks (some network ones) never refuses: writing stays atomic there.
    """
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        return error.errno in (errno.ENOLCK, errno.ENOTSUP)
    return True


_tidied: set[tuple[int, Path]] = set()


def _remove_abandoned(folder: Path) -> None:
    """Remove the temporary files of killed processes; once per process and folder."""
    if (os.getpid(), folder) in _tidied:
        return
    _tidied.add((os.getpid(), folder))
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime < STALE_S:
                continue
            handle = os.open(path, os.O_RDONLY)
            try:
                if _claim(handle):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(handle)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
