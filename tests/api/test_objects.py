"""The objects of ``import pcgen``: arguments, results, errors and displays."""

import dataclasses
import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pcgen
from pcgen import cli
from pcgen.api.score import Figure
from pcgen.errors import BackendError, DataError, InputError
from tests.boxes import boxes

ROOT = Path(__file__).parent.parent.parent
FUNCTIONS = ("prepare", "train", "load", "evaluate", "fit_base", "mesh", "save_meshes", "view",
             "save_gallery")  # fmt: skip


def test_the_package_loads_nothing_heavy_until_a_name_is_used():
    code = (
        "import sys, pcgen; heavy = {'torch', 'numpy', 'scipy', 'open3d'}; "
        "print(sorted(heavy & set(sys.modules))); pcgen.mesh; print('torch' in sys.modules); "
        "pcgen.ot; print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.split("\n")[:3] == ["[]", "False", "True"]


def test_rooms_of_the_same_name_leave_the_functions_in_place():
    import pcgen.evaluate.requests
    import pcgen.train.loop
    from pcgen.train import loop

    assert inspect.isfunction(pcgen.train)
    assert inspect.isfunction(pcgen.evaluate)
    assert loop.__name__ == "pcgen.train.loop"


@pytest.mark.parametrize("name", pcgen.__all__)
def test_every_public_name_is_there_and_documented(name):
    found = getattr(pcgen, name)
    assert name == "__version__" or found.__doc__
    assert name in dir(pcgen)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="pcgenerate"):
        pcgen.pcgenerate  # noqa: B018


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_function_takes_options_it_does_not_name(name):
    for parameter in inspect.signature(getattr(pcgen, name)).parameters.values():
        assert parameter.kind is not inspect.Parameter.VAR_KEYWORD


@pytest.mark.parametrize("name", ["sample", "encode", "decode", "vary", "mix",
                                  "interpolate", "save"])  # fmt: skip
def test_every_method_of_a_model_names_and_documents_its_arguments(name):
    method = getattr(pcgen.Model, name)
    for parameter in inspect.signature(method).parameters.values():
        assert parameter.kind is not inspect.Parameter.VAR_KEYWORD
        if parameter.name != "self":
            assert parameter.name in method.__doc__, parameter.name


def test_an_unknown_keyword_is_refused(model):
    with pytest.raises(TypeError, match="pints"):
        model.sample(1, pints=3)


def test_nothing_is_printed_without_progress(data, model, tmp_path, capfd):
    shapes = model.sample(4, points=256)
    pcgen.evaluate(shapes, reference=data, points=256, seeds=1, cache=None, workers=1)
    pcgen.fit_base("gaussian", model.encode(data.points(split="train")))
    pcgen.prepare(make_clouds(tmp_path), tmp_path / "set", workers=1)
    message = capfd.readouterr()
    assert (message.out, message.err) == ("", "")


def test_what_a_file_holds_and_is_not_used_is_a_warning_and_in_a_command_a_line(
    model, tmp_path, capfd
):
    rows = [*boxes(1, 300)[0][0].tolist(), [float("nan")] * 3]
    (tmp_path / "a.xyz").write_text("\n".join(" ".join(map(str, row)) for row in rows))
    with pytest.warns(UserWarning, match="left out 1 of 301 points"):
        model.encode(tmp_path / "a.xyz")
    assert capfd.readouterr().err == ""
    words = ["encode", str(model.path), str(tmp_path / "a.xyz"), "--out", str(tmp_path / "z.npz")]
    assert cli.main([*words, "--device", "cpu"]) == 0
    assert "left out 1 of 301 points" in capfd.readouterr().err


def make_clouds(folder):
    (folder / "source").mkdir()
    for number, cloud in enumerate(boxes(4, 300)[0]):
        np.save(folder / "source" / f"{number}.npy", cloud)
    return folder / "source"


def test_a_data_set_gives_points_by_split_and_category(data):
    train = data.points(split="train", count=100)
    assert train.shape == (18, 100, 3)
    rows = data.rows(split="train", categories=["tall"])
    assert np.array_equal(
        data.points(split="train", categories=["tall"]), data.dataset.points(rows)
    )
    assert len(data) == 24
    assert data.summary()["categories"]["tall"]["train"] == len(rows)
    with pytest.raises(DataError, match="train"):
        data.points(split="validation")


def test_a_data_set_is_copied_whole(data, tmp_path):
    again = pcgen.Data.open(data.save(tmp_path / "copy"))
    assert again.dataset.content_hash == data.dataset.content_hash


