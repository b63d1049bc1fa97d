"""What is installed and what works, found out by trying a tiny case of each."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

SYSTEM_LIBRARIES = "libusb-1.0-0 libgl1 libgomp1 libx11-6 libvulkan1 mesa-vulkan-drivers"
PROBE_SECONDS = 120.0


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was looked at.
        works: it was tried, and did.
        detail: version, or what went wrong.
        remedy: what to do where it does not work; empty where it does.
    """

    name: str
    works: bool
    detail: str
    remedy: str = ""


# package, distribution, needed for, extra ("" is the core install)
PACKAGES = (
    ("torch", "torch", "everything", ""),
    ("numpy", "numpy", "everything", ""),
    ("scipy", "scipy", "everything", ""),
    ("trimesh", "trimesh", "reading and writing meshes", ""),
    ("ot", "pot", "exact transport", ""),
    ("pykeops", "pykeops", "kernels on large clouds", ""),
    ("open3d", "open3d", "the viewer, Poisson meshes", ""),
    ("safetensors", "safetensors", "checkpoints", ""),
    ("h5py", "h5py", "DPM-style HDF5 data", ""),
    ("manifold3d", "manifold3d", "manifold meshes", ""),
    ("pytorch3d", "easypytorch3d", "the pytorch3d kernels backend", "pytorch3d"),
    ("ray", "ray", "--ray, work on a cluster", "ray"),
    ("viser", "viser", "pcgen view --web", "web"),
    ("ott", "ott-jax", "a peer in pcgen bench transport", "bench"),
    ("pytest", "pytest", "the tests", "dev"),
)

_KERNEL_PROBE = """
import torch
from pcgen import kernels
x = torch.rand(1, 40, 3, generator=torch.Generator().manual_seed(0))
squared, index = kernels.nearest(x, x + 0.001, backend={backend!r})
expected, _ = kernels.nearest(x, x + 0.001, backend="dense")
assert torch.allclose(squared, expected, atol=1e-6), "wrong distances"
"""
_OPEN3D_PROBE = """
import open3d
cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector([[0, 0, 0], [1, 0, 0]]))
assert len(cloud.points) == 2
"""
_GRAPHICS_PROBE = """
import open3d
renderer = open3d.visualization.rendering.OffscreenRenderer(16, 16)
assert renderer.render_to_image() is not None
"""


def examine() -> dict[str, Any]:
    """Everything ``pcgen doctor`` prints; ``ok`` means that the main job works here."""
    packages = [_package(*row) for row in PACKAGES]
    kernels = [_kernel(name) for name in ("dense", "kdtree", "native", "keops", "pytorch3d")]
    system = [_compiler(), *_open3d()]
    needed = [p for p, row in zip(packages, PACKAGES, strict=True) if row[3] == ""]
    needed += [k for k in kernels if k.name in ("kernels dense", "kernels kdtree")]
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "gpu": _gpu(),
        "packages": [asdict(item) for item in packages],
        "kernels": [asdict(item) for item in kernels],
        "system": [asdict(item) for item in system],
        "ok": all(item.works for item in needed),
    }


def probe(code: str) -> tuple[bool, str]:
    """Run ``code`` in a process of its own: a crash there must not take us down."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=PROBE_SECONDS
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {PROBE_SECONDS:.0f} s"
    if done.returncode == 0:
        return True, ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return False, lines[-1].strip() if lines else f"the process ended with {done.returncode}"


def _package(module: str, distribution: str, purpose: str, extra: str) -> Finding:
    if importlib.util.find_spec(module) is None:
        install = f"pcgen[{extra}]" if extra else distribution
        return Finding(module, False, f"not installed; for {purpose}", f"pip install '{install}'")
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        version = "installed"
    return Finding(module, True, version)


def _kernel(backend: str) -> Finding:
    name = f"kernels {backend}"
    works, detail = probe(_KERNEL_PROBE.format(backend=backend))
    remedies = {
        "native": "install a C compiler (apt install gcc); without it others are chosen",
        "keops": "install a C++ compiler (apt install g++) and pip install pykeops",
        "pytorch3d": "optional, in an environment of its own: pip install 'pcgen[pytorch3d]'",
    }
    remedy = "" if works else remedies.get(backend, "pip install --force-reinstall torch scipy")
    return Finding(name, works, detail or "a tiny case agrees with dense", remedy)


def _compiler() -> Finding:
    found = shutil.which("g++")
    remedy = "" if found else "apt install g++ (KeOps compiles its kernels with it)"
    return Finding("C++ compiler", found is not None, found or "none", remedy)


def _open3d() -> list[Finding]:
    works, detail = probe(_OPEN3D_PROBE)
    remedy = "" if works else f"apt install {SYSTEM_LIBRARIES}"
    first = Finding("open3d imports", works, detail or "yes", remedy)
    if not works:
        return [first]
    works, detail = probe(_GRAPHICS_PROBE)
    remedy = "" if works else f"apt install {SYSTEM_LIBRARIES}; without it use pcgen gallery"
    return [first, Finding("open3d graphics", works, detail or "off-screen rendering", remedy)]


def _gpu() -> str:
    works, detail = probe("import torch; assert torch.cuda.is_available(), 'none seen by torch'")
    return "CUDA (pcgen's GPU path is untested)" if works else detail.split(": ", 1)[-1]
