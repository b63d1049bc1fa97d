"""Train → sample → interpolate on a small family of shapes, through the pipeline."""

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pcgen import pipeline
from pcgen.bench import sampling
from pcgen.errors import DataError, InputError, TrainingError
from pcgen.generate import generate, most_points
from pcgen.model import ShapeModel
from pcgen.runfile import read_run
from pcgen.shapes.samples import Samples
from pcgen.shapes.store import Dataset
from pcgen.train.loop import read_metrics
from tests.boxes import boxes
from tests.datasets import write_dataset

ROOT = Path(__file__).parent.parent
STAGE_WEIGHTS = (
    "children/maps.safetensors",
    "autoencoder/weights.safetensors",
    "base/latents.safetensors",
    "base/base.safetensors",
    "latent-flow/student/weights.safetensors",
    "point-flow/student/weights.safetensors",
)


def make_dataset(path, *, count=20, points=1200, categories=None, seed=0):
    clouds, normals = boxes(count, points, seed)
    names = categories or ["tall" if c[:, 1].max() > 0.6 else "flat" for c in clouds]
    splits = ["test" if k % 5 == 4 else "train" for k in range(count)]
    return write_dataset(path, clouds, categories=names, splits=splits, normals=normals)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "boxes"
    make_dataset(path)
    return path


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "boxes"
    pipeline.train(dataset, path, preset="cpu-tiny", threads=1)
    return path


def test_a_run_samples_clouds_of_any_size_with_unit_normals(run, tmp_path):
    for points in (100, 3000):
        samples = pipeline.sample(run, tmp_path / "s.npz", count=3, points=points)
        assert samples.points.shape == (3, points, 3)
        assert np.isfinite(samples.points).all()
        assert np.allclose(np.linalg.norm(samples.normals, axis=-1), 1, atol=1e-4)


