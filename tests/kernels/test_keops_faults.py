"""KeOps with missing requirements, in separate processes, as it checks once."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("pykeops") is None, reason="no pykeops"),
]

ASKED = """
import json, warnings
import torch
from pcgen import kernels
from pcgen.errors import PcgenError
from pcgen.kernels import backends

torch.cuda.is_available = lambda: True  # as with a driver; there may be no more than that
x = torch.rand(1, 5, 3)
try:
    kernels.nearest(x, x, backend="keops")
    said = ""
except PcgenError as error:
    said = str(error)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    backends.keops_usable_on_cuda()
    usable = backends.keops_usable_on_cuda()
print(json.dumps([said, usable, [str(w.message) for w in told if "KeOps" in str(w.message)]]))
"""


def ask(**environment):
    """The error of an explicit keops, whether ``auto`` would use it on CUDA, and its warnings."""
    done = subprocess.run(
        [sys.executable, "-c", ASKED], capture_output=True, text=True, check=True, timeout=1800,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment},
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def test_a_cache_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    message, usable, told = ask(KEOPS_CACHE_FOLDER=str(tmp_path / "file" / "cache"))
    assert "set KEOPS_CACHE_FOLDER" in message
    assert not usable
    assert len(told) == 1
    assert "dense distances" in told[0]


def test_no_compiler(tmp_path):
    message, usable, told = ask(KEOPS_CACHE_FOLDER=str(tmp_path / "cache"), PATH="/nowhere")
    assert "g++" in message
    assert not usable
    assert "C++ compiler is missing" in told[0]


def test_no_cuda(tmp_path):
    """Nothing is asked on the CPU here; on CUDA, KeOps would read addresses of the device."""
    _, usable, told = ask()
    assert not usable
    assert len(told) == 1
    assert "NVRTC" in told[0]
