"""The pictures of the concept pages, and docstrings as rendered."""

import ast
import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PACKAGE = DOCS.parent / "pcgen"
COMMANDS = ("cli", "bench")  # the head of a command is the text of --help


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_every_picture_of_the_concept_pages_is_drawn(tmp_path):
    pictures = loaded("pictures")
    for name, draw in pictures.PICTURES.items():
        few = {"steps": 20} if name == "characteristic.png" else {}
        draw(tmp_path / name, **few)
        assert (tmp_path / name).stat().st_size > 10_000
        assert (DOCS / "assets" / name).exists()


def test_sections_roles_errors_and_tables_of_docstrings_become_markdown():
    pytest.importorskip("griffe", reason="of the docs extra")
    text = """Make it with :class:`~pcgen.api.Data`, so::

    make()

Args:
    path: a file.
Raises:
    InputError: no path. DataError: no file.

Example:
    >>> make()  # doctest: +SKIP

====  =====
a     b
====  =====
"""
    assert (
        loaded("docstrings").rewritten(text)
        == """Make it with ``pcgen.api.Data``, so:

    make()

Args:
    path: a file.

Raises:
    InputError: no path.
    DataError: no file.

Examples:
    >>> make()

    ====  =====
    a     b
    ====  =====
"""
    )


def test_the_head_of_a_module_is_short_and_begins_with_one_sentence():
    long = []
    for path in PACKAGE.rglob("*.py"):
        head = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        command = path.parent.name in COMMANDS or path.name == "__main__.py"
        limit = 30 if path.name == "__init__.py" else 14
        if not command and path.parent != PACKAGE:
            lines = (head or "").splitlines()
            if not lines or not lines[0].endswith((".", ":")) or len(lines) > limit:
                long.append(f"{path.relative_to(PACKAGE)}: {len(lines)} lines")
    assert long == []
