"""Contact sheets, the picture of a shape's generation, and meshes simplified for display."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from pcgen import render
from pcgen.errors import InputError
from pcgen.render.explain import display_factor, relative_path_length
from pcgen.render.sheet import font
from pcgen.render.simplification import simplify


def plain(value, side=40):
    return np.full((side, side, 3), value, np.uint8)


def test_a_sheet_holds_every_picture_untouched_in_reading_order():
    page = render.sheet([[plain(10), plain(60)], [plain(110)]])
    found = [np.argwhere((page == value).all(2)) for value in (10, 60, 110)]
    assert [len(pixels) for pixels in found] == [1600, 1600, 1600]
    first, second, third = (pixels.min(0) for pixels in found)
    assert first[0] == second[0]
    assert first[1] < second[1]
    assert third[0] > first[0]
    assert third[1] == first[1]


def test_captions_are_written_below_their_picture():
    bare = render.sheet([[plain(10)]], [[""]])
    page = render.sheet([[plain(10)]], [["β → x"]])
    assert page.shape[0] > bare.shape[0]
    assert (page[len(bare) - 4 :] < 100).any()


def test_a_long_caption_is_cut_to_the_width_of_its_picture():
    page = render.sheet([[plain(200, 64)]], [["a very long name of a shape that goes on"]])
    dark = np.argwhere(page.max(2) < 120)
    assert dark[:, 1].min() >= 0
    assert page.shape[1] < 80


def test_the_letters_have_greek_and_arrows():
    letters = font(20)
    missing = letters.getmask("\uffff").getbbox()
    assert letters.getmask("ω").getbbox() != missing
    assert letters.getmask("→").getbbox() != missing


def test_sheets_of_nothing_or_of_mixed_sizes_are_refused():
    with pytest.raises(InputError, match="at least one picture"):
        render.sheet([[]])
    with pytest.raises(InputError, match="the same size"):
        render.sheet([[plain(1), plain(1, 41)]])
    with pytest.raises(InputError, match="same rows and columns"):
        render.sheet([[plain(1)]], [["a", "b"]])


def decoded(count=24, times=5, seed=0):
    draw = np.random.default_rng(seed)
    points = draw.uniform(-1, 1, (1, count, 3))
    base = points + 0.2 * draw.normal(size=points.shape)
    trace = np.stack([base + (points - base) * t for t in np.linspace(0, 1, times)])
    part = np.arange(count)[None] % 4
    return SimpleNamespace(points=points, normals=None, base=base, part=part, trace=trace)


def test_explaining_a_shape_shows_a_panel_for_each_thing_known():
    full = decoded()
    mesh = SimpleNamespace(vertices=np.eye(3), faces=np.array([[0, 1, 2]]))
    one_step = SimpleNamespace(**{**vars(full), "trace": None, "part": None})
    widths = [
        render.explain(full, mesh=mesh, size=48).shape[1],
        render.explain(full, size=48).shape[1],
        render.explain(one_step, size=48).shape[1],
    ]
    assert np.diff(widths).tolist() == [-50, -50]  # a picture and its gap each


@pytest.mark.parametrize(("mean", "times"), [(0.5, 1), (0.05, 2), (0.011, 10), (1e-9, 100), (0, 1)])
def test_couplings_are_drawn_so_much_longer_that_one_sees_them(mean, times):
    assert display_factor(mean, 2.0) == times


def test_short_couplings_are_seen_and_their_factor_is_stated(monkeypatch):
    texts = []
    kept = lambda rows, captions: texts.append(captions) or rows[0]  # noqa: E731
    monkeypatch.setattr(sys.modules["pcgen.render.explain"], "sheet", kept)
    shape = decoded(count=200)
    ink = {}
    for share in (1.0, 0.02):
        shape.base = shape.points + share * (decoded(count=200).base - shape.points)
        shape.trace = None
        _, couplings, _ = render.explain(shape, size=96)
        ink[share] = (couplings.max(axis=2).astype(int) - couplings.min(axis=2) > 40).sum()
    assert "\n" not in texts[0][0][1]
    assert texts[1][0][1].endswith("drawn 20 times as long")
    assert ink[0.02] > 0.3 * ink[1.0]


def test_explaining_takes_tensors_and_leaves_out_what_is_not_finite():
    import torch

    shape = decoded()
    shape.points[0, 3] = np.nan
    tensors = SimpleNamespace(
        **{k: None if v is None else torch.as_tensor(v) for k, v in vars(shape).items()}
    )
    assert (render.explain(tensors, size=48) == render.explain(shape, size=48)).all()


def test_explaining_needs_as_many_base_points_as_points():
    shape = decoded()
    shape.base = shape.base[:, :-1]
    with pytest.raises(InputError, match="as many base points"):
        render.explain(shape)


@pytest.mark.parametrize("limit", [1, 50, 500])
def test_a_simplified_mesh_keeps_the_budget_and_the_shape(limit):
    import trimesh

    ball = trimesh.creation.icosphere(5)
    vertices, faces, kept = simplify(np.asarray(ball.vertices), np.asarray(ball.faces), limit)
    assert 0 < len(faces) <= limit
    assert (vertices == ball.vertices[kept]).all()
    assert np.allclose(np.linalg.norm(vertices, axis=1), 1)
    if limit == 500:
        assert trimesh.Trimesh(vertices, faces).area == pytest.approx(4 * np.pi, rel=0.1)
        assert len(faces) > limit / 3


def test_a_mesh_within_the_budget_is_left_alone(box_mesh):
    vertices, faces, kept = simplify(*box_mesh, 12)
    assert (vertices == box_mesh[0]).all()
    assert (faces == box_mesh[1]).all()
    assert (kept == np.arange(8)).all()


@pytest.mark.slow
def test_a_mesh_of_two_million_faces_is_drawn():
    side = np.linspace(-1, 1, 1001)
    x, z = (grid.ravel() for grid in np.meshgrid(side, side))
    vertices = np.stack([x, 0.2 * np.sin(5 * x) * np.cos(4 * z), z], 1)
    corner = (np.arange(1000)[:, None] * 1001 + np.arange(1000)).ravel()
    faces = np.concatenate([corner[:, None] + [0, 1, 1001], corner[:, None] + [1, 1002, 1001]])
    picture = render.mesh(vertices, faces, size=128)
    assert picture.std() > 5


def test_the_detour_of_half_circles_is_half_of_pi():
    angle = np.linspace(0, np.pi, 400)
    arc = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    assert relative_path_length(np.stack([arc, 3 * arc], 1)) == pytest.approx(np.pi / 2, rel=1e-4)
    assert relative_path_length(np.zeros((4, 2, 3))) == 1