def test_prepare_takes_text_and_opens_what_is_there(tmp_path):
    source = make_clouds(tmp_path)
    first = pcgen.prepare(str(source), str(tmp_path / "set"), points=200, workers=1)
    again = pcgen.prepare(source, tmp_path / "set", points=200, workers=1)
    assert first.dataset.content_hash == again.dataset.content_hash
    assert first.report["count"] == 4


def test_equal_seeds_give_equal_shapes(model):
    first, again = model.sample(3, seed=5, points=200), model.sample(3, seed=5, points=200)
    assert np.array_equal(first.points, again.points)
    assert first.points.shape == (3, 200, 3)
    assert not np.array_equal(first.points, model.sample(3, seed=6, points=200).points)


def test_shapes_are_a_sequence_and_come_back_from_their_file(model, tmp_path):
    shapes = model.sample(4, points=128)
    assert len(shapes[1:3]) == 2
    assert np.array_equal(shapes[1:3][0].points, shapes[1].points)
    assert [shape.category for shape in shapes] == list(shapes.category)
    assert shapes[1:3].meta["parents"] == shapes.meta["parents"][1:3]
    with pytest.raises(IndexError):
        shapes[4]
    again = pcgen.Shapes.load(shapes.save(tmp_path / "s.npz"))
    assert np.array_equal(again.points, shapes.points)
    assert np.array_equal(again.normals, shapes.normals)


def test_shapes_are_chosen_by_numbers_and_by_truth(model):
    shapes = model.sample(4, points=64)
    for chosen in ([2, 0], np.array([2, 0]), (shapes[2], shapes[0])):
        some = shapes[chosen] if not isinstance(chosen, tuple) else pcgen.Shapes.of(chosen)
        assert np.array_equal(some.points, shapes.points[[2, 0]])
    tall = np.array([True, False, False, True])
    assert shapes[tall].meta["parents"] == [shapes.meta["parents"][row] for row in (0, 3)]


def test_numbers_of_other_libraries_are_numbers(model):
    other = model.sample(np.int64(2), seed=np.int32(5), points=np.int16(80))
    assert np.array_equal(other.points, model.sample(2, seed=5, points=80).points)


def test_objects_are_frozen(data, model):
    shape = model.sample(1, points=64)[0]
    for thing, name in ((data, "dataset"), (model, "shape_model"), (shape, "points")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, None)


def test_a_shape_stands_in_the_unit_of_its_file(tmp_path):
    import trimesh

    trimesh.creation.box((20, 40, 10)).export(tmp_path / "box.stl")
    shape = pcgen.Shape.read(tmp_path / "box.stl")
    assert np.ptp(shape.points, axis=0) == pytest.approx([1, 2, 0.5], abs=0.02)
    assert shape.summary()["own_extents"] == pytest.approx([20, 40, 10], rel=0.02)
    saved = pcgen.Shape.read(shape.save(tmp_path / "cloud.ply"))
    assert saved.frame.scale == pytest.approx(20, rel=0.02)
    with pytest.warns(DeprecationWarning, match="is now Shape.frame"):
        assert saved.place is saved.frame
    mesh = shape.drawn(3000).mesh()
    assert mesh.report.watertight
    # Averages of planes bulge beside edges, by up to 0.6 spacings of 1.3 on either side.
    assert np.ptp(mesh.vertices, axis=0) == pytest.approx([20, 40, 10], abs=1.2)
    assert mesh.report.volume == pytest.approx(20 * 40 * 10, rel=0.03)
    again = trimesh.load_mesh(mesh.save(tmp_path / "mesh.glb"))
    assert np.ptp(again.vertices, axis=0) == pytest.approx(np.ptp(mesh.vertices, axis=0), rel=1e-4)


def test_a_score_has_figures_with_errors(data, model, tmp_path):
    shapes = model.sample(6, points=300)
    score = pcgen.evaluate(shapes, reference=data, points=256, seeds=2, cache=None, workers=1)
    summary = score.summary()
    assert float(score.nna_cd) == summary["nna_cd"]
    assert score.nna_cd.error > 0
    assert float(score.novelty) == summary["novelty_ratio_proportion_free"]
    assert score.novelty.error > 0
    assert 0 <= float(score.replay_rate) <= 1
    assert json.loads(score.save(tmp_path / "s.json").read_text())["nna_cd"] == float(score.nna_cd)
    assert "<h2>Metrics" in score.save_html(tmp_path / "s.html").read_text()


