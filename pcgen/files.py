"""Writing that leaves either the old file or the new one, and locks that name their owner.

Everything the project writes goes through :func:`atomic_file` or :func:`atomic_folder`: written
under a temporary name beside the target, flushed to disk, then renamed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pcgen.errors import StorageError

TEMPORARY_PREFIX = ".part-"


@contextlib.contextmanager
def storage_errors(path: Path, hint: str = "") -> Iterator[None]:
    """Turn the operating system's refusals to write into one clear line."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full; free some space and run the command again",
            errno.EDQUOT: "the disk quota is used up; free some space and run the command again",
            errno.EROFS: "the file system is read-only; choose another folder with --out",
            errno.EACCES: "permission denied; choose another folder with --out",
            errno.EPERM: "permission denied; choose another folder with --out",
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
        handle, name = tempfile.mkstemp(path.suffix, TEMPORARY_PREFIX, path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            _flush(temporary)
            temporary.chmod(0o666 & ~_umask())  # mkstemp made it private to its owner
            temporary.replace(path)
            _flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``path`` on success; ``path`` must not exist yet."""
    path = Path(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise StorageError(f"{path} exists already; remove it or choose another name")
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                path.rmdir()
            temporary.replace(path)
            _flush(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def cache_folder(name: str) -> Path:
    """Where results that can be computed again are kept: ``$PCGEN_CACHE/NAME`` or the user's cache.

    Where that cannot be written, as in a container without a home, it is a folder of this user
    alone in the temporary one: what lies in a cache may be loaded as code.
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


@contextlib.contextmanager
def lock(folder: Path | str) -> Iterator[None]:
    """Hold ``folder`` against a second writer for as long as the block runs.

    The kernel drops the lock when its owner dies, so a kill leaves nothing to clean up.

    Raises:
        StorageError: another process holds it; the message names its host and process.
    """
    import fcntl

    folder = Path(folder)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = open(folder / ".lock", "a+")  # noqa: SIM115 - held open while locked
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            owner = handle.read().strip() or "another process"
            raise StorageError(
                f"{folder} is being written by {owner}; wait for it to end or choose another folder"
            ) from None
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()}")
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)


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
