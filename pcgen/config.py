"""Conversion of settings, which are frozen dataclasses next to their code, to and from JSON.

Reading is strict, so a run can embed its settings, and an unknown or mistyped key is an error
rather than a silent default.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from typing import Any, TypeVar

from pcgen.errors import InputError

T = TypeVar("T")


def to_plain(settings: Any) -> Any:
    """Convert a dataclass, also a nested one, to JSON-ready dicts, lists and scalars."""
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        return {f.name: to_plain(getattr(settings, f.name)) for f in dataclasses.fields(settings)}
    if isinstance(settings, tuple | list):
        return [to_plain(item) for item in settings]
    if isinstance(settings, dict):
        return {str(key): to_plain(value) for key, value in settings.items()}
    return settings


def from_plain(kind: type[T], plain: Any, where: str = "settings") -> T:
    """Build the dataclass ``kind`` from plain data; refuse unknown keys and wrong types.

    Raises:
        InputError: a key is unknown or missing, or a value has the wrong type.
    """
    if not isinstance(plain, dict):
        raise InputError(f"{where} must be a JSON object, got {type(plain).__name__}")
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(plain) - set(fields))
    if unknown:
        raise InputError(
            f"{where} has unknown keys {', '.join(unknown)}; known are {', '.join(fields)}"
        )
    values = {key: _convert(hints[key], value, f"{where}.{key}") for key, value in plain.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise InputError(f"{where} is incomplete: {error}") from None


def digest(settings: Any) -> str:
    """A short hash of settings, equal if and only if their JSON form is equal."""
    text = json.dumps(to_plain(settings), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        rest = [option for option in options if option is not type(None)]
        for option in rest[:-1]:
            try:
                return _convert(option, value, where)
            except InputError:
                continue
        return _convert(rest[-1], value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"{where} must be a list, got {value!r}")
        inner = typing.get_args(hint)
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_convert(inner[0], item, where) for item in value)
        if len(inner) != len(value):
            raise InputError(f"{where} must have {len(inner)} entries, got {len(value)}")
        return tuple(_convert(h, item, where) for h, item in zip(inner, value, strict=True))
    if origin is dict:
        if not isinstance(value, dict):
            raise InputError(f"{where} must be an object, got {value!r}")
        inner = typing.get_args(hint)[1]
        return {str(key): _convert(inner, item, where) for key, item in value.items()}
    if origin is typing.Literal:
        if value not in typing.get_args(hint):
            raise InputError(f"{where} must be one of {typing.get_args(hint)}, got {value!r}")
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_plain(hint, value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    known = isinstance(hint, type) and hint is not object
    if known and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise InputError(f"{where} must be {hint.__name__}, got {value!r}")
    return value
