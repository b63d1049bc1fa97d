"""The tour of the quick start, line by line, and what README and pages name."""

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
    """As written, but for the training time: the tiny preset instead of three minutes."""
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
    """Of lines that begin with the command, in blocks and in code."""
    shown = {
        name for page in PAGES for name in re.findall(r"(?:^|`)pcgen ([a-z]+)", page, re.MULTILINE)
    }
    assert len(shown) > 12
    assert shown - {"has", "needs", "to", "turns"} <= set(cli.COMMANDS)


def commands_of(page):
    """The commands of pcgen in the blocks of a page, as words; also those under torchrun."""
    for block in re.findall(r"^```\w*\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True) if re.match("pcgen|torchrun", line) else []
            if "pcgen" in words and "..." not in words:
                yield words[words.index("pcgen") + 1 :]


def test_every_command_in_a_block_is_understood():
    shown = [words for page in PAGES for words in commands_of(page)]
    assert len(shown) > 30
    for name, *words in shown:
        module = importlib.import_module(f"pcgen.cli.{name}")
        if name == "bench":
            module, words = module.choose(words[0]), words[1:]
        parser = argparse.ArgumentParser(prog=f"pcgen {name}", exit_on_error=False)
        module.add_arguments(parser)
        for option in ("--json", "--quiet", "--debug"):
            parser.add_argument(option, action="store_true")
        parser.parse_args(words)