def test_a_score_of_shapes_is_that_of_their_file(data, model, tmp_path):
    shapes = model.sample(6, points=256)
    one = pcgen.evaluate(shapes, reference=data, points=256, cache=None, workers=1)
    file = shapes.save(tmp_path / "s.npz")
    other = pcgen.evaluate(str(file), reference=data.path, points=256, cache=None, workers=1)
    assert one.nna_cd == other.nna_cd
    assert one.summary()["jsd"] == other.summary()["jsd"]


def test_tensors_and_lists_of_clouds_are_one_set(data, model):
    points = model.sample(6, points=256).points
    asked = {"reference": data, "points": 256, "seeds": 1, "cache": None, "workers": 1}
    found = [
        pcgen.evaluate(samples, **asked).nna_cd
        for samples in (points, list(points), torch.tensor(points), list(pcgen.Shapes.of([
            pcgen.Shape(cloud) for cloud in points])))
    ]  # fmt: skip
    assert len(set(found)) == 1


def test_several_sets_are_compared(data, model):
    found = pcgen.evaluate(
        [model, data.shapes(split="train", count=6, points=256)],
        reference=data,
        points=256,
        seeds=1,
        cache=None,
        workers=1,
    )
    assert len(found) == 2
    assert found[1].novelty.value < found[0].novelty.value  # training shapes are no news
    assert len(found.summary()["runs"]) == 2


def test_a_figure_is_a_number_with_its_error():
    figure = Figure(0.58, 0.02, "3 seeds")
    assert float(figure) == 0.58
    assert f"{figure}" == "0.58 ± 0.02"
    assert f"{figure:.1f}" == "0.6"


@pytest.mark.parametrize("family", ["gaussian", "ae-ot"])
def test_a_base_is_fitted_drawn_from_and_kept(family, tmp_path):
    latents = np.random.default_rng(0).normal(3, 2, (200, 4))
    omega = pcgen.fit_base(family, latents, seed=0)
    drawn = omega.sample(2000, seed=1)
    assert drawn.mean(0) == pytest.approx(latents.mean(0), abs=0.3)
    assert drawn.std(0) == pytest.approx(latents.std(0), rel=0.15)
    again = pcgen.Base.load(omega.save(tmp_path / "base.safetensors"))
    assert np.array_equal(again.sample(50, seed=1), omega.sample(50, seed=1))
    assert omega.summary()["dim"] == 4


def test_a_base_refuses_unknown_families_and_text():
    with pytest.raises(InputError, match="ae-ot"):
        pcgen.fit_base("gaus", np.zeros((4, 2)))
    with pytest.raises(InputError, match="numbers"):
        pcgen.fit_base("gaussian", "latents")


def test_latents_go_both_ways(data, model):
    z = model.encode(data.points(split="test", count=512))
    assert z.shape == (6, model.latent_dim)
    one = model.encode(data[3])
    assert one.shape == (1, model.latent_dim)
    shapes = model.decode(z, points=300)
    assert shapes.points.shape == (6, 300, 3)
    assert np.array_equal(
        model.decode(z[2], points=300)[0].points, model.decode(z[2:3], points=300)[0].points
    )


def test_files_lists_and_arrays_are_encoded_alike(data, model, tmp_path):
    cloud = data.points(split="test", count=400)[0]
    np.save(tmp_path / "cloud.npy", cloud * 7 + 3)  # another unit and place
    z = model.encode([tmp_path / "cloud.npy", cloud])
    assert z[0] == pytest.approx(z[1], abs=1e-3)
    assert model.encode(str(tmp_path / "cloud.npy"))[0] == pytest.approx(z[0])


@pytest.mark.parametrize("latents", [np.zeros((2, 5)), np.zeros((0, 5)), "z", np.zeros((2, 2, 2))])
def test_latents_of_the_wrong_size_are_refused(model, latents):
    with pytest.raises(InputError, match="latents"):
        model.decode(latents)


def test_latents_of_nan_are_refused(model):
    with pytest.raises(InputError, match="NaN"):
        model.decode(np.full(model.latent_dim, np.nan))


def test_clouds_of_nan_are_refused_by_number(model):
    cloud = boxes(1, 100)[0][0]
    cloud[7] = np.nan
    with pytest.raises(InputError, match="1 of 100 points"):
        model.encode(cloud)


@pytest.mark.parametrize(
    "call",
    [
        lambda model, few, shape: model.encode(few),
        lambda model, few, shape: model.encode([shape, few]),
        lambda model, few, shape: model.vary(few, 1),
        lambda model, few, shape: model.mix(shape, few),
        lambda model, few, shape: model.interpolate(few, shape),
    ],
)
def test_five_points_are_no_shape(model, data, call):
    with pytest.raises(InputError, match="at least 16 points of a shape, got 5"):
        call(model, boxes(1, 100)[0][0][:5], data[0])


