"""Files at a URL that fsspec supports: read in place, or copied once into the cache.

``https://``, ``s3://``, ``gs://``, ``sftp://``, ``zip://`` and so on: which ones work depends on
the packages installed with fsspec, which also find the credentials. Files that are read in place
(meshes, members of an archive) are never on disk; files that must be memory-mapped (arrays, HDF5)
are copied as a whole into the user's cache, under a hash of their URL and version, so that no name
from a server becomes a path here.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pcgen.errors import DataError, PcgenError
from pcgen.files import atomic_file, cache_folder

_URL = re.compile(r"[a-z][a-z0-9+.-]+::?//?\S|[a-z][a-z0-9+.-]+::", re.IGNORECASE)
#: File attributes that change when the content does.
_VERSIONS = ("mtime", "LastModified", "last_modified", "ETag", "etag", "md5Hash", "created")
DEPTH_LIMIT = 100  # of nested folders


@dataclass(frozen=True)
class RemoteFile:
    """A file at a URL: its name relative to the listed folder, size and version."""

    name: str
    url: str
    size: int
    stamp: int


def is_url(text: Any) -> bool:
    """Whether this is a URL for fsspec rather than a path."""
    return isinstance(text, str) and "://" in text and _URL.match(text) is not None


def list_files(url: str) -> list[RemoteFile]:
    """All files at or below a URL, sorted; nothing that a server lists outside it.

    Where folders cannot be distinguished from files, as on the web, those of folders end in ``/``.

    Raises:
        DataError: nothing is there, no access, or no package for this kind of URL.
    """
    with _in_words(url):
        system, root = _system(url)
        if not url.endswith("/") and system.isfile(root):
            return [_described(system, root, root.rsplit("/", 1)[-1])]
        top = root.rstrip("/") + "/" if root.strip("/") else root
        found = system.find(root, maxdepth=DEPTH_LIMIT, detail=False)
        inside = [path for path in found if path.startswith(top)]
        if not inside:
            raise DataError(f"nothing at {url}; name a folder, an archive or a file of shapes")
        return [_described(system, path, path.removeprefix(top)) for path in sorted(inside)]


def open_url(url: str) -> IO[bytes]:
    """Open a file at a URL for random access."""
    with _in_words(url):
        system, path = _system(url)
        handle: IO[bytes] = system.open(path, "rb")
        return handle


def read_url(url: str, size: int | None = None) -> bytes:
    """The content of a file at a URL, or its first ``size`` bytes."""
    with _in_words(url):
        system, path = _system(url)
        data: bytes = system.cat_file(path, end=size)
        return data


def on_disk(file: str) -> Path:
    """A path unchanged; for a URL, a copy in the cache, made on first use."""
    if not is_url(file):
        return Path(file)
    with _in_words(file):
        system, path = _system(file)
        version = _described(system, path, path)
        target = copies() / f"{_name(file, version.stamp, version.size)}{Path(path).suffix}"
        if not target.is_file():
            download(file, target)
        return target


def download(url: str, target: Path) -> None:
    """Copy a file to disk block by block; it appears when complete."""
    with (
        _in_words(url),
        open_url(url) as source,
        atomic_file(target) as temporary,
        temporary.open("wb") as handle,
    ):
        shutil.copyfileobj(source, handle, 8 * 2**20)


def upload(source: Path, url: str) -> None:
    """Copy a file to a URL; in most object stores it appears when complete."""
    with _in_words(url):
        system, path = _system(url)
        system.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        with source.open("rb") as handle, system.open(path, "wb") as remote:
            shutil.copyfileobj(handle, remote, 8 * 2**20)


def exists(url: str) -> bool:
    with _in_words(url):
        system, path = _system(url)
        return bool(system.exists(path))


def copies() -> Path:
    """The folder of copies in the cache."""
    return cache_folder("remote")


def folder_for(url: str) -> Path:
    """The folder in the cache for a URL."""
    return copies() / _name(url.rstrip("/"))


def join(url: str, name: str) -> str:
    """The URL of a file in the folder of another; of a chain (``zip://x::URL``), in its first."""
    first, separator, rest = url.partition("::")
    return f"{first.rstrip('/')}/{name}{separator}{rest}"


@functools.lru_cache(maxsize=16)
def _system(url: str) -> tuple[Any, str]:
    import fsspec

    system, path = fsspec.core.url_to_fs(url)
    return system, str(path)


def _described(system: Any, path: str, name: str) -> RemoteFile:
    info = system.info(path)
    version = json.dumps([str(info[key]) for key in _VERSIONS if key in info])
    stamp = int.from_bytes(hashlib.sha256(version.encode()).digest()[:6])
    return RemoteFile(name, str(system.unstrip_protocol(path)), int(info["size"] or 0), stamp)


def _name(*parts: Any) -> str:
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()[:32]


@contextlib.contextmanager
def _in_words(url: str) -> Iterator[None]:
    """Convert errors: every package behind fsspec has its own."""
    try:
        yield
    except PcgenError:
        raise
    except ImportError as error:
        raise DataError(f"{url} needs a package that is not installed: {error}") from None
    except FileNotFoundError:
        raise DataError(f"nothing at {url}") from None
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise DataError(f"{url} cannot be read or written ({reason})") from None
