"""Run the tests in environments of their own: lowest versions, newest versions, PyTorch3D.

    python tests/environments.py lowest --python python3.11
    python tests/environments.py newest --python python3.13
    python tests/environments.py pytorch3d

``lowest`` installs the smallest version that pyproject.toml admits of each package it names,
``newest`` the largest that pip finds, both without constraints.txt, and both run the default
tests. ``pytorch3d`` installs that extra and runs the tests marked with it. Each takes a download
of up to 5 GB, as pip brings torch with CUDA, and some minutes; the environment stays in
``.environments`` for the next time, until ``make clean``.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STATED = ["torch", "numpy", "scipy", "trimesh", "open3d", "safetensors", "h5py"]


def lowest(requirements: list[str]) -> list[str]:
    """``name>=1.2`` as ``name==1.2``; a requirement without a lower bound stays as it is."""
    return [re.sub(r">=\s*([^,;\s]+)[^;]*", r"==\1", requirement) for requirement in requirements]


def requirements(kind: str) -> list[str]:
    """What pip is asked for, in the words of pyproject.toml."""
    extras = PROJECT["optional-dependencies"]
    # Linters are pinned and no test needs them; they only narrow what else can be installed.
    whole = PROJECT["dependencies"] + [tool for tool in extras["dev"] if "==" not in tool]
    if kind == "pytorch3d":
        return whole + extras["pytorch3d"]
    return lowest(whole) if kind == "lowest" else whole


def make(kind: str, python: str) -> Path:
    """An environment with the requirements of ``kind``; gives its interpreter."""
    version = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    folder = ROOT / ".environments" / f"{kind}-{version}"
    ours = folder / "bin" / "python"
    if not ours.exists():
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
    wanted = requirements(kind)
    upgrade = ["--upgrade"] if kind == "newest" else []
    subprocess.run([ours, "-m", "pip", "install", "--quiet", *upgrade, *wanted], check=True)
    return ours


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["lowest", "newest", "pytorch3d"])
    parser.add_argument("--python", default=sys.executable)
    args, rest = parser.parse_known_args()  # what is left over goes to pytest
    python = make(args.kind, args.python)
    shown = "; ".join(f"print('{n}', m.version('{n}'))" for n in STATED)
    subprocess.run([python, "-c", f"import importlib.metadata as m; {shown}"], check=True)
    marked = ["-m", "pytorch3d and not gpu"] if args.kind == "pytorch3d" else []
    command = [python, "-m", "pytest", *marked, *rest]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": ""}).returncode


if __name__ == "__main__":
    sys.exit(main())
