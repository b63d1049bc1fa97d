"""The viewer without a window: the effect of each command on the drawing."""

from types import SimpleNamespace

import numpy as np
import pytest

from pcgen.editing import between
from pcgen.errors import InputError
from pcgen.evaluate.neighbours import Relation
from pcgen.reconstruct import MESH_POINTS
from pcgen.render.camera import AZIMUTH, ELEVATION, orbit_axes
from pcgen.shapes.category_frames import SourceFrame
from pcgen.shapes.cloud_files import read_clouds
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.reading import read_mesh
from pcgen.viewer.controller import Controller
from pcgen.viewer.derived_data import SKETCHED
from pcgen.viewer.descriptions import display_name
from pcgen.viewer.sources import RunSource, open_source
from pcgen.viewer.state import COLOURS, KEYS, LAYERS
from tests.viewer.conftest import FakeModel


def started(source, **more):
    controller = Controller(source, **more)
    controller.start()
    return controller


def drawn(controller):
    return {drawable.name: drawable for drawable in controller.drawables()}


class Training:
    """One training shape, the unit box's corners."""

    def __init__(self):
        self.searches = 0

    def nearest(self, cloud):
        self.searches += 1
        corners = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1]), np.float32).reshape(3, 8).T
        return SimpleNamespace(row=5, id="box", category="", distance=0.25, points=corners,
                               relation=Relation(mirrored=True))  # fmt: skip


def test_a_run_shows_the_first_seed_as_points(run_source):
    controller = started(run_source)
    assert controller.item.name == "seed 0"
    assert list(drawn(controller)) == ["points"]
    assert ("points", "64") in controller.facts()


def test_new_samples_count_the_seed_up_and_back(run_source):
    controller = started(run_source)
    controller.forward()
    controller.forward()
    assert controller.item.seed == 2
    controller.back()
    assert controller.item.seed == 1
    controller.select(41)
    assert controller.item.name == "seed 41"
    controller.select(-3)
    assert controller.state.seed == 0


def test_category_and_evaluations_draw_the_same_seed_again(run_source):
    controller = started(run_source)
    controller.choose_category("table")
    controller.choose_steps(5)
    assert run_source.model.asked[-1] == (0, "table", 5)
    assert controller.item.category == "table"
    assert len(controller.item.trace) == 6
    controller.choose_steps(99)
    assert controller.state.steps == 16
    with pytest.raises(InputError, match="no category 'sofa'; there are chair, table"):
        controller.choose_category("sofa")


def test_the_flow_slider_moves_points_from_base_to_shape(run_source):
    controller = started(run_source)
    item = controller.item
    assert np.allclose(item.at(0.0), item.base)
    assert np.allclose(item.at(1.0), item.points)
    controller.choose_steps(4)
    item = controller.item
    assert np.allclose(item.at(0.375), (item.trace[1] + item.trace[2]) / 2, atol=1e-6)
    before = drawn(controller)["points"]
    controller.scrub(0.25)
    after = drawn(controller)["points"]
    assert before.key != after.key
    shift = after.vertices.mean(0) - before.vertices.mean(0)
    assert np.allclose(shift, 0.75 * 0.5, atol=1e-5)


def test_a_way_too_short_to_be_seen_is_drawn_longer_and_says_so():
    controller = started(RunSource(FakeModel(apart=0.001), points=64))
    message = "mean distance from base to shape"
    assert message not in dict(controller.facts())
    at_the_end = drawn(controller)["points"].vertices
    controller.scrub(0.5)
    assert dict(controller.facts())[message] == "0.00173, drawn 100 times as long"
    shift = drawn(controller)["points"].vertices - at_the_end
    assert np.allclose(shift, 100 * 0.5 * 0.001, atol=1e-4)
    controller.toggle("base")
    controller.toggle("paths")
    controller.scrub(0.0)
    layers = drawn(controller)
    assert np.allclose(layers["base"].vertices, layers["points"].vertices)
    assert np.allclose(layers["paths"].vertices[0], layers["base"].vertices[:42].mean(0), atol=1e-5)


def test_the_training_shape_is_named_while_it_is_shown(run_source):
    controller = started(run_source, training=Training)
    controller.toggle("training")
    assert "nearest training shape" in dict(controller.facts())
    controller.toggle("training")
    assert "nearest training shape" not in dict(controller.facts())


def test_a_shape_that_has_but_a_number_is_called_a_shape(samples_file):
    controller = started(open_source(samples_file))
    assert display_name(controller.item) == "shape 1"


def test_a_new_shape_is_shown_as_a_shape_wherever_the_flow_stood(run_source):
    controller = started(run_source)
    controller.scrub(0.5)
    controller.scrub_by("-0.1")
    assert controller.state.time == 0.4
    controller.forward()
    assert controller.state.time == 1


