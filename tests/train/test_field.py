"""The stage that learns signed distances; runs with and without it."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from pcgen.model import ShapeModel
from pcgen.model.pack import pack
from pcgen.train import field
from pcgen.train.budget import SHARES
from pcgen.train.data import MemmapRows, TrainingClouds
from pcgen.train.run import Run
from pcgen.train.stage import Context
from tests.boxes import boxes
from tests.fuzz.runs import lay, run_files


def unit_cube(places):
    over = np.abs(places) - 1
    return np.linalg.norm(np.maximum(over, 0), axis=2) + np.minimum(over.max(2), 0)


def context(folder, solids=True):
    """The context of an untrained run of boxes, which all fill the frame of solids."""
    lay(folder, run_files())
    shutil.rmtree(folder / "field")
    places = np.random.default_rng(0).uniform(-1.15, 1.15, (4, 300, 3))
    known = torch.from_numpy(np.concatenate([places, unit_cube(places)[..., None]], 2)).half()
    known[1] = 0  # a cloud
    clouds = TrainingClouds(
        rows=torch.arange(4),
        points=torch.from_numpy(boxes(4, 100)[0]),
        normals=None,
        label=torch.zeros(4, dtype=torch.int64),
        categories=("box",),
        solids=known if solids else None,
    )
    return Context(Run.open(folder), clouds)


def test_a_run_learns_a_field_and_keeps_it_when_packed(tmp_path):
    run = tmp_path / "run"
    assert field.train(context(run)) == {"shapes": 3}
    for path in (run, pack(run, tmp_path / "packed")):
        surfaces = ShapeModel.load(path).surfaces
        assert surfaces is not None
        z = ShapeModel.load(path).sample_latents(1, seed=0)[0]
        places = np.random.default_rng(1).uniform(-1, 1, (50, 3))
        distance = surfaces.distance(z, places)
        assert distance.shape == (50,)
        assert np.isfinite(distance).all()


def test_without_solids_there_is_no_field_and_the_run_samples_as_before(tmp_path):
    run = tmp_path / "run"
    assert field.train(context(run, solids=False)) == {"shapes": 0}
    model = ShapeModel.load(run)
    assert model.surfaces is None
    samples = model.sample(2, seed=0, points=8)
    assert samples.latents.shape == (2, model.latent_dim)


def test_a_share_of_the_budget_is_its_own_only_where_there_are_solids(tmp_path):
    def seconds(solids):
        there = context(tmp_path / str(solids), solids)
        config = dataclasses.replace(there.run.config, budget_minutes=10.0)
        timed = dataclasses.replace(there, run=dataclasses.replace(there.run, config=config))
        return timed.seconds("autoencoder")

    later = sum(SHARES.values()) - SHARES["children"]  # of the autoencoder and what follows
    assert seconds(True) / seconds(False) == pytest.approx(1 - SHARES["field"] / later, rel=0.01)


def test_places_of_a_mapped_set_are_those_of_one_in_memory(tmp_path):
    clouds = context(tmp_path).clouds
    mapped = dataclasses.replace(
        clouds, solids=MemmapRows(clouds.solids.numpy(), np.arange(4), clouds.solids.shape[1])
    )
    shapes = torch.tensor([2, 0])
    for one in (clouds, mapped):
        assert one.shapes_with_solids.tolist() == [0, 2, 3]
    first, second = (
        one.draw_solids(shapes, 200, torch.Generator().manual_seed(3)) for one in (clouds, mapped)
    )
    assert torch.equal(first, second)
    assert first.shape == (2, 200, 4)
