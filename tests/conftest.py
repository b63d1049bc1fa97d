"""Shared by all tests: few threads, no inherited settings, seeded generators."""

import os

import pytest
import torch
from hypothesis import HealthCheck, settings

from pcgen import progress

torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)
# A busy machine is no fault of a test.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def _no_inherited_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PCGEN_THREADS", raising=False)
    monkeypatch.setattr(progress, "_quiet", False)  # a command called with --quiet leaves it so