def test_more_samples_than_memory_holds_are_refused_before_any_work():
    most = most_points()
    assert 10**6 < most <= 16 * 2**30 // 24
    with pytest.raises(
        InputError, match=r"at most --count \d+ at a time, each with another --seed"
    ):
        generate(None, most // 2048 + 1, seed=0, points=2048)  # the model is not touched


def test_samples_under_another_ending_are_refused_before_any_work(tmp_path):
    with pytest.raises(InputError, match=r"written as \.npz"):
        pipeline.sample(tmp_path / "no-run", tmp_path / "s.npy", count=1)


def test_samples_resemble_boxes_more_than_noise_does(run, dataset):
    """After seconds of training: extents inside the box, most points near the surface."""
    samples = ShapeModel.load(run).sample(6, seed=1)
    assert np.abs(samples.points).max() < 2.5
    assert np.abs(samples.points).max(axis=(1, 2)).min() > 0.5


def test_equal_seeds_give_equal_shapes_and_others_do_not(run, tmp_path):
    first = pipeline.sample(run, tmp_path / "a.npz", count=4, seed=5)
    again = pipeline.sample(run, tmp_path / "b.npz", count=4, seed=5)
    other = pipeline.sample(run, tmp_path / "c.npz", count=4, seed=6)
    assert np.array_equal(first.points, again.points)
    assert not np.array_equal(first.points, other.points)


def test_samples_with_symmetric_parents_are_symmetric(run):
    """Boxes equal their mirror images along every axis, so half of their points are reflected."""
    model = ShapeModel.load(run)
    drawn = model.draw(5, seed=0)
    assert drawn.symmetry.all()
    plain = model.sample(5, seed=0, points=4096, symmetric=False).points
    even = model.sample(5, seed=0, points=4096).points
    assert np.array_equal(np.abs(plain), np.abs(even))
    assert np.allclose((plain != even).mean(1), 0.5, atol=0.01)
    parallel = generate(model, 20, seed=0, points=64, workers=2)
    assert np.allclose(parallel.points, model.sample(20, seed=0, points=64).points, atol=1e-5)


@pytest.mark.parametrize("name", ["tall", "flat"])
def test_a_category_can_be_asked_for(run, name):
    drawn = ShapeModel.load(run).draw(10, seed=0, category=name)
    model = ShapeModel.load(run)
    assert {model.categories[int(label)] for label in drawn.category} == {name}


def test_the_parents_of_a_draw_are_training_rows_of_its_category(run, dataset):
    data, model = Dataset.open(dataset), ShapeModel.load(run)
    drawn = model.draw(40, seed=0)
    assert drawn.parent.shape == drawn.mirrored.shape == (40, 2)
    training = set(data.select(split="train").tolist())
    assert len(training) < len(data.rows)
    assert set(drawn.parent.flatten().tolist()) <= training
    for parents, label in zip(drawn.parent, drawn.category, strict=True):
        assert {data.rows[int(row)].category for row in parents} == {model.categories[int(label)]}
    assert len(drawn.parent[:, 0].unique()) > 10  # the set visits all shapes evenly


def test_few_samples_of_a_set_have_a_parent_in_common(run):
    model = ShapeModel.load(run)

    def repeated(even):
        drawn = [model.draw(4, seed=seed, even=even).parent.tolist() for seed in range(20)]
        met = [[row for pair in pairs for row in set(pair)] for pairs in drawn]
        return sum(len(rows) - len(set(rows)) for rows in met)

    assert repeated(even=True) < repeated(even=False) / 4


def test_the_categories_of_a_set_are_in_proportion(run):
    model = ShapeModel.load(run)
    share = torch.bincount(model.known.label) / len(model.known.label)

    for seed in range(20):
        drawn = model.draw(6, seed=seed).category
        assert ((torch.bincount(drawn, minlength=2) - 6 * share).abs() <= 1).all()


def test_an_unknown_category_lists_the_known_ones(run):
    with pytest.raises(InputError, match="flat, tall"):
        ShapeModel.load(run).sample(1, seed=0, category="sofa")


@pytest.mark.parametrize(("solver", "steps"), [("student", 4), ("euler", 3), ("heun", 2)])
def test_every_solver_takes_any_number_of_steps(run, solver, steps):
    samples = ShapeModel.load(run).sample(2, seed=0, steps=steps, solver=solver)
    assert np.isfinite(samples.points).all()


def test_the_trace_begins_at_the_base_and_ends_at_the_points(run):
    model = ShapeModel.load(run)
    decoded = model.decode(model.sample_latents(2, seed=0), points=64, seed=0, steps=3, trace=True)
    assert decoded.trace.shape == (4, 2, 64, 3)
    assert torch.equal(decoded.trace[0], decoded.base)
    assert torch.equal(decoded.trace[-1], decoded.points)


def test_an_interpolation_begins_and_ends_at_its_seeds(run, tmp_path):
    path = pipeline.interpolate(run, tmp_path / "i.npz", frames=5, seeds=(0, 3), points=128)
    assert path.points.shape == (5, 128, 3)
    steps = np.abs(np.diff(path.points, axis=0)).mean(axis=(1, 2))
    whole = np.abs(path.points[-1] - path.points[0]).mean()
    assert steps.max() < whole


def test_training_again_changes_nothing(run, dataset):
    before = {name: (run / name).stat().st_mtime_ns for name in STAGE_WEIGHTS}
    pipeline.train(dataset, run, preset="cpu-tiny", threads=1)
    pipeline.train(dataset, run, resume=True, threads=1)
    assert before == {name: (run / name).stat().st_mtime_ns for name in STAGE_WEIGHTS}


def test_two_trainings_of_one_seed_give_the_same_weights(run, dataset, tmp_path):
    pipeline.train(dataset, tmp_path / "again", preset="cpu-tiny", threads=1)
    for name in STAGE_WEIGHTS:
        assert (run / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_other_options_on_an_existing_run_are_refused(run, dataset):
    with pytest.raises(TrainingError, match="other seed"):
        pipeline.train(dataset, run, preset="cpu-tiny", seed=1, threads=1)


def test_another_data_set_is_refused(run, tmp_path):
    make_dataset(tmp_path / "other", seed=9)
    with pytest.raises(TrainingError, match="content hash"):
        pipeline.train(tmp_path / "other", run, resume=True, threads=1)


def test_a_conditional_run_with_another_base_and_encoder_trains_and_samples(dataset, tmp_path):
    pipeline.train(
        dataset,
        tmp_path / "run",
        preset="cpu-tiny",
        base="gaussian",
        encoder="attention",
        conditional=True,
        threads=1,
    )
    assert read_run(tmp_path / "run")["settings"]["autoencoder"]["encoder"] == "attention"
    samples = ShapeModel.load(tmp_path / "run").sample(4, seed=0, category="tall")
    assert set(samples.category) == {"tall"}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_data_set_of_very_few_shapes_trains(count, tmp_path):
    clouds, normals = boxes(count, 1200)
    write_dataset(tmp_path / "few", clouds, splits=["train"] * count, normals=normals)
    pipeline.train(tmp_path / "few", tmp_path / "run", preset="cpu-tiny", threads=1)
    assert np.isfinite(ShapeModel.load(tmp_path / "run").sample(2, seed=0).points).all()


def test_duplicates_only_train_without_normals(tmp_path):
    clouds = np.repeat(boxes(1, 1200)[0], 5, axis=0)
    write_dataset(tmp_path / "same", clouds)
    pipeline.train(tmp_path / "same", tmp_path / "run", preset="cpu-tiny", threads=1)
    samples = ShapeModel.load(tmp_path / "run").sample(2, seed=0)
    assert np.isfinite(samples.points).all()
    assert samples.normals is None  # and no made-up ones


def test_a_budget_ends_a_loop_by_the_clock_and_the_rest_stays(dataset, tmp_path):
    pipeline.train(
        dataset, tmp_path / "run", preset="cpu-tiny", budget_minutes=0.15, threads=1,
        stage="autoencoder",
    )  # fmt: skip
    folder = tmp_path / "run" / "autoencoder"
    given = json.loads((folder / "plan.json").read_text())["seconds"]
    assert 1 < given < 6
    last = read_metrics(folder)[-1]
    assert last["seconds"] >= round(given, 2)  # as it is written
    assert json.loads((folder / "clock.json").read_text())["seconds"] >= last["seconds"]


def test_a_run_that_is_not_finished_says_how_to_go_on(dataset, tmp_path):
    pipeline.train(dataset, tmp_path / "run", preset="cpu-tiny", stage="autoencoder", threads=1)
    with pytest.raises(DataError, match="--resume"):
        ShapeModel.load(tmp_path / "run")


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(DataError, match="no run at"):
        ShapeModel.load(tmp_path)


def test_a_damaged_checkpoint_is_named(dataset, run, tmp_path):
    import shutil

    shutil.copytree(run, tmp_path / "run")
    weights = tmp_path / "run/point-flow/student/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"weights\.safetensors"):
        ShapeModel.load(tmp_path / "run")


def test_a_run_of_another_format_is_refused(run, dataset, tmp_path):
    plain = json.loads((run / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**plain, "format": 99}))
    with pytest.raises(DataError, match="run format 99"):
        pipeline.train(dataset, tmp_path, resume=True)


@pytest.mark.slow
def test_a_training_killed_at_random_moments_ends_at_the_same_weights(run, dataset, tmp_path):
    """kill -9 of real processes, repeated until one of them finishes."""
    out = tmp_path / "killed"
    command = [
        sys.executable, "-m", "pcgen", "train", str(dataset), "--out", str(out),
        "--preset", "cpu-tiny", "--threads", "1", "--quiet",
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    kills = 0
    for attempt in range(60):
        process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
        try:
            # The first come soon enough for a quick machine, the last late enough for a slow one.
            assert process.wait(timeout=rng.uniform(0.5, 2.5) + 0.5 * attempt) == 0
            break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
    assert kills >= 2
    for name in STAGE_WEIGHTS:
        assert (run / name).read_bytes() == (out / name).read_bytes(), name
    assert isinstance(ShapeModel.load(out).sample(1, seed=0), Samples)


def test_the_sampling_benchmark_is_the_mean_of_its_seeds(run, monkeypatch):
    monkeypatch.setattr(sampling, "STEPS", (1, 2))
    monkeypatch.setattr(sampling, "SOLVERS", ("student", "heun"))
    parser = argparse.ArgumentParser()
    sampling.add_arguments(parser)

    def rows(*words):
        result = sampling.run(parser.parse_args([str(run), "--points", "64", *words]))
        assert len(sampling.describe(result).splitlines()) == 2 + 1 + 2 * 2
        return result["rows"]

    both, first, second = rows("--seeds", "2"), rows("--seeds", "1"), rows("--seeds=1", "--seed=1")
    for mean, one, other in zip(both[1:], first[1:], second[1:], strict=True):
        assert mean["mmd"] == pytest.approx((one["mmd"] + other["mmd"]) / 2)
        assert mean["nna_error"] == pytest.approx(abs(one["nna"] - other["nna"]) / 2)
        assert one["nna_error"] is None
    assert both[0] == first[0]
    with pytest.raises(InputError, match="--seeds must be at least 1"):
        rows("--seeds", "0")