def test_playing_starts_at_the_base_and_stops_at_the_shape(run_source):
    controller = started(run_source)
    controller.play()
    assert controller.state.time == 0
    ticks = 0
    while controller.tick(0.1):
        ticks += 1
    assert controller.state.time == 1
    assert 25 <= ticks <= 35
    assert not controller.state.playing


def test_two_pinned_shapes_are_blended_along_their_transport_map():
    """The seeds 0 and 4 are boxes 1 and 5 times as high as wide; proportions mix geometrically."""
    controller = started(RunSource(FakeModel(), points=2048))
    controller.blend(0.5)
    assert "pin two shapes first" in controller.state.status
    controller.pin("A")
    controller.select(4)
    controller.pin("B")
    for share in (0.25, 0.75):
        controller.blend(share)
        height = 1 + float(controller.item.latent[0, 0])
        assert height == pytest.approx(5**share, rel=0.05)
    controller.blend_by("0.25")
    assert controller.item.latent[0, 0] == 4.0
    controller.blend(0.0)
    assert np.array_equal(controller.item.points, controller.pins["A"].points)


def test_a_slider_between_two_shapes_matches_them_once(run_source, monkeypatch):
    match, asked = between.paired, []
    monkeypatch.setattr(between, "paired", lambda *ends: asked.append(1) or match(*ends))
    controller = started(run_source)
    controller.pin("A")
    controller.forward()
    controller.pin("B")
    for share in (0.2, 0.4, 0.6):
        controller.blend(share)
    assert len(asked) == 1


def test_every_layer_shows_when_asked_and_hides_again(run_source):
    mesh = Mesh(np.eye(3), np.array([[0, 1, 2]]))
    controller = started(run_source, training=Training, mesh_of=lambda item: mesh)
    for layer in LAYERS:
        controller.toggle(layer, True)
    assert set(drawn(controller)) == set(LAYERS)
    # FakeModel moves every coordinate by a half.
    assert ("mean distance from base to shape", "0.866") in controller.facts()
    assert ("nearest training shape", "box") in controller.facts()
    assert ("Chamfer distance, proportion-free", "0.25") in controller.facts()
    assert ("transformed to the sample by", "mirrored") in controller.facts()
    for layer in LAYERS:
        controller.toggle(layer)
    assert drawn(controller) == {}


def test_the_training_shape_stands_beside_the_sample_and_is_searched_once(run_source):
    training = Training()
    controller = started(run_source, training=lambda: training)
    controller.toggle("training")
    controller.toggle("points")
    controller.toggle("points")
    own, other = drawn(controller)["points"].vertices, drawn(controller)["training"].vertices
    own_middles, other_middles = own.reshape(-1, 42, 3).mean(1), other.reshape(-1, 42, 3).mean(1)
    right = orbit_axes(AZIMUTH, ELEVATION)[0]
    assert (other_middles @ right).min() == pytest.approx((own_middles @ right).max() + 0.25)
    assert training.searches == 1
    controller.forward()
    assert training.searches == 2
    assert controller.nearest is not None


def test_the_mesh_is_made_once_for_a_shape(run_source):
    made = []

    def mesh_of(item):
        made.append((item.seed, len(item.points)))
        return Mesh(np.eye(3), np.array([[0, 1, 2]]))

    controller = started(run_source, mesh_of=mesh_of)
    controller.toggle("mesh")
    controller.toggle("mesh")
    controller.toggle("mesh")
    controller.forward()
    # Each time a coarse one of the points that are shown, then the one of more points.
    assert made == [(0, 64), (0, MESH_POINTS), (1, 64), (1, MESH_POINTS)]
    assert len(drawn(controller)["mesh"].faces) == 1


def test_the_mesh_of_a_drawn_shape_is_made_from_more_points_of_it(run_source):
    asked = []

    def mesh_of(item):
        asked.append((len(item.points), item.seed, item.steps))
        return Mesh(np.eye(3), np.array([[0, 1, 2]]))

    controller = started(run_source, mesh_of=mesh_of)
    controller.choose_steps(3)
    controller.toggle("mesh")
    assert asked == [(64, 0, 3), (MESH_POINTS, 0, 3)]
    assert ("points", "64") in controller.facts()


def test_a_coarse_mesh_is_shown_until_the_fine_one_is_there(run_source):
    coarse, fine = Mesh(np.eye(3), np.array([[0, 1, 2]])), Mesh(np.eye(3), np.array([[2, 1, 0]]))
    seen = []

    def mesh_of(item):
        seen.append(dict(controller.facts()).get("mesh"))
        return coarse if len(item.points) <= SKETCHED else fine

    controller = started(run_source, mesh_of=mesh_of)
    controller.toggle("mesh")
    assert seen == [None, "1 faces, coarse until it is ready"]
    assert controller.item.mesh is fine
    assert dict(controller.facts())["mesh"] == "1 faces"


