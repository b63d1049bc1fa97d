"""Pictures cost half a second each; what a page holds does not depend on how they look."""

import numpy as np
import pytest

from pcgen import progress, render


@pytest.fixture
def plain_pictures(monkeypatch):
    def cloud(points, normals=None, *, size, colour):
        assert np.isfinite(points).all()
        return np.full((size, size, 3), 200, np.uint8)

    monkeypatch.setattr(render, "cloud", cloud)


@pytest.fixture(autouse=True)
def loud_again():
    """``--quiet`` holds for a process; a test that used it leaves others as they were."""
    yield
    progress.set_quiet(False)
