"""The README's tour, line by line, as a user would paste it."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from pcgen import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def tour():
    block = re.search(r"## Five minutes.*?```bash\n(.*?)```", README, re.DOTALL)
    return block[1].strip().splitlines()


@pytest.mark.slow
def test_every_line_of_the_tour_works(tmp_path, monkeypatch):
    """As written, but for the training time: the tiny preset instead of three minutes."""
    import subprocess

    monkeypatch.chdir(tmp_path)
    for line in tour():
        words = shlex.split(line.replace("--budget-minutes 3", "--preset cpu-tiny"))
        if words[0] == "pcgen":
            assert cli.main([*words[1:], "--quiet"]) == 0, line
        else:
            subprocess.run([sys.executable, *words[1:]], check=True)
    for name in ("seats.npz", "path.npz", "report.html", "seats.png", "gallery/index.html"):
        assert (tmp_path / name).stat().st_size > 1000, name
    assert len(list((tmp_path / "meshes").glob("*.glb"))) == 12


def test_every_path_the_readme_names_exists():
    named = set(re.findall(r"`((?:pcgen|tests|data|docs)/[\w/.]+)`", README))
    named |= set(re.findall(r"\]\(((?:docs|data)/[\w/.]+)\)", README))
    assert len(named) > 5
    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_every_command_the_readme_shows_exists():
    shown = set(re.findall(r"`?pcgen ([a-z]+)", README))
    assert shown - {"has", "offers", "turns", "in", "import"} <= set(cli.COMMANDS)