def test_few_points_without_a_surface_do_not_hinder_the_mesh_of_all(run_source):
    mesh = Mesh(np.eye(3), np.array([[0, 1, 2]]))

    def mesh_of(item):
        if len(item.points) <= SKETCHED:
            raise InputError("all on a line")
        return mesh

    controller = started(run_source, mesh_of=mesh_of)
    controller.toggle("mesh")
    assert controller.state.status == ""
    assert controller.item.mesh is mesh


def test_a_failing_mesh_is_a_message_not_the_end(run_source):
    def mesh_of(item):
        raise InputError("all on a line")

    controller = started(run_source, mesh_of=mesh_of)
    controller.toggle("mesh")
    assert controller.state.status == "all on a line"
    assert list(drawn(controller)) == ["points"]


def test_equal_states_have_equal_keys_and_changes_have_others(run_source):
    controller = started(run_source)
    keys = [drawn(controller)["points"].key]
    assert drawn(controller)["points"].key == keys[0]
    controller.choose_size(2.0)
    keys.append(drawn(controller)["points"].key)
    controller.choose_colour("height")
    keys.append(drawn(controller)["points"].key)
    controller.forward()
    keys.append(drawn(controller)["points"].key)
    assert len(set(keys)) == 4


@pytest.mark.parametrize("mode", COLOURS)
def test_every_colouring_gives_one_colour_a_vertex(run_source, mode):
    controller = started(run_source)
    controller.choose_colour(mode)
    balls = drawn(controller)["points"]
    assert balls.colours.shape == balls.vertices.shape
    assert balls.colours.min() >= 0
    assert balls.colours.max() <= 1