def test_a_folder_of_shapes_does_not_hide_a_model_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seats").mkdir()
    assert pcgen.Model.find("seats").parent.name == "trained"


def test_a_model_outlives_its_folder(model, tmp_path):
    shutil.copytree(model.path, tmp_path / "run")
    other = pcgen.load(tmp_path / "run")
    before = other.sample(2, seed=3, points=100)
    shutil.rmtree(tmp_path / "run")
    assert np.array_equal(other.sample(2, seed=3, points=100).points, before.points)
    assert other.summary()["deleted"]
    with pytest.raises(DataError, match="no run at"):
        other.save(tmp_path / "packed")
    with pytest.raises(DataError, match="no run at"):
        pcgen.load(tmp_path / "run")
    with pytest.raises(InputError, match=r"is no longer at .*model.sample"):
        pcgen.view(other)
    for made in (other.vary(before[0], 1, points=100), [other.mix(*before, points=100)]):
        assert made[0].points.shape == (100, 3)


def test_without_a_display_shapes_in_memory_are_offered_pages_and_pictures(model, monkeypatch):
    """The temporary files for the window are removed if it cannot open."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    shapes = model.sample(2, points=60)
    for what in (shapes, shapes[0]):
        with pytest.raises(BackendError, match=r"no display; in a notebook .* web=True") as told:
            pcgen.view(what)
        assert "shapes.npz" not in str(told.value)
        assert what._repr_html_().startswith("<iframe")
    with pytest.raises(BackendError, match=f"pcgen view {model.path} --web"):
        pcgen.view(model)


@pytest.mark.parametrize("name", ["sample", "complete", "vary", "mix", "interpolate", "decode"])
def test_an_unknown_keyword_of_a_model_is_named(model, name):
    with pytest.raises(TypeError, match="unexpected keyword argument 'amounts'"):
        getattr(model, name)(*[None] * 2, amounts=3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sample", {"count": "3"}, "count must be a whole number of at least 1, got '3'"),
        ("sample", {"count": 2, "points": 1e3}, "points must be a whole number"),
        ("vary", {"shape": None, "amount": "0.3"}, "amount must be a number, got '0.3'"),
        ("vary", {"shape": None, "count": 0}, "count must be"),
        ("mix", {"shape": None, "other": None, "share": None}, "share must be a number"),
        ("interpolate", {"start": None, "end": None, "frames": 2.5}, "frames must be"),
        ("decode", {"latents": None, "seed": "a"}, "seed must be a whole number, got 'a'"),
    ],
)
def test_arguments_that_are_no_numbers_are_named(model, name, options, message):
    with pytest.raises(InputError, match=message):
        getattr(model, name)(**options)


def test_a_packed_run_draws_the_same_shapes_and_has_no_teacher(model, tmp_path):
    packed = pcgen.load(model.save(tmp_path / "packed"))
    whole, small = model.sample(3, seed=1, points=200), packed.sample(3, seed=1, points=200)
    assert small.points == pytest.approx(whole.points, abs=0.02)
    assert list(small.category) == list(whole.category)
    assert small[0].frame.scale == whole[0].frame.scale
    sizes = [sum(f.stat().st_size for f in p.rglob("*") if f.is_file()) for p in
             (packed.path, model.path)]  # fmt: skip
    assert sizes[0] < sizes[1] / 3
    with pytest.raises(InputError, match="teacher"):
        packed.sample(1, solver="heun")


def test_every_object_shows_itself_as_text_and_html(data, model):
    shapes = model.sample(2, points=200)
    score = pcgen.evaluate(shapes, reference=data, points=128, seeds=1, cache=None, workers=1)
    omega = pcgen.fit_base("gaussian", np.random.default_rng(0).normal(size=(30, 3)))
    for thing in (data, model, shapes, shapes[0], score, omega):
        assert len(repr(thing)) < 300
        assert "\n" not in repr(thing)
        page = thing._repr_html_()
        assert page.startswith("<")
        assert len(page) < 3e6
        json.dumps(thing.summary())


def test_shapes_that_are_none_are_refused(data):
    with pytest.raises(InputError, match="expected shapes"):
        pcgen.evaluate(3.5, reference=data)
    with pytest.raises(InputError, match=r"\(P, 3\)"):
        pcgen.Shape(np.zeros((4, 2)))
    with pytest.raises(InputError, match="data set or its path"):
        pcgen.train(5, "nowhere")
