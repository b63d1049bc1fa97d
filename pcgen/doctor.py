"""What is installed, what works and how fast, tested on a small case of each."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pcgen.cores import free_cores, usable_cores
from pcgen.jobs import child
from pcgen.progress import duration

SYSTEM_LIBRARIES = "libusb-1.0-0 libegl1 libgl1 libgomp1 libx11-6 libvulkan1 mesa-vulkan-drivers"
PROBE_SECONDS = 120.0
LEAST_DISK = 2**30
PRESETS = {"cpu-tiny": 5, "cpu-small": 5, "gpu": 1}
"""Timed steps of each preset."""
README_STEPS = 3800
"""Autoencoder steps for the README's seats, trained for nine minutes."""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was tested.
        works: whether it works.
        detail: version, or what went wrong.
        remedy: what to do if it does not work; else empty.
    """

    name: str
    works: bool
    detail: str
    remedy: str = ""


# package, distribution, purpose, extra ("" is the core installation)
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
    ("ott", "ott-jax", "a comparison in pcgen bench transport", "bench"),
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
_STEP_PROBE = """
import json
from pcgen.train.budget import SHARES
from pcgen.train.presets import preset
from pcgen.train.step_timing import step_seconds
times = [step_seconds({name!r}, threads, {steps}) for threads in {threads}]
share = SHARES["autoencoder"] / sum(SHARES.values())
print(json.dumps([preset({name!r}).autoencoder_loop.steps, share, times]))
"""


def examine() -> dict[str, Any]:
    """Everything that ``pcgen doctor`` prints; ``ok`` means that the pipeline works here."""
    packages = [_package(*row) for row in PACKAGES]
    kernels = [_kernel(name) for name in ("dense", "kdtree", "native", "keops", "pytorch3d")]
    system = [*_compilers(), *_open3d(), _display(), _disk(Path.cwd())]
    free = free_cores()
    speed = [_cores(free), *(_speed(name, round(free)) for name in PRESETS)]
    needed = [p for p, row in zip(packages, PACKAGES, strict=True) if row[3] == ""]
    needed += [k for k in kernels if k.name in ("kernels dense", "kernels kdtree")]
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "gpu": _gpu(),
        "packages": [asdict(item) for item in packages],
        "kernels": [asdict(item) for item in kernels],
        "system": [asdict(item) for item in system],
        "speed": [asdict(item) for item in speed],
        "ok": all(item.works for item in needed),
    }


def probe(code: str) -> tuple[bool, str]:
    """Run ``code`` in a separate process, as it may crash.

    Returns:
        whether it succeeded, and its output or what went wrong.
    """
    done = child.probe(code, PROBE_SECONDS)
    if done.code is None:
        return False, f"no answer within {PROBE_SECONDS:.0f} s"
    if done.code == 0:
        return True, done.out.strip()
    lines = [line.strip() for line in done.err.splitlines() if line.strip()]
    return False, lines[-1] if lines else f"the process ended with {done.code}"


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
        "native": "install a C compiler (apt install gcc); without it other backends are used",
        "keops": "install a C++ compiler (apt install g++) and pip install pykeops",
        "pytorch3d": "optional, in a separate environment: pip install 'pcgen[pytorch3d]'",
    }
    remedy = "" if works else remedies.get(backend, "pip install --force-reinstall torch scipy")
    return Finding(name, works, "a small case agrees with dense" if works else detail, remedy)


def _compilers() -> list[Finding]:
    """The compilers that compile kernels on first use."""
    wanted = (
        ("C compiler", os.environ.get("CC", "cc"), "apt install gcc (for the native kernels)"),
        ("C++ compiler", "g++", "apt install g++ (KeOps compiles its kernels with it)"),
    )
    places = [(name, shutil.which(program), remedy) for name, program, remedy in wanted]
    return [
        Finding(name, place is not None, place or "none", "" if place else remedy)
        for name, place, remedy in places
    ]


def _display() -> Finding:
    screen = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    remedy = "" if screen else "pcgen view needs one; --png and pcgen gallery do not"
    return Finding("display", bool(screen), screen or "none", remedy)


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    room = free >= LEAST_DISK
    remedy = "" if room else "a data set and a run of a thousand shapes take about 1 GB"
    return Finding("disk", room, f"{free / 2**30:.1f} GiB free in {folder}", remedy)


def _cores(free: float) -> Finding:
    usable = usable_cores()
    enough = free >= 0.5
    remedy = "" if enough else "other processes use them all; training is slower accordingly"
    return Finding("cores", enough, f"{usable} usable, {free:.1f} free at present", remedy)


def _speed(name: str, cores: int) -> Finding:
    """The expected speed of a preset, from steps of its autoencoder, with one and more threads."""
    threads = sorted({1, max(1, cores)})
    code = _STEP_PROBE.format(name=name, threads=threads, steps=PRESETS[name])
    works, output = probe(code)
    label = f"preset {name}"
    if not works:
        return Finding(label, False, output, "too slow or too large here; use another preset")
    steps, share, times = json.loads(output)
    measured = ", ".join(
        f"{1000 * seconds:.0f} ms with {count} thread{'s' * (count > 1)}"
        for count, seconds in zip(threads, times, strict=True)
    )
    whole = duration(steps * min(times))
    detail = f"a step of the autoencoder {measured}; its {steps:,} steps {whole}"
    if name == "cpu-small":
        minutes = README_STEPS * min(times) / 60 / share
        detail += f"; the README's seats need --budget-minutes {max(1, round(minutes))}"
    return Finding(label, True, detail)


def _open3d() -> list[Finding]:
    works, detail = probe(_OPEN3D_PROBE)
    remedy = "" if works else f"apt install {SYSTEM_LIBRARIES}"
    first = Finding("open3d imports", works, "yes" if works else detail, remedy)
    if not works:
        return [first]
    works, detail = probe(_GRAPHICS_PROBE)
    remedy = "" if works else f"apt install {SYSTEM_LIBRARIES}; without it use pcgen gallery"
    detail = "off-screen rendering" if works else detail
    return [first, Finding("open3d graphics", works, detail, remedy)]


def _gpu() -> str:
    works, detail = probe("import torch; assert torch.cuda.is_available(), 'none seen by torch'")
    if not works:
        return detail.split(": ", 1)[-1]
    return "CUDA (pcgen only ran on a simulated device, never on a real one: docs/notes/device.md)"