@pytest.mark.parametrize(("coarse", "corners", "sides"), [(False, 42, 80), (True, 12, 20)])
def test_balls_are_spheres_that_face_outwards(coarse, corners, sides):
    from pcgen.viewer.drawing import balls

    centres = np.array([[0.0, 0, 0], [3, 1, 2]])
    vertices, faces, normals = balls(centres, 0.5, coarse)
    assert np.allclose(np.linalg.norm(vertices[:corners] - centres[0], axis=1), 0.5)
    assert np.allclose(vertices[corners:] - centres[1], 0.5 * normals[corners:])
    corners = vertices[faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    middle = corners.mean(1) - np.repeat(centres, sides, axis=0)
    assert (flat * middle).sum(1).min() > 0
    assert len(np.unique(np.sort(faces, 1), axis=0)) == 2 * sides


def test_files_say_what_only_a_run_can_do(samples_file):
    controller = started(open_source(samples_file))
    assert ("number", "1 of 3") in controller.facts()
    for act in (lambda: controller.pin("A"), controller.play, lambda: controller.toggle("base")):
        act()
        assert "pcgen view RUN" in controller.state.status
    controller.toggle("normals")
    assert controller.state.status == "this shape has no normals"
    controller.toggle("training")
    assert "--reference" in controller.state.status
    assert list(drawn(controller)) == ["points"]
    controller.back()
    assert ("number", "3 of 3") in controller.facts()


def test_files_are_shown_by_category(samples_file):
    controller = started(open_source(samples_file))
    controller.choose_category("b")
    assert controller.state.index == 1
    assert "number" not in dict(controller.facts())
    controller.choose_category("a")
    seen = []
    for _ in range(3):
        seen.append((controller.state.index, dict(controller.facts())["number"]))
        controller.forward()
    assert seen == [(0, "1 of 2"), (2, "2 of 2"), (0, "1 of 2")]
    controller.select(1)
    assert controller.state.category is None
    with pytest.raises(InputError, match="there are a, b"):
        controller.choose_category("c")


def test_a_run_trained_without_normals_is_shown_with_estimated_ones():
    controller = started(RunSource(FakeModel(normals=False), points=64))
    assert controller.item.normals is None
    assert "no normals" in controller.missing("normals")
    controller.choose_colour("normal")
    assert "estimated" in controller.state.status
    assert "points" in drawn(controller)


def test_points_that_are_not_finite_are_left_out(run_source):
    controller = started(run_source)
    controller.item.points[3] = np.nan
    controller.item = type(controller.item)(name="bad", points=controller.item.points)
    assert len(drawn(controller)["points"].vertices) == 63 * 42


def test_a_mesh_file_opens_as_a_mesh(tmp_path):
    import trimesh

    trimesh.creation.box((2, 1, 1)).export(tmp_path / "box.stl")
    controller = started(open_source(tmp_path / "box.stl"))
    assert list(drawn(controller)) == ["mesh"]
    controller.toggle("points")
    assert set(drawn(controller)) == {"mesh", "points"}


def test_large_clouds_are_dots(tmp_path):
    np.save(tmp_path / "big.npy", np.random.default_rng(0).normal(size=(7000, 3)))
    controller = started(open_source(tmp_path / "big.npy"))
    assert drawn(controller)["points"].kind == "dots"


def test_every_key_has_its_own_command_that_works(run_source, monkeypatch):
    controller = started(run_source, training=Training, mesh_of=lambda item: Mesh(
        np.eye(3), np.array([[0, 1, 2]])))  # fmt: skip
    names = [key for key, _, _ in KEYS]
    assert len(names) == len(set(names))
    own = [command for _, command, _ in KEYS if not controller.command(command)]
    assert own == ["screenshot", "export", "reset_view", "help"]


@pytest.mark.parametrize("ending", ["ply", "xyz", "npz"])
def test_an_exported_cloud_can_be_opened_again(run_source, tmp_path, ending):
    controller = started(run_source)
    path = tmp_path / f"cloud.{ending}"
    controller.export(path)
    assert controller.state.status == f"wrote {path}"
    back = open_source(path).load(0)
    own = controller.item.points
    scale = 1.0 if ending == "npz" else np.ptp(own, axis=0).max() / 2
    assert np.allclose(np.ptp(back.points, axis=0) * scale, np.ptp(own, axis=0), rtol=1e-5)
    assert np.allclose(back.normals, controller.item.normals, atol=1e-5)


def test_an_export_makes_the_mesh_it_needs_and_unknown_endings_name_the_known(run_source, tmp_path):
    made = []

    def mesh_of(item):
        made.append(item.seed)
        return Mesh(np.eye(3), np.array([[0, 1, 2]]))

    controller = started(run_source, mesh_of=mesh_of)
    controller.export(tmp_path / "a.docx")
    assert ".glb, .obj" in controller.state.status
    for name in ("a.glb", "a.stl"):
        controller.export(tmp_path / name)
        assert open_source(tmp_path / name).load(0).mesh is not None
    assert made == [0]
    assert ("mesh", "1 faces") in controller.facts()


def test_a_ply_holds_what_is_asked_for_or_else_what_is_shown(run_source, tmp_path):
    mesh = Mesh(np.eye(3), np.array([[0, 1, 2]]))
    controller = started(run_source, mesh_of=lambda item: mesh)
    held = []
    for number, (shown, asked) in enumerate(
        [(False, None), (False, True), (True, None), (True, False)]
    ):
        controller.toggle("mesh", shown)
        controller.export(tmp_path / f"{number}.ply", asked)
        held.append(open_source(tmp_path / f"{number}.ply").load(0).mesh is not None)
    assert held == [False, True, True, False]


def test_exporting_below_a_file_is_told(run_source, tmp_path):
    (tmp_path / "file").write_text("x")
    controller = started(run_source)
    controller.export(tmp_path / "file" / "cloud.npz")
    assert "cannot write" in controller.state.status


def test_exports_have_the_unit_of_the_category_as_pcgen_mesh_gives_it(tmp_path, monkeypatch):
    place = SourceFrame(20.0, (0.0, 20.0, 0.0))
    monkeypatch.setattr("pcgen.viewer.sources.frames_of_run", lambda run: {"chair": place})
    monkeypatch.setattr("pcgen.render.inputs.frames_of_samples", lambda meta: {"chair": place})
    mesh = Mesh(np.eye(3), np.array([[0, 1, 2]]))
    controller = started(RunSource(FakeModel(), points=64), mesh_of=lambda item: mesh)
    for name in ("a.ply", "a.stl", "a.npz"):
        controller.export(tmp_path / name, as_mesh=name != "a.ply")
    corners = np.eye(3) * 20 + [0, 20, 0]
    assert np.allclose(np.sort(read_mesh(tmp_path / "a.stl").vertices, 0), np.sort(corners, 0))
    own = np.array(read_clouds(tmp_path / "a.ply").clouds[0].points)
    assert np.allclose(own, controller.item.points * 20 + [0, 20, 0], atol=1e-4)
    # A samples file stays in the box, and its frame is known again when it is opened.
    again = started(open_source(tmp_path / "a.npz"))
    assert np.allclose(again.item.points, controller.item.points)
    assert again.item.frame == place
    assert again.item.origin == {"run": "no-run"}


def test_a_mesh_file_is_exported_in_its_own_unit(tmp_path):
    import trimesh

    corners = np.array([[3.0, 0, 0], [9, 0, 0], [3, 2, 0], [3, 0, 1]])
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    trimesh.Trimesh(corners, faces).export(tmp_path / "own.stl")
    controller = started(open_source(tmp_path / "own.stl"))
    assert np.abs(controller.item.mesh.vertices).max() == pytest.approx(1)
    controller.export(tmp_path / "out.obj")
    back = read_mesh(tmp_path / "out.obj").used_vertices()
    assert np.allclose([back.min(0), back.max(0)], [corners.min(0), corners.max(0)])
