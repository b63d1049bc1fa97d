"""All presets can be built, and that for a GPU takes steps on a CPU too."""

import dataclasses

import numpy as np
import pytest
import torch

from pcgen import pipeline
from pcgen.config import from_plain, to_plain
from pcgen.errors import InputError
from pcgen.model import ShapeModel
from pcgen.train.presets import PRESETS, Settings, preset
from tests.boxes import boxes
from tests.datasets import write_dataset


@pytest.mark.parametrize("name", PRESETS)
def test_settings_survive_a_round_trip_through_json(name):
    assert from_plain(Settings, to_plain(preset(name))) == preset(name)


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(InputError, match="cpu-tiny, cpu-small, gpu"):
        preset("huge")


def short(settings):
    """The sizes of a preset with one step of each loop and few couplings."""

    def loop(full):
        return dataclasses.replace(full, steps=1, batch=2)

    latent, point = settings.latent_flow, settings.point_flow
    return dataclasses.replace(
        settings,
        autoencoder_loop=loop(settings.autoencoder_loop),
        latent_flow=dataclasses.replace(
            latent, pool=64, teacher=loop(latent.teacher), student=loop(latent.student)
        ),
        point_flow=dataclasses.replace(
            point, pairs=2, teacher=loop(point.teacher), student=loop(point.student)
        ),
    )


def train_shortly(name, device, tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, name, lambda full=PRESETS[name]: short(full()))
    clouds, normals = boxes(4, 6000)
    write_dataset(tmp_path / "data", clouds, normals=normals)
    pipeline.train(tmp_path / "data", tmp_path / "run", preset=name, device=device)
    samples = ShapeModel.load(tmp_path / "run", device).sample(2, seed=0)
    assert np.isfinite(samples.points).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cpu-small", "gpu"])
def test_a_step_of_every_stage_at_full_size(name, tmp_path, monkeypatch):
    train_shortly(name, "cpu", tmp_path, monkeypatch)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_step_of_every_stage_on_a_gpu(tmp_path, monkeypatch):
    train_shortly("gpu", "cuda", tmp_path, monkeypatch)
