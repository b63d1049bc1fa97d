"""Listing a source: archives count as folders, malicious members are refused, links are safe."""

import os
import zipfile

import numpy as np
import pytest

from pcgen.errors import DataError, InputError
from pcgen.shapes import listing as listing_module
from pcgen.shapes import starter
from pcgen.shapes.listing import read_entry, scan
from pcgen.shapes.starter import starter_path
from tests.datasets import write_dataset


def zipped(path, names, data=b"content"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return path


def test_an_archive_stands_for_the_folder_it_holds(tmp_path):
    zipped(tmp_path / "chair.zip", ["chair/a.obj"])
    zipped(tmp_path / "table.zip", ["a.obj", "b/c.obj"])
    listing = scan(tmp_path)
    assert [entry.path for entry in listing.entries] == [
        "chair/a.obj",
        "table/a.obj",
        "table/b/c.obj",
    ]
    assert listing.entries[0].where == "chair.zip:chair/a.obj"
    assert read_entry(listing.entries[2]) == b"content"
    alone = scan(tmp_path / "table.zip")
    assert [entry.path for entry in alone.entries] == ["a.obj", "b/c.obj"]
    assert alone.name == "table"


@pytest.mark.parametrize(
    "name", ["../evil.obj", "a/../../evil.obj", "/etc/evil.obj", "C:\\evil.obj", "..\\evil.obj"]
)
def test_a_member_that_would_land_outside_is_refused(tmp_path, name):
    listing = scan(zipped(tmp_path / "x.zip", [name, "good.obj"]))
    assert [entry.path for entry in listing.entries] == ["good.obj"]
    assert "outside" in listing.rejected[0].reason


def test_a_member_that_unpacks_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    bomb = zipped(tmp_path / "bomb.zip", ["zeros.obj"], b"0" * 5_000_000)
    assert bomb.stat().st_size < 10_000
    monkeypatch.setattr(listing_module, "FILE_LIMIT", 1_000_000)
    listing = scan(bomb)
    assert listing.entries == ()
    assert "unpacks to 5000000 bytes; the limit is 1000000" in listing.rejected[0].reason
    monkeypatch.setattr(listing_module, "FILE_LIMIT", 10_000_000)
    with pytest.raises(InputError, match="the limit is 1000"):
        read_entry(scan(bomb).entries[0], 1000)


def test_a_member_that_lies_about_its_size_is_found_out(tmp_path):
    path = zipped(tmp_path / "liar.zip", ["a.obj"], b"x" * 1000)
    raw = bytearray(path.read_bytes())
    central = raw.rfind(b"PK\x01\x02")
    raw[central + 24 : central + 28] = (10).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(InputError, match="cannot be read from its archive"):
        read_entry(scan(path).entries[0])


def test_truncated_and_encrypted_archives_are_named(tmp_path):
    whole = zipped(tmp_path / "x.zip", ["a.obj", "b.obj"]).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-30])
    flagged = bytearray(whole)
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):
        at = flagged.find(mark)
        flagged[at + (6 if mark[2] == 3 else 8)] |= 1
    (tmp_path / "secret.zip").write_bytes(flagged)
    listing = scan(tmp_path)
    assert [entry.item for entry in listing.rejected] == ["cut.zip"]
    secret = next(entry for entry in listing.entries if entry.path == "secret/a.obj")
    with pytest.raises(InputError, match="encrypted"):
        read_entry(secret)


def test_damage_inside_a_member_is_named(tmp_path):
    path = zipped(tmp_path / "x.zip", ["a.obj"], os.urandom(2000))
    raw = bytearray(path.read_bytes())
    raw[500:600] = bytes(100)
    path.write_bytes(raw)
    with pytest.raises(InputError, match="archive"):
        read_entry(scan(path).entries[0])


def test_links_in_circles_and_to_nowhere_do_not_matter(tmp_path):
    (tmp_path / "set" / "a").mkdir(parents=True)
    (tmp_path / "set" / "a" / "x.obj").write_bytes(b"v")
    (tmp_path / "set" / "a" / "again").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "gone.obj").symlink_to(tmp_path / "nowhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "y.obj").write_bytes(b"v")
    (tmp_path / "set" / "b").symlink_to(tmp_path / "elsewhere")
    listing = scan(tmp_path / "set")
    assert [entry.path for entry in listing.entries] == ["a/x.obj", "b/y.obj"]
    assert [entry.item for entry in listing.rejected] == ["gone.obj"]


def test_names_that_are_no_unicode_are_listed(tmp_path):
    with open(os.fsencode(tmp_path) + b"/caf\xe9.obj", "wb") as handle:
        handle.write(b"v")
    entry = scan(tmp_path).entries[0]
    entry.path.encode()
    assert read_entry(entry) == b"v"


def test_nothing_there_is_an_error(tmp_path):
    with pytest.raises(DataError, match="nothing at"):
        scan(tmp_path / "none")


def test_folders_beyond_any_reason_are_not_followed(tmp_path):
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(150):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    assert "folders deep" in scan(tmp_path).rejected[0].reason


def test_a_prepared_set_is_no_source_and_is_passed_over_inside_one(tmp_path):
    write_dataset(tmp_path / "set", np.random.default_rng(0).normal(size=(2, 9, 3)))
    (tmp_path / "other.part" / "pieces").mkdir(parents=True)
    (tmp_path / "other.part" / "plan.json").write_text("{}")
    (tmp_path / "a.obj").write_bytes(b"v")
    assert [entry.path for entry in scan(tmp_path).entries] == ["a.obj"]
    with pytest.raises(DataError, match="is a prepared data set"):
        scan(tmp_path / "set")


def test_the_starter_data_is_found_or_missed_in_words(tmp_path, monkeypatch):
    assert {entry.path.split("/")[0] for entry in scan(starter_path()).entries} >= {"seat", "lamp"}
    monkeypatch.setattr(starter, "__file__", str(tmp_path / "pcgen" / "shapes" / "x.py"))
    with pytest.raises(DataError, match="install pcgen again"):
        starter_path()
