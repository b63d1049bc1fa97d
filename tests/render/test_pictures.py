"""The content of pictures, and errors for bad input."""

import numpy as np
import pytest
from PIL import Image as Pillow

from pcgen import render
from pcgen.errors import InputError, MeshError
from pcgen.render import lighting, palette, primitives, renderer
from pcgen.render.camera import fit

PAPER = np.round(255 * np.array(palette.PAPER))


def shape_mask(picture, background):
    """Pixels that clearly differ from the background."""
    return np.abs(picture.astype(int) - np.array(background)).max(2) > 60


def test_a_dense_sphere_covers_the_disc_that_geometry_predicts(sphere_points):
    picture = render.cloud(sphere_points, size=128, ground=False, point_size=1.5)
    share = shape_mask(picture, PAPER).mean()
    # The frame is fitted to the centres; the balls' own radius adds a few per cent.
    expected = np.pi / 4 * 0.86**2
    assert expected < share < 1.25 * expected


def test_the_same_input_gives_the_same_bytes(sphere_points):
    one, two = (render.cloud(sphere_points, size=64) for _ in range(2))
    assert one.dtype == np.uint8
    assert one.shape == (64, 64, 3)
    assert (one == two).all()


def test_the_order_of_the_points_changes_nothing_one_can_see(sphere_points):
    order = np.random.default_rng(0).permutation(len(sphere_points))
    one = render.cloud(sphere_points, size=64).astype(int)
    other = render.cloud(sphere_points[order], size=64).astype(int)
    assert np.abs(one - other).mean() < 0.5


def test_sharing_light_within_pixels_changes_nothing_one_can_see(box_mesh, monkeypatch):
    shared = render.mesh(*box_mesh, size=64).astype(int)
    monkeypatch.setattr(renderer, "LIKE", 2.0)  # no two normals are so alike
    apart = render.mesh(*box_mesh, size=64).astype(int)
    assert np.abs(shared - apart).max() <= 3


def test_samples_share_the_light_of_the_first_of_their_pixel_where_it_fits():
    pixel = np.array([4, 4, 4, 9, 9, 9])
    position = np.zeros((6, 3))
    position[2] = 1.0  # another surface behind
    normal = np.tile([0.0, 0, 1], (6, 1))
    normal[4] = [0, 1, 0]  # beyond an edge
    leading, leader = renderer._leaders(pixel, position, normal, 0.5)
    assert leading.tolist() == [0, 2, 3, 4]
    assert leader.tolist() == [0, 0, 1, 2, 3, 2]


def test_light_comes_from_above(sphere_points):
    picture = render.cloud(sphere_points, size=96, elevation=0, ground=False).astype(float)
    mask = shape_mask(picture, PAPER)
    upper, lower = np.zeros_like(mask), np.zeros_like(mask)
    upper[:48], lower[48:] = True, True
    assert picture[mask & upper].mean() > picture[mask & lower].mean() + 15


def test_the_sign_of_the_normals_does_not_matter(sphere_points):
    one = render.cloud(sphere_points, sphere_points, size=64)
    other = render.cloud(sphere_points, -sphere_points, size=64)
    assert (one == other).all()


def test_estimated_normals_of_a_sphere_are_radial(sphere_points):
    for unknown in (None, np.zeros_like(sphere_points)):
        estimated = primitives.balls(sphere_points, unknown).normals
        assert np.abs((estimated * sphere_points).sum(1)).min() > 0.98


def test_a_mesh_and_its_dense_cloud_have_one_outline(box_mesh):
    import trimesh

    points, _ = trimesh.sample.sample_surface(trimesh.Trimesh(*box_mesh), 20000, seed=0)
    solid = shape_mask(render.mesh(*box_mesh, size=96, colour=(0.2, 0.2, 0.2), ground=False), PAPER)
    dots = shape_mask(render.cloud(points, size=96, colour=(0.2, 0.2, 0.2), ground=False), PAPER)
    assert (solid & dots).sum() / (solid | dots).sum() > 0.93


def test_the_faces_of_a_box_differ_in_light_and_its_creases_stay_sharp(box_mesh):
    picture = render.mesh(*box_mesh, size=96, ground=False, colour=(0.5, 0.5, 0.5))
    colours = picture[shape_mask(picture, PAPER)].astype(int).sum(1)
    counts, _ = np.histogram(colours, bins=40)
    assert (counts > 0.04 * len(colours)).sum() >= 3  # three visible faces, three peaks
    corners = primitives.triangles(*box_mesh).corners
    assert np.allclose(np.abs(corners).max(2), 1)


def test_corner_normals_of_a_fine_sphere_are_radial():
    import trimesh

    ball = trimesh.creation.icosphere(4)
    corners = primitives.corner_normals(np.asarray(ball.vertices), np.asarray(ball.faces))
    assert (corners * ball.vertices[ball.faces]).sum(2).min() > 0.999


def test_the_open_sky_reaches_a_box_top_fully_and_a_pit_less(box_mesh):
    vertices, faces = box_mesh
    sky = lighting.sky_light(primitives.triangles(vertices, faces))
    up = np.array([[0.0, 1, 0]])
    assert sky.sky(np.array([[0, 1.05, 0]]), up, 0.02)[0] == pytest.approx(1, abs=1e-6)
    assert sky.sky(np.array([[0, 0.0, 0]]), up, 0.02)[0] == pytest.approx(0, abs=1e-6)
    beside = sky.sky(np.array([[1.2, -1.0, 0]]), up, 0.02)[0]
    assert 0.4 < beside < 0.85  # the side of the box hides a part of the sky


