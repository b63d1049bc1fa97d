"""Settings are converted to JSON and back, strictly."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from pcgen.config import digest, from_plain, to_plain
from pcgen.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.1
    names: tuple[str, ...] = ("a",)


@dataclass(frozen=True, kw_only=True)
class Outer:
    count: int
    mode: Literal["x", "y"] = "x"
    limit: float | None = None
    inner: Inner = field(default_factory=Inner)


def test_settings_survive_the_round_trip():
    settings = Outer(count=3, mode="y", limit=2.0, inner=Inner(rate=1.0, names=("b", "c")))
    assert from_plain(Outer, to_plain(settings)) == settings


def test_a_whole_number_is_a_valid_float():
    assert from_plain(Outer, {"count": 1, "limit": 2}).limit == 2.0


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"count": 1, "cuont": 2}, "unknown keys cuont"),
        ({"count": "1"}, r"settings\.count must be int"),
        ({"count": True}, r"settings\.count must be int"),
        ({"count": 1, "mode": "z"}, "one of"),
        ({"count": 1, "inner": {"names": "abc"}}, r"inner\.names must be a list"),
        ({"count": 1, "inner": []}, "JSON object"),
        ({}, "incomplete"),
        ([], "JSON object"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(plain, message):
    with pytest.raises(InputError, match=message):
        from_plain(Outer, plain)


def test_equal_settings_have_equal_digests_and_others_do_not():
    assert digest(Outer(count=1)) == digest(Outer(count=1))
    assert digest(Outer(count=1)) != digest(Outer(count=2))
