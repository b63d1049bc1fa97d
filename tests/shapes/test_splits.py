"""Splits by table and by hash, and shapes that a table does not list."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pcgen.errors import DataError
from pcgen.shapes.items import SourceItem
from pcgen.shapes.listing import Entry
from pcgen.shapes.splits import apply_table, read_table, split_by_hash


def item(name, *names, split=None):
    category = name.split("/")[0]
    return SourceItem(name, category, split, Entry(f"{name}.obj", 1, "x", None, 0), names)


def test_the_official_table_goes_by_model_and_synset():
    table = read_table(
        b"id,synsetId,subSynsetId,modelId,split\r\n0,03001627,1,aa,train\r\n1,2691156,2,bb,val\r\n",
        "all.csv",
    )
    items = [item("chair/aa", "aa"), item("airplane/bb", "02691156/bb"), item("chair/cc", "cc")]
    kept, rejected = apply_table(items, table)
    assert [(i.id, i.split) for i in kept] == [("chair/aa", "train"), ("airplane/bb", "val")]
    assert "not in the splits file all.csv" in rejected[0].reason


def test_a_manifest_goes_by_file_and_may_rename_categories():
    data = "\ufefffile,licence,category,split\n./a\\x.obj,CC0,jug,test\nb/y.obj,CC0,b,training\n"
    table = read_table(data.encode(), "manifest.csv")
    kept, _ = apply_table([item("a/x", "a/x.obj"), item("b/y", "b/y.obj")], table)
    assert [(i.id, i.category, i.split) for i in kept] == [
        ("jug/x", "jug", "test"),
        ("b/y", "b", "train"),
    ]


@pytest.mark.parametrize(
    "data", [b"", b"a,b\n1,2\n", b"modelId,split\nx,\n", b"\xff\xfe\x00", b'file,split\n"x']
)
def test_other_tables_are_refused(data):
    with pytest.raises(DataError, match=r"all\.csv is not a splits file"):
        read_table(data, "all.csv")


@example(["0", "1", '"1'])  # all three are test by their hashes
@given(st.lists(st.text(min_size=1), min_size=1, max_size=40, unique=True))
def test_an_id_keeps_its_split_in_any_company(names):
    whole = {i.id: i.split for i in split_by_hash([item(f"c/{name}") for name in names])}
    assert set(whole.values()) <= {"train", "val", "test"}
    if len(names) >= 3:
        assert set(whole.values()) == {"train", "val", "test"}
    again = {i.id: i.split for i in split_by_hash([item(f"c/{n}") for n in reversed(names)])}
    assert again == whole


def test_shares_are_80_10_10():
    items = split_by_hash([item(f"c/{k}") for k in range(5000)])
    shares = [np.mean([i.split == name for i in items]) for name in ("train", "val", "test")]
    assert np.allclose(shares, [0.8, 0.1, 0.1], atol=0.02)


def test_known_splits_stay():
    items = split_by_hash([item("c/a", split="val"), item("c/b", split="train"), item("c/x")])
    assert [i.split for i in items][:2] == ["val", "train"]
    assert items[2].split in ("train", "val", "test")
