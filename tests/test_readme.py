"""The tour of the quick start, line by line, and what README and pages name."""

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
