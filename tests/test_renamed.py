"""Names from before still import, with a warning that tells the new one."""

import importlib

import pytest

from pcgen import renamed


@pytest.mark.parametrize("old", renamed.MODULES)
def test_an_old_module_imports_with_a_warning(old):
    new = renamed.MODULES[old]
    with pytest.warns(DeprecationWarning, match=f"is now {new}"):
        module = importlib.reload(importlib.import_module(old))
    there = importlib.import_module(new)
    public = [name for name in vars(there) if not name.startswith("_")]
    assert all(getattr(module, name) is getattr(there, name) for name in public)


@pytest.mark.parametrize(
    ("module", "name"), [(m, n) for m in renamed.NAMES for n in renamed.NAMES[m]]
)
def test_an_old_name_is_handed_out_with_a_warning(module, name):
    place, new = renamed.NAMES[module][name]
    with pytest.warns(DeprecationWarning, match=f"is now {place}.{new}"):
        found = getattr(importlib.import_module(module), name)
    assert found is getattr(importlib.import_module(place), new)


def test_a_name_that_never_was_is_an_attribute_error():
    transport = importlib.import_module("pcgen.transport")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        transport.nonsense  # noqa: B018
