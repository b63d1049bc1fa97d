"""Data sets behind a URL: copied once into the cache to be memory-mapped, and published there.

A data set is known by the bytes of its ``dataset.json``, which hold the hash of its content:
while they are the same, the copy is used as it is. It is also written last, so a data set that
is being published is not there yet.
"""

from __future__ import annotations

from pathlib import Path

from pcgen import progress, remote
from pcgen.errors import DataError
from pcgen.files import atomic_folder

DESCRIPTION = "dataset.json"
_FILES = ("points.npy", "normals.npy", "index.csv", "report.json")
_OPTIONAL = ("normals.npy", "report.json")


def local_folder(location: Path | str) -> Path:
    """The folder of a data set: itself, or the copy of the one behind a URL.

    Raises:
        DataError: no data set there, or it cannot be reached and there is no copy.
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
    """Copy a finished data set to a URL, its description last."""
    progress.say(f"copying {folder} to {url}")
    for name in (*_FILES, DESCRIPTION):
        if (folder / name).is_file():
            remote.upload(folder / name, remote.join(url, name))


def is_published(folder: Path, url: str) -> bool:
    """Whether a URL holds the data set of a folder already."""
    there = remote.join(url, DESCRIPTION)
    return remote.exists(there) and _is_copy(folder, remote.read_url(there))


def _is_copy(folder: Path, described: bytes) -> bool:
    try:
        return (folder / DESCRIPTION).read_bytes() == described
    except OSError:
        return False