def test_the_ground_shadow_lies_below_and_can_be_left_out(box_mesh):
    with_shadow = render.mesh(*box_mesh, size=96)
    without = render.mesh(*box_mesh, size=96, ground=False)
    changed = (with_shadow != without).any(2)
    assert changed[48:].sum() > 4 * max(1, changed[:32].sum())


def test_points_that_are_not_finite_are_left_out(sphere_points):
    spoiled = np.concatenate([sphere_points, [[np.nan, 0, 0], [np.inf, 1, 1]]])
    assert (render.cloud(spoiled, size=48) == render.cloud(sphere_points, size=48)).all()


@pytest.mark.parametrize(
    "points",
    [np.zeros((1, 3)), np.full((50, 3), 0.3), np.array([[0.0, 0, 0], [1, 0, 0]]),
     np.stack([np.linspace(0, 1, 30), np.zeros(30), np.zeros(30)], 1)],
    ids=["one point", "all equal", "two points", "a line"],
)  # fmt: skip
def test_degenerate_clouds_are_still_drawn(points):
    picture = render.cloud(points, size=64, ground=False)
    assert 0.0005 < shape_mask(picture, PAPER).mean() < 0.9


@pytest.mark.parametrize("way", [0.999, 1.001, 1.5])
def test_an_outlier_at_the_eye_or_behind_it_hides_nothing(sphere_points, way):
    eye = fit(sphere_points)[0].eye
    alone = render.cloud(sphere_points, size=48, ground=False)
    both = render.cloud(np.concatenate([sphere_points, [way * eye]]), size=48, ground=False)
    assert (shape_mask(alone, PAPER) != shape_mask(both, PAPER)).mean() < 0.01


def test_zero_normals_are_drawn_too(sphere_points):
    picture = render.cloud(sphere_points, np.zeros_like(sphere_points), size=48)
    assert shape_mask(picture, PAPER).mean() > 0.3


def test_a_cloud_without_a_finite_point_is_refused():
    with pytest.raises(InputError, match="none of the 3 points"):
        render.cloud(np.full((3, 3), np.nan))


def test_wrong_shapes_say_what_came():
    with pytest.raises(InputError, match=r"must be \(n, 3\), got \(2, 5, 3\)"):
        render.cloud(np.zeros((2, 5, 3)))
    with pytest.raises(InputError, match="normals must be"):
        render.cloud(np.zeros((4, 3)), np.zeros((3, 3)))
    with pytest.raises(InputError, match="sides must be 8 to 8192"):
        render.cloud(np.zeros((4, 3)), size=2)
    with pytest.raises(InputError, match="between 0 and 1"):
        render.cloud(np.zeros((4, 3)), colour=(255, 0, 0))
    with pytest.raises(InputError, match="#rrggbb"):
        render.cloud(np.zeros((4, 3)), colour="mauve")


def test_broken_meshes_are_refused(box_mesh):
    vertices, faces = box_mesh
    with pytest.raises(MeshError, match="no faces"):
        render.mesh(vertices, np.zeros((0, 3), int))
    with pytest.raises(MeshError, match="vertex 99 of 8"):
        render.mesh(vertices, np.array([[0, 1, 99]]))
    with pytest.raises(MeshError, match="not finite"):
        render.mesh(np.full_like(vertices, np.nan), faces)


def test_faces_with_a_nan_vertex_are_left_out(box_mesh):
    vertices, faces = box_mesh
    spoiled = np.concatenate([vertices, [[np.nan] * 3]])
    more = np.concatenate([faces, [[0, 1, 8]]])
    assert (render.mesh(spoiled, more, size=48) == render.mesh(*box_mesh, size=48)).all()


def test_a_turntable_returns_to_its_start_and_moves_between(box_mesh):
    body = primitives.triangles(*box_mesh, colour=np.linspace(0.1, 0.9, 24).reshape(8, 3))
    first, quarter, half, _ = render.turntable(body, frames=4, size=48)
    still = render.mesh(*box_mesh, colour=np.linspace(0.1, 0.9, 24).reshape(8, 3), size=48)
    assert (first != quarter).any()
    assert (first != half).any()
    assert np.abs(first.astype(int).mean((0, 1)) - still.astype(int).mean((0, 1))).max() < 12


def test_a_gif_keeps_its_frames_and_its_pace(tmp_path, box_mesh):
    frames = list(render.turntable(primitives.triangles(*box_mesh), frames=5, size=32))
    path = render.save_gif(frames, tmp_path / "turn.gif", seconds=1.0)
    with Pillow.open(path) as gif:
        assert gif.n_frames == 5
        assert gif.info["duration"] == 200
        assert gif.info["loop"] == 0
        gif.seek(2)
        back = np.asarray(gif.convert("RGB")).astype(int)
    assert np.abs(back - frames[2]).mean() < 4


def test_a_png_holds_exactly_the_picture(tmp_path, sphere_points):
    picture = render.cloud(sphere_points, size=32)
    path = render.save(picture, tmp_path / "new folder" / "a.png")
    assert (np.asarray(Pillow.open(path)) == picture).all()


def test_unknown_endings_name_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"\.png, .*not '\.bmpx'"):
        render.save(np.zeros((8, 8, 3), np.uint8), tmp_path / "a.bmpx")
    with pytest.raises(InputError, match=r"\.gif"):
        render.save_gif([np.zeros((8, 8, 3), np.uint8)], tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())
