"""Data sets behind a URL: downloaded once into the cache to be memory-mapped, and uploaded.

``dataset.json`` holds the hash of the content, so a copy is current while its bytes equal those at
the URL. It is uploaded last, so that an incomplete data set is never found.
"""

from __future__ import annotations

from pathlib import Path

from pcgen import progress, remote
from pcgen.errors import DataError
from pcgen.files import atomic_folder

DESCRIPTION = "dataset.json"
_FILES = ("points.npy", "normals.npy", "solids.npy", "index.csv", "report.json")
_OPTIONAL = ("normals.npy", "solids.npy", "report.json")


def local_folder(location: Path | str) -> Path:
    """The folder of a data set: the given one, or the local copy of a URL.

    Raises:
        DataError: no data set at the URL, or the URL cannot be reached and no copy exists.
    """
    if not remote.is_url(location):
        return Path(location)
    url = str(location)
    if not remote.exists(remote.join(url, DESCRIPTION)):
        raise DataError(f"no data set at {url}; make one with: pcgen prepare SOURCE --out URL")
    described = remote.read_url(remote.join(url, DESCRIPTION))
    folder = remote.folder_for(url)
    if _is_copy(folder, described):
        return folder
    progress.say(f"copying {url} to {folder}")
    with atomic_folder(folder, replace=True) as temporary:
        for name in _FILES:
            if name not in _OPTIONAL or remote.exists(remote.join(url, name)):
                remote.download(remote.join(url, name), temporary / name)
        (temporary / DESCRIPTION).write_bytes(described)
    return folder


def publish(folder: Path, url: str) -> None:
    """Upload a finished data set to a URL, ``dataset.json`` last."""
    progress.say(f"copying {folder} to {url}")
    for name in (*_FILES, DESCRIPTION):
        if (folder / name).is_file():
            remote.upload(folder / name, remote.join(url, name))


def is_published(folder: Path, url: str) -> bool:
    """Whether a URL already holds the data set of a folder."""
    there = remote.join(url, DESCRIPTION)
    return remote.exists(there) and _is_copy(folder, remote.read_url(there))


def _is_copy(folder: Path, described: bytes) -> bool:
    try:
        return (folder / DESCRIPTION).read_bytes() == described
    except OSError:
        return False
