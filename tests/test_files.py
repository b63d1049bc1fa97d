"""Writing leaves the old file or the new one, and allows one writer at a time."""

import contextlib
import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pcgen import files
from pcgen.errors import StorageError
from pcgen.files import atomic_file, atomic_folder, lock, lock_file, write_json

ROOT = Path(__file__).parent.parent


def test_a_disk_too_full_for_a_lock_is_named(tmp_path, monkeypatch):
    def full(handle, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match="the disk is full"), lock(tmp_path / "run"):
        pytest.fail("it must not be held")
    monkeypatch.undo()
    with lock(tmp_path / "run"):
        assert str(os.getpid()) in (tmp_path / "run" / ".lock").read_text()


def test_the_lock_of_a_file_is_gone_with_its_owner(tmp_path):
    with lock_file(tmp_path / "map.npz"):
        with pytest.raises(StorageError, match=r"map\.npz is being written by process"):
            lock_file(tmp_path / "map.npz").__enter__()
        assert [path.name for path in tmp_path.iterdir()] == [".map.npz.lock"]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_its_owner_removes_while_another_opens_it_is_no_lock(tmp_path, monkeypatch):
    """Otherwise the second locks an unlinked file, and a third another of the same name."""
    claim, beside = files._claim, tmp_path / ".map.npz.lock"

    def late(handle):
        monkeypatch.setattr(files, "_claim", claim)
        beside.unlink()
        return claim(handle)

    monkeypatch.setattr(files, "_claim", late)
    with lock_file(tmp_path / "map.npz"):
        assert str(os.getpid()) in beside.read_text()


def test_an_error_while_writing_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with contextlib.suppress(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_written_file_has_the_usual_permissions(tmp_path):
    with atomic_file(tmp_path / "a") as temporary:
        temporary.write_text("x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with contextlib.suppress(RuntimeError), atomic_folder(tmp_path / "set") as folder:
        (folder / "one").write_text("1")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(tmp_path / "set") as folder:
        (folder / "one").write_text("1")
        assert not (tmp_path / "set").exists()
    assert (tmp_path / "set" / "one").read_text() == "1"


def test_an_existing_folder_is_not_overwritten(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine").touch()
    with pytest.raises(StorageError, match="exists already"), atomic_folder(tmp_path / "set"):
        pass
    assert (tmp_path / "set" / "mine").exists()


def test_a_path_through_a_file_is_explained(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write"):
        write_json(tmp_path / "file" / "x.json", {})


def test_nan_is_not_written_as_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_second_writer_is_refused_and_told_who_the_first_is(tmp_path):
    code = f"from pcgen.files import lock\nwith lock({str(tmp_path)!r}): pass"
    with lock(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
        )
    assert "is being written by process" in done.stderr
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path, monkeypatch):
    """Old temporary files are removed unless locked by their owner; recent ones may be unlocked."""
    monkeypatch.setattr("pcgen.files._tidied", set())
    left, held, young = (tmp_path / f".part-{name}" for name in ("left", "held", "young"))
    for path in (left, held, young):
        path.touch()
        if path is not young:
            os.utime(path, (0, 0))
    (tmp_path / ".part-folder" / "inside").mkdir(parents=True)
    os.utime(tmp_path / ".part-folder", (0, 0))
    with held.open() as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        write_json(tmp_path / "a.json", {})
    assert {p.name for p in tmp_path.iterdir()} == {"a.json", ".part-held", ".part-young"}


def test_what_is_being_written_is_locked(tmp_path):
    with atomic_file(tmp_path / "a") as temporary, temporary.open() as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        temporary.write_text("x")
    assert (tmp_path / "a").read_text() == "x"


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_takes_the_place_of_another(tmp_path, monkeypatch, exchange):
    if not exchange:  # a system without that call
        monkeypatch.setattr("pcgen.files.ctypes.CDLL", lambda _: object())
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "old").touch()
    with atomic_folder(tmp_path / "set", replace=True) as folder:
        (folder / "new").touch()
    assert [p.name for p in (tmp_path / "set").iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_everything_is_flushed_before_it_is_renamed(tmp_path, monkeypatch):
    events = []
    real_sync, real_replace = os.fsync, Path.replace

    def fsync(handle):
        events.append(os.readlink(f"/proc/self/fd/{handle}"))
        real_sync(handle)

    def replace(self, target):
        events.append(f"renamed to {Path(target).name}")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    with atomic_folder(tmp_path / "set") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "one").write_text("1")
    write_json(tmp_path / "x.json", {})
    names = [event.rsplit("/", 1)[-1] for event in events]
    renamed = names.index("renamed to set")
    assert "one" in names[:renamed]
    assert names[renamed + 1] == tmp_path.name
    assert names[-2:] == ["renamed to x.json", tmp_path.name]
    assert names[-3].startswith(".part-")


def test_a_file_system_without_locks_is_written_all_the_same(tmp_path, monkeypatch):
    def refused(handle, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refused)
    with lock(tmp_path):
        write_json(tmp_path / "x.json", {})
    assert (tmp_path / "x.json").exists()
