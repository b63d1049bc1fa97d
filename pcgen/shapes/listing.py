"""List the files of a source: on disk, behind a URL, or in zip archives.

A source is a folder, one archive, or a folder with archives. An archive is listed as a folder in
its place: ``chair.zip`` gives ``chair/x.obj``, whether it holds ``chair/x.obj`` or ``x.obj``.
Members are read one at a time.
"""

from __future__ import annotations

import functools
import os
import socket
import stat
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from pcgen import remote
from pcgen.errors import DataError, InputError
from pcgen.files import storage_errors
from pcgen.shapes.arrays import ARCHIVE_ERRORS, member_fault
from pcgen.shapes.mesh_files import FILE_LIMIT

#: Limit of the members of an archive; the whole ShapeNetCore.v2 has 1.5 million.
MEMBER_COUNT_LIMIT = 10_000_000
UTF8_FLAG = 0x800  # of a member of a zip archive; without it, zipfile assumes code page 437
DEPTH_LIMIT = 100  # of folders in folders
ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True)
class Entry:
    """One file of a source.

    Attributes:
        path: relative to the source, with forward slashes; archives are folders.
        size: in bytes (unpacked).
        file: path or URL of the file, or of the archive that holds it.
        member: its name in the archive; None on disk.
        stamp: the modification time, or the checksum of a member.
    """

    path: str
    size: int
    file: str
    member: str | None
    stamp: int

    @functools.cached_property
    def suffix(self) -> str:
        return PurePosixPath(self.path).suffix.lower()

    @functools.cached_property
    def stem(self) -> str:
        return PurePosixPath(self.path).stem

    @functools.cached_property
    def parts(self) -> tuple[str, ...]:
        return PurePosixPath(self.path).parts

    @property
    def where(self) -> str:
        """Its location, for messages: ``chair.zip:chair/x.obj``."""
        return self.path if self.member is None else f"{Path(self.file).name}:{self.member}"


@dataclass(frozen=True)
class Rejected:
    """Something that is left out, and why."""

    item: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """The content of a source.

    Attributes:
        name: of the source; the category if no folder names one.
        entries: sorted by path.
        empty: folders without files.
        rejected: unreadable archives and folders, and refused members.
    """

    name: str
    entries: tuple[Entry, ...]
    empty: tuple[str, ...] = ()
    rejected: tuple[Rejected, ...] = ()

    @functools.cached_property
    def by_path(self) -> dict[str, Entry]:
        return {entry.path: entry for entry in self.entries}


@dataclass
class _Found:
    entries: list[Entry] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def listing(self, name: str) -> Listing:
        entries = tuple(sorted(self.entries, key=lambda entry: (entry.path, entry.where)))
        return Listing(name, entries, tuple(sorted(self.empty)), tuple(self.rejected))


def scan(source: Path | str) -> Listing:
    """List a folder (following links, but no cycles), an archive, or a single file.

    Raises:
        DataError: nothing at the path or URL ``source``.
    """
    if remote.is_url(source):
        return _scan_url(str(source))
    source = Path(source)
    found = _Found()
    name = source.resolve().name or "shapes"
    if source.is_dir():
        _walk(source, "", set(), found)
    elif source.is_file():
        name = source.stem
        _add_file(source, source.name, found, mount="")
    else:
        raise DataError(f"nothing at {source}; name a folder, an archive or a file of shapes")
    return found.listing(name)


def _scan_url(url: str) -> Listing:
    found = _Found()
    files = remote.list_files(url)
    alone = len(files) == 1 and files[0].url.rstrip("/").endswith(url.rstrip("/").split("://")[1])
    for file in files:
        parts = PurePosixPath(file.name).parts
        if ".." in parts or any(part.startswith(".") or part == "__MACOSX" for part in parts):
            continue
        if file.name.lower().endswith(".zip"):
            _add_archive(file.url, file.size, file.name, found, "" if alone else None)
        else:
            found.entries.append(Entry(file.name, file.size, file.url, None, file.stamp))
    name = PurePosixPath(url.rstrip("/").split("://")[1])
    return found.listing((name.stem if alone else name.name) or "shapes")


def check_visible(source: str) -> None:
    """Check that this machine can read the source; else every shape would be left out.

    Raises:
        DataError: nothing at ``source`` on this machine.
    """
    if not remote.is_url(source) and not Path(source).exists():
        raise DataError(
            f"nothing at {source} on the machine {socket.gethostname()}; the machines of a "
            "cluster must see the source under one path, or name it by a URL"
        )


def read_entry(entry: Entry, limit: int = FILE_LIMIT) -> bytes:
    """The content of one entry.

    Raises:
        InputError: larger than ``limit``, missing, or damaged in its archive.
    """
    if entry.size > limit:
        raise InputError(f"it unpacks to {entry.size} bytes; the limit is {limit}")
    try:
        if entry.member is None:
            if remote.is_url(entry.file):
                return remote.read_url(entry.file)
            return Path(entry.file).read_bytes()
        with open_archive(entry.file).open(entry.member) as handle:
            return handle.read(limit)
    except (OSError, DataError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"it cannot be read ({reason})") from None
    except ARCHIVE_ERRORS as error:
        raise InputError(f"it cannot be read from its archive ({str(error)[:200]})") from None


