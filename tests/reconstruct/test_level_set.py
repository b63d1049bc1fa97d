import numpy as np
import pytest

from pcgen.errors import InputError
from pcgen.reconstruct.level_set import check_resolution, level_set
from pcgen.reconstruct.topology import topology


def volume(vertices, faces):
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return (np.cross(a, b) * c).sum() / 6


def test_a_sphere_has_its_volume_and_faces_outwards():
    vertices, faces, count = level_set(lambda x: np.linalg.norm(x, axis=1) - 0.8, 1.1, 48)
    assert volume(vertices, faces) == pytest.approx(4 / 3 * np.pi * 0.8**3, rel=5e-3)
    assert np.abs(np.linalg.norm(vertices, axis=1) - 0.8).max() < 5e-3
    assert count < 49**3 / 3
    found = topology(vertices, faces)
    assert (found.manifold, found.components, found.genus) == (True, 1, 0)


def test_what_reaches_the_border_is_closed_there():
    vertices, faces, _ = level_set(lambda x: np.abs(x[:, 0]) - 0.5, 1.0, 16)
    assert topology(vertices, faces).manifold
    assert volume(vertices, faces) > 0


def test_a_function_without_inside_has_no_faces():
    assert len(level_set(lambda x: np.ones(len(x)), 1.0, 16)[1]) == 0


@pytest.mark.parametrize("wrong", [0, -3, 10_000])
def test_resolutions_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match="from 16 to 384"):
        check_resolution(wrong)


def test_a_resolution_is_rounded_up_to_whole_coarse_cells():
    assert [check_resolution(n) for n in (16, 17, 96)] == [16, 20, 96]
