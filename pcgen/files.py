"""Atomic writing, which leaves either the old file or the new one, and locks with an owner.

Everything the project writes goes through :func:`atomic_file` or :func:`atomic_folder`: written
under a temporary name beside the target, flushed to disk, then renamed. A process that is killed
leaves its temporary file behind. The next process that writes into the folder removes it, as it
removes every temporary file without a lock.
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
STALE_S = 60  # a temporary file that young may not have been locked by its owner yet


@contextlib.contextmanager
def storage_errors(path: Path, hint: str = "") -> Iterator[None]:
    """Turn the operating system's refusals to write into one clear line."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full; free some space and run the command again",
            errno.EDQUOT: "the disk quota is used up; free some space and run the command again",
            errno.EROFS: "the file system is read-only; choose another folder",
            errno.EACCES: "permission denied; choose another folder",
            errno.EPERM: "permission denied; choose another folder",
            errno.ENOENT: "no folder can be made there; choose another folder",
            errno.EEXIST: "a file stands there; choose another folder",
            errno.EISDIR: "a folder stands there; choose another name",
            errno.ENOTDIR: "part of the path is a file; choose another folder",
            errno.ENAMETOOLONG: "the name is too long",
        }
        if error.errno not in reasons:
            raise
        tail = f" {hint}" if hint else ""
        raise StorageError(f"cannot write {path}: {reasons[error.errno]}.{tail}") from error


@contextlib.contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success flush it and rename it into place.

    Raises:
        StorageError: the folder cannot be written or the disk is full; the old file stays.
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
        replace: take the place of a folder that is there; else ``path`` must not exist yet.
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
    """Rename a folder to ``path``; what was there is then at ``new``, if anything."""
    if not path.exists() or not any(path.iterdir()):
        new.replace(path)  # also over an empty folder
        return
    exchange = 2  # Linux's RENAME_EXCHANGE: there is no moment without a folder of that name
    here = -100  # AT_FDCWD
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None or rename(here, os.fsencode(new), here, os.fsencode(path), exchange):
        spare = new.with_name(new.name + "-old")
        path.rename(spare)
        new.rename(path)
        spare.rename(new)


def cache_folder(name: str) -> Path:
    """Folder for results that can be computed again: ``$PCGEN_CACHE/NAME`` or the user's cache.

    Where that cannot be written, as in a container without a home, it is a folder of this user
    alone in the temporary one: content of a cache may be loaded as code.
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
        raise StorageError(f"{private} belongs to somebody else; set PCGEN_CACHE to a folder")
    return private / name


def write_json(path: Path | str, data: Any) -> None:
    """Write ``data`` as indented JSON, atomically. NaN is refused: JSON has none."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n")


def check_regular(path: Path) -> None:
    """Refuse a pipe or device, which may never end, before it is opened.

    Raises:
        OSError: something is there and is no regular file.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def read_text(path: Path | str) -> str:
    """The text of a regular file; see :func:`check_regular`.

    Raises:
        OSError: it cannot be read. UnicodeDecodeError: it is no text.
    """
    path = Path(path)
    check_regular(path)
    return path.read_text(encoding="utf-8")


def parse_json(text: str | bytes) -> Any:
    """JSON of unknown origin.

    Raises:
        ValueError: not JSON, nested too deeply to be read, or with an integer beyond 64 bits,
            which is no number of ours and need not be a float either.
    """
    try:
        return json.loads(text, parse_int=_integer)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError(f"it holds an integer of {len(digits)} digits")
    return int(digits)


@contextlib.contextmanager
def lock(folder: Path | str) -> Iterator[None]:
    """Hold ``folder`` against a second writer for as long as the block runs.

    The kernel drops the lock when its owner dies, so a kill leaves nothing to clean up.

    Raises:
        StorageError: another process holds it; the message names its host and process.
    """
    folder = Path(folder)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _held(folder / ".lock", folder):
        yield


@contextlib.contextmanager
def lock_file(path: Path | str) -> Iterator[None]:
    """Likewise for one file that is written more than once, or has others that belong to it.

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
    """Hold the file ``lock``, which names the process that writes ``what``."""
    handle = -1
    try:
        while handle < 0 or not os.fstat(handle).st_nlink:  # its last owner removed it just now
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
            # Not through a buffer, which on a full disk fails again when it is closed.
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
        try:
            yield
        finally:
            os.ftruncate(handle, 0)
    finally:
        if handle >= 0:
            os.close(handle)


def _claim(handle: int) -> bool:
    """Lock an open file or folder for as long as it is open; whether nobody else had it.

    A file system without locks (some network ones) refuses nobody: writing stays atomic there.
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
    """Remove the temporary files of processes that were killed; once a process and folder."""
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
