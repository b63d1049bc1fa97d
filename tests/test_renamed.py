"""Old names can still be imported, with a warning that says the new one."""

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


@pytest.mark.parametrize("module", renamed.NAMES)
def test_an_old_name_is_handed_out_with_a_warning(module):
    given = importlib.import_module(module)
    for name, (place, new) in renamed.NAMES[module].items():
        with pytest.warns(DeprecationWarning, match=f"is now {place}.{new}"):
            assert getattr(given, name) is getattr(importlib.import_module(place), new)


def test_an_old_module_has_its_old_names():
    with pytest.warns(DeprecationWarning, match="is now pcgen.transport.maps.extended.PushForward"):
        from pcgen.transport.mapped import Mapped
    assert Mapped is importlib.import_module("pcgen.transport").PushForward


def test_a_name_that_never_was_is_an_attribute_error():
    transport = importlib.import_module("pcgen.transport")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        transport.nonsense  # noqa: B018
