"""The commands of the quick start, and the names in README and pages."""

import argparse
import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest

from pcgen import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
QUICK_START = (ROOT / "docs" / "start" / "command.md").read_text()
GIVEN_SHAPES = (ROOT / "docs" / "howto" / "edit.md").read_text()
PAGES = [README, *(page.read_text() for page in (ROOT / "docs").rglob("*.md"))]


def lines_of(text, heading):
    block = re.search(rf"# {heading}.*?```bash\n(.*?)```", text, re.DOTALL)
    return block[1].strip().splitlines()


@pytest.mark.slow
def test_every_line_of_the_tour_works(tmp_path, monkeypatch):
    """As written, except that the tiny preset replaces three minutes of training."""
    import subprocess

    monkeypatch.chdir(tmp_path)
    for line in lines_of(QUICK_START, "Five minutes"):
        words = shlex.split(line.replace("--budget-minutes 3", "--preset cpu-tiny"))
        if words[0] == "pcgen":
            assert cli.main([*words[1:], "--quiet"]) == 0, line
        else:
            subprocess.run([sys.executable, *words[1:]], check=True)
    for name in ("seats.npz", "path.npz", "report.html", "seats.png", "gallery/index.html"):
        assert (tmp_path / name).stat().st_size > 1000, name
    assert len(list((tmp_path / "meshes").glob("*.glb"))) == 12


@pytest.mark.slow
def test_every_line_about_given_shapes_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in lines_of(GIVEN_SHAPES, ""):
        assert cli.main([*shlex.split(line)[1:], "--quiet"]) == 0, line
    assert Path("near.png").stat().st_size > 1000
    names: dict = {}
    exec(re.search(r"```python\n(.*?)```", GIVEN_SHAPES, re.DOTALL)[1], names)
    assert len(names["answers"]) == 4


def test_every_path_that_a_page_names_exists():
    pages = "\n".join(PAGES)
    named = set(re.findall(r"`((?:pcgen|tests|data|docs|notebooks)/[\w/.]+)`", pages))
    named |= set(re.findall(r"\]\(((?:docs|data)/[\w/.]+)\)", README))
    assert len(named) > 30
    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_the_lines_of_the_readme_are_in_the_tour():
    shown = lines_of(README, "On the command line")
    assert len(shown) == 5
    assert set(shown) <= set(lines_of(QUICK_START, "Five minutes"))


def test_every_command_that_a_page_shows_exists():
    """Names in lines that begin with the command, in blocks and in code."""
    shown = {
        name for page in PAGES for name in re.findall(r"(?:^|`)pcgen ([a-z]+)", page, re.MULTILINE)
    }
    assert len(shown) > 12
    assert shown - {"has", "needs", "to", "turns"} <= set(cli.COMMANDS)


def shown_commands():
    """Every command in a block of a page or in the examples of a help text."""
    blocks = [block for page in PAGES for block in re.findall(r"```.*?\n(.*?)```", page, re.DOTALL)]
    modules = [importlib.import_module(f"pcgen.cli.{name}") for name in cli.COMMANDS]
    text = "\n".join([*blocks, *(module.__doc__ or "" for module in modules)])
    text = text.replace("\\\n", " ")
    found = re.findall(r"^(?: *|.*-m )(pcgen [a-z]+ .*)$", text, re.MULTILINE)
    return sorted(line.strip() for line in found if not line.endswith("...") and "/.." not in line)


def test_every_command_that_is_shown_has_the_options_it_shows():
    shown = shown_commands()
    assert len(shown) > 60
    for line in shown:
        name, *words = shlex.split(line, comments=True)[1:]
        parser = argparse.ArgumentParser(prog=line)
        module = importlib.import_module(f"pcgen.cli.{name}")
        if name == "bench":
            module, words = module.choose(words[0]), words[1:]
        module.add_arguments(parser)
        parser.parse_args(words)  # ends the test with the reason
