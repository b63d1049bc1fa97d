"""Docstrings as the pages need them: an extension of griffe, which mkdocstrings reads code with.

The code's docstrings have sections without a blank line before them, roles such as
``:class:`Data```, and tables between lines of equals signs. All of these are plain text to
Markdown, so they are rewritten here.
"""

from __future__ import annotations

import re

import griffe

SECTION = re.compile(r"(?<!\n)\n(Args|Attributes|Returns|Raises|Yields|Example)(:\n)")
ROLE = re.compile(r":\w+:`~?([^`]+)`")
ERRORS = re.compile(r"(?m)(?<=[.;)]) (\w+(?:Error|Reference)): ")


def rewritten(text: str) -> str:
    text = SECTION.sub(r"\n\n\1\2", text)
    text = text.replace("\nExample:\n", "\nExamples:\n").replace("  # doctest: +SKIP", "")
    text = ROLE.sub(r"``\1``", text)
    text = re.sub(r"::$", ":", text, flags=re.MULTILINE)
    head, raises, rest = text.partition("\nRaises:\n")
    text = head + raises + ERRORS.sub(r"\n    \1: ", rest)
    lines, inside = [], False
    for number, line in enumerate(text.split("\n")):
        edge = re.fullmatch(r"=+(  +=+)+", line) is not None
        # The last of a table's edges has nothing or a blank line after it.
        ends = edge and not "".join(text.split("\n")[number + 1 : number + 2]).strip()
        lines.append("    " + line if edge or inside else line)
        inside = (inside or edge) and not ends
    return "\n".join(lines)


class Rewritten(griffe.Extension):
    """Rewrites every docstring once it is read."""

    def on_package(self, *, pkg: griffe.Module, **_: object) -> None:
        self.on_object(obj=pkg)  # the package itself is no object of a package

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        if obj.docstring is not None:
            obj.docstring.value = rewritten(obj.docstring.value)
