"""Run the tests in separate environments: lowest and newest versions, PyTorch3D, the wheel.

    python tests/environments.py lowest --python python3.11
    python tests/environments.py newest --python python3.13
    python tests/environments.py pytorch3d
    python tests/environments.py wheel --python python3.12

``lowest`` installs the smallest version that pyproject.toml admits of each package it names,
``newest`` the largest that pip finds, both without constraints.txt, and both run the default
tests. ``pytorch3d`` installs that extra and runs the tests marked with it. Each takes a download
of up to 5 GB, as pip brings torch with CUDA, and some minutes; the environment stays in
``.environments`` for the next time, until ``make clean``.

``wheel`` installs the wheel in ``dist`` into an empty environment, with the versions of
constraints.txt, and draws shapes there with no compiler on the path; then the same with the sdist.
``make package`` builds both first. The environment is removed again.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STATED = ["torch", "numpy", "scipy", "trimesh", "open3d", "safetensors", "h5py"]


def lowest(requirements: list[str]) -> list[str]:
    """``name>=1.2`` as ``name==1.2``; a requirement without a lower bound stays as it is."""
    return [re.sub(r">=\s*([^,;\s]+)[^;]*", r"==\1", requirement) for requirement in requirements]


def requirements(kind: str) -> list[str]:
    """The requirements for pip, from pyproject.toml."""
    extras = PROJECT["optional-dependencies"]
    # Linters are pinned and no test needs them; they only narrow what else can be installed.
    whole = PROJECT["dependencies"] + [tool for tool in extras["dev"] if "==" not in tool]
    if kind == "pytorch3d":
        return whole + extras["pytorch3d"]
    return lowest(whole) if kind == "lowest" else whole


def make(kind: str, python: str) -> Path:
    """Make an environment with the requirements of ``kind``; returns its interpreter."""
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


# What a user does first, and a look at the licences that must come along.
FIRST_SHAPES = """
import sys
from importlib.metadata import files

import numpy as np
import pcgen
from pcgen.kernels import compiled

assert "site-packages" in pcgen.__file__, pcgen.__file__
assert not compiled.usable(), "a compiler was found"
points = np.load("seats.npz")["points"]
assert points.shape == (12, 2048, 3), points.shape
assert np.isfinite(points).all()
assert pcgen.load("seats").sample(2, seed=1)[0].mesh().report.watertight
assert len(pcgen.prepare("starter", "lamps", categories=["lamp"], points=16)) == 28
names = {path.name for path in files("pcgen")}
assert names >= {"LICENSE", "ATTRIBUTION.md", "three.LICENSE", "py.typed", "native.c"}, names
print("Python", sys.version.split()[0], "draws shapes from", pcgen.__file__)
"""


def check_wheel(python: str) -> int:
    """Install what is in ``dist`` and use it: first the wheel, then the sdist."""
    (wheel,), (sdist,) = ((ROOT / "dist").glob(end) for end in ("*.whl", "*.tar.gz"))
    with tempfile.TemporaryDirectory() as folder:
        bin = Path(folder) / "env" / "bin"
        subprocess.run([python, "-m", "venv", str(bin.parent)], check=True)
        pip = [bin / "python", "-m", "pip", "install", "--quiet", "--no-cache-dir"]
        wanted = [wheel, "-c", ROOT / "constraints.txt"]
        for which in (wanted, ["--no-deps", "--force-reinstall", sdist]):
            subprocess.run([*pip, *which], check=True, cwd=folder)
            alone = {**os.environ, "PATH": str(bin), "PYTHONPATH": "", "HOME": folder}
            for name in ("CC", "CXX", "XDG_CACHE_HOME"):
                alone.pop(name, None)
            draw = [bin / "pcgen", "sample", "seats", "--count", "12", "--out", "seats.npz"]
            for command in (draw, [bin / "python", "-c", FIRST_SHAPES]):
                subprocess.run(command, check=True, cwd=folder, env=alone)
            (Path(folder) / "seats.npz").unlink()
            shutil.rmtree(Path(folder) / "lamps")
    print("2 passed, 0 failed")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["lowest", "newest", "pytorch3d", "wheel"])
    parser.add_argument("--python", default=sys.executable)
    args, rest = parser.parse_known_args()  # what is left over goes to pytest
    if args.kind == "wheel":
        return check_wheel(args.python)
    python = make(args.kind, args.python)
    shown = "; ".join(f"print('{n}', m.version('{n}'))" for n in STATED)
    subprocess.run([python, "-c", f"import importlib.metadata as m; {shown}"], check=True)
    marked = ["-m", "pytorch3d and not gpu"] if args.kind == "pytorch3d" else []
    command = [python, "-m", "pytest", *marked, *rest]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": ""}).returncode


if __name__ == "__main__":
    sys.exit(main())
