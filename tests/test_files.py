"""Writing: either the old file or the new one, and one writer at a time."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from pcgen.errors import StorageError
from pcgen.files import atomic_file, atomic_folder, lock, write_json

ROOT = Path(__file__).parent.parent


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
