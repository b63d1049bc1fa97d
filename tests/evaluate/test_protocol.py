"""Protocols: their frames, and a changed fixed one is called custom."""

import numpy as np
import pytest

from pcgen.errors import InputError
from pcgen.evaluate.protocol import PROTOCOLS, protocol_named
from tests.evaluate.shapes import surfaces


@pytest.mark.parametrize(("name", "side"), [("box", 2), ("dpm", 2), ("lion-box", 1)])
def test_box_protocols_fill_their_box(name, side):
    moved = surfaces(5, 80)[0] * np.float32(7) + np.float32(3)
    clouds = PROTOCOLS[name].normalise(moved)
    extent = np.ptp(clouds, axis=1)
    assert np.allclose(extent.max(1), side, atol=1e-5)
    assert np.allclose(clouds.max(1) + clouds.min(1), 0, atol=1e-5)
    again = PROTOCOLS[name].normalise(clouds)
    assert np.allclose(again, clouds, atol=1e-5)


@pytest.mark.parametrize("name", ["pointflow", "raw"])
def test_the_others_leave_clouds_alone(name):
    clouds = surfaces(2, 30)[0]
    assert PROTOCOLS[name].normalise(clouds) is clouds


def test_pointflow_is_the_published_protocol():
    protocol = PROTOCOLS["pointflow"]
    assert (protocol.split, protocol.part, protocol.points) == ("val", "last", 2048)
    assert protocol.jsd_scale == 1


@pytest.mark.parametrize("name", ["pointflow", "lion-box", "dpm"])
def test_a_changed_fixed_protocol_is_custom(name):
    changed = PROTOCOLS[name].changed(points=512)
    assert (changed.name, changed.based_on, changed.points) == ("custom", name, 512)
    same = PROTOCOLS[name].changed(points=2048, split=PROTOCOLS[name].split)
    assert same.name == name


def test_box_leaves_split_and_points_to_the_user():
    assert PROTOCOLS["box"].changed(points=512, split="train").name == "box"


def test_raw_clouds_are_brought_into_the_grid_by_the_reference():
    raw = PROTOCOLS["raw"]
    assert raw.scale_for_jsd(np.full((1, 2, 3), 0.4, np.float32)) == 1
    assert raw.scale_for_jsd(np.full((1, 2, 3), -4, np.float32)) == pytest.approx(0.125)


def test_an_unknown_protocol_names_the_known():
    with pytest.raises(InputError, match="pointflow, lion-box, dpm, box, raw, got 'pvd'"):
        protocol_named("pvd")