def on_disk(entry: Entry) -> Path | IO[bytes]:
    """The path of an entry, or an unnamed temporary file with the content of an archive's member.

    Raises:
        InputError: see :func:`read_entry`.
    """
    return remote.on_disk(entry.file) if entry.member is None else _unpacked(entry)


@functools.lru_cache(maxsize=4)
def _unpacked(entry: Entry) -> IO[bytes]:
    handle = tempfile.TemporaryFile(prefix="pcgen-")  # noqa: SIM115 - the cache keeps it open
    with storage_errors(Path(tempfile.gettempdir()), "TMPDIR names another folder."):
        handle.write(read_entry(entry))
        handle.flush()
    return handle


@functools.lru_cache(maxsize=4)
def open_archive(path: str) -> zipfile.ZipFile:
    """An archive, kept open because reading the index of a ShapeNet archive takes a second."""
    if not remote.is_url(path):
        return zipfile.ZipFile(path)
    try:
        return zipfile.ZipFile(remote.open_url(path))
    except zipfile.BadZipFile:
        raise
    except (ValueError, OSError, DataError):  # a server without range requests
        return zipfile.ZipFile(remote.on_disk(path))


def _walk(folder: Path, prefix: str, seen: set[str], found: _Found) -> None:
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen = seen | {real}
    try:
        children = sorted(os.scandir(folder), key=lambda child: child.name)
    except OSError as error:
        found.rejected.append(Rejected(prefix or str(folder), f"unreadable: {error.strerror}"))
        return
    names = {child.name for child in children}
    if {"dataset.json", "points.npy"} <= names or {"plan.json", "pieces"} <= names:
        if not prefix:
            raise DataError(
                f"{folder} is a prepared data set; name the shapes that it was made from"
            )
        return  # the output of an earlier run, perhaps unfinished
    if prefix.count("/") > DEPTH_LIMIT:
        found.rejected.append(Rejected(prefix, f"more than {DEPTH_LIMIT} folders deep"))
        return
    before = len(found.entries) + len(found.rejected) + len(found.empty)
    for child in children:
        if child.name.startswith(".") or child.name == "__MACOSX":
            continue
        path = f"{prefix}{_printable(child.name)}"
        if child.is_dir():
            _walk(Path(child.path), f"{path}/", seen, found)
        else:
            _add_file(Path(child.path), path, found)
    if prefix and len(found.entries) + len(found.rejected) + len(found.empty) == before:
        found.empty.append(prefix.rstrip("/"))


def _add_file(file: Path, path: str, found: _Found, mount: str | None = None) -> None:
    try:
        status = file.stat()
    except OSError as error:  # a link to nowhere
        found.rejected.append(Rejected(path, f"unreadable: {error.strerror}"))
        return
    if not stat.S_ISREG(status.st_mode):
        found.rejected.append(Rejected(path, "not a file: a pipe, socket or device"))
    elif file.suffix.lower() == ".zip":
        _add_archive(str(file), status.st_size, path, found, mount)
    else:
        found.entries.append(Entry(path, status.st_size, str(file), None, status.st_mtime_ns))


def _add_archive(file: str, size: int, path: str, found: _Found, mount: str | None) -> None:
    """Add the members of an archive under ``mount``, by default the folder of the archive."""
    try:
        members = open_archive(file).infolist()
    except (DataError, *ARCHIVE_ERRORS) as error:
        reason = f"not a readable zip archive ({str(error)[:200]}); is it truncated?"
        found.rejected.append(Rejected(path, reason))
        return
    reason = ""
    if len(members) > MEMBER_COUNT_LIMIT:
        reason = f"{len(members)} members; the limit is {MEMBER_COUNT_LIMIT}"
    elif sum(info.compress_size for info in members) > size:
        reason = "its members overlap, so it unpacks to more than it holds"
    if reason:
        found.rejected.append(Rejected(path, reason))
        return
    named = [(info, _name(info)) for info in members]
    named = [(info, name) for info, name in named if not name.endswith("/")]
    if mount is None:
        own = PurePosixPath(path)
        beside = path.removesuffix(own.name)
        itself = all(name.startswith(f"{own.stem}/") for _, name in named)
        mount = beside if itself else f"{beside}{own.stem}/"
    for info, name in named:
        reason = _refusal(name, info)
        if not reason and name.lower().endswith(ARCHIVES) and not _is_hidden(name):
            reason = f"an archive within an archive; unpack {Path(file).name} first"
        if reason:
            found.rejected.append(Rejected(f"{path}:{info.filename}", reason))
        elif not _is_hidden(name):
            entry = Entry(mount + name, info.file_size, file, info.filename, info.CRC)
            found.entries.append(entry)


def _name(info: zipfile.ZipInfo) -> str:
    """The path of a member; Windows writes backslashes, and a Mac UTF-8 without saying so."""
    name = info.filename
    if not info.flag_bits & UTF8_FLAG:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _refusal(name: str, info: zipfile.ZipInfo) -> str:
    """Why a member must not be read; "" if it may be."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or (len(name) > 1 and name[1] == ":"):
        return "its path leads outside its folder; refused"
    if info.file_size > FILE_LIMIT:
        return f"it unpacks to {info.file_size} bytes; the limit is {FILE_LIMIT}"
    return member_fault(info)


def _printable(name: str) -> str:
    """A file name with replacement characters for bytes that are not UTF-8."""
    return name.encode("utf-8", "replace").decode("utf-8")
