"""Pictures take half a second each, and the content of a page does not depend on them."""

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
    """``--quiet`` applies to a process; a test that uses it must not affect others."""
    yield
    progress.set_quiet(False)
