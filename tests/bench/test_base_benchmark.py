"""The learning-efficiency report: its error measure, its rules, and one small run."""

import argparse
import math

import numpy as np
import pytest
import torch

from pcgen.bench import base as bench
from pcgen.bench import problems
from pcgen.bench.densities import DENSITIES
from pcgen.bench.digits import digit_clouds, train_digits
from pcgen.errors import InputError


def arguments(*words):
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize("name", DENSITIES)
def test_densities_are_drawn_from_the_generator_alone(name):
    first, again = (DENSITIES[name](500, torch.Generator().manual_seed(3)) for _ in range(2))
    assert first.shape == (500, 2)
    assert torch.equal(first, again)


def test_densities_have_their_modes():
    g = torch.Generator().manual_seed(0)
    ring = DENSITIES["8-gaussians"](4000, g)
    angle = torch.atan2(ring[:, 1], ring[:, 0]) / (math.pi / 4)
    assert len(angle.round().remainder(8).unique()) == 8
    lattice = DENSITIES["25-gaussians"](4000, g)
    assert len((lattice / 2).round().unique(dim=0)) == 25
    board = DENSITIES["checkerboard"](4000, g).floor()
    assert (board.sum(1).remainder(2) == 0).all()


def test_energy_distance_is_zero_on_average_for_equal_laws_and_known_for_points():
    g = torch.Generator().manual_seed(0)
    values = [
        bench.energy_distance(*torch.randn(2, 200, 3, generator=g).unbind()) for _ in range(50)
    ]
    spread = torch.tensor(values)
    assert abs(spread.mean()) < 4 * spread.std() / 50**0.5
    x, y = torch.zeros(5, 2), torch.tensor([[3.0, 4.0]]).repeat(6, 1)
    assert bench.energy_distance(x, y) == pytest.approx(10)


def test_the_error_counts_when_it_holds_twice():
    assert bench._reached([(0, 9.0), (25, 0.5), (50, 2.0), (75, 0.5), (100, 0.4)], 1.0) == 75
    assert bench._reached([(0, 9.0), (25, 2.0)], 1.0) is None
    assert bench._reached([(0, 0.1), (25, 0.2)], 1.0) == 0


def test_ratios_say_when_they_are_bounds():
    def row(steps):
        return {"steps": steps}

    assert bench._ratio(row(400), row(100)) == "4.00"
    assert bench._ratio(row(400), row(0)) == "at once"
    assert bench._ratio(row(None), row(100)) == ">20.0"
    assert bench._ratio(row(100), row(None)) == "<1"
    assert bench._ratio(row(None), row(None)) == "-"


def test_a_small_run_gives_a_row_per_base_with_its_control_first(monkeypatch):
    monkeypatch.setattr(problems, "TRAIN", 300)
    monkeypatch.setattr(problems, "TEST", 200)
    monkeypatch.setattr(bench, "POOL", 2000)
    words = ("--densities", "two-moons", "--bases", "gmm", "--seeds", "1", "--steps", "30")
    for coupling in bench.COUPLINGS:
        result = bench.run(arguments(*words, "--coupling", coupling))
        control, row = result["rows"]
        assert (control["base"], row["base"]) == ("standard", "gmm")
        assert row["start_error"] < control["start_error"]
        assert row["energy"] < control["energy"]
        text = bench.describe(result)
        assert "two-moons" in text
        assert len(text.splitlines()) == 4


def test_latents_of_a_file_are_a_problem_too(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "POOL", 1000)
    np.save(tmp_path / "codes.npy", np.random.default_rng(0).normal(size=(120, 5)))
    words = ("--latents", str(tmp_path / "codes.npy"), "--bases", "gaussian", "--seeds", "1")
    result = bench.run(arguments(*words, "--steps", "10"))
    assert [row["data"] for row in result["rows"]] == ["codes", "codes"]


def test_bad_requests_are_refused(tmp_path):
    with pytest.raises(InputError, match="--bases must be among"):
        bench.run(arguments("--bases", "gaussian,best"))
    with pytest.raises(InputError, match="--densities must be among"):
        bench.run(arguments("--densities", "nine-gaussians"))
    with pytest.raises(InputError, match="at least 1"):
        bench.run(arguments("--seeds", "0"))
    (tmp_path / "no.npy").write_text("no")
    with pytest.raises(InputError, match=r"not a NumPy array"):
        bench.run(arguments("--latents", str(tmp_path / "no.npy"), "--bases", "standard"))


def test_digits_become_clouds_in_their_box_with_the_ink_up():
    clouds, labels = digit_clouds(torch.Generator().manual_seed(0), points=400)
    assert clouds.shape == (1797, 400, 2)
    assert torch.allclose(clouds.abs().amax((1, 2)), torch.ones(1797))
    ones = clouds[labels == 1]
    height, width = (ones.amax(1) - ones.amin(1)).mean(0).flip(0)
    assert height > 1.3 * width
    # Sevens have their bar on top: more ink above the middle than below.
    assert (clouds[labels == 7][..., 1] > 0).float().mean() > 0.5


def test_the_autoencoder_learns_clouds_of_two_dimensions():
    generator = torch.Generator().manual_seed(0)
    clouds, labels = digit_clouds(generator, points=256)
    model = train_digits(clouds[:300], seed=0, steps=60)
    with torch.no_grad():
        z = model.encode(clouds[:300])
    same = labels[:300, None] == labels[:300]
    gaps = torch.cdist(z, z)
    gaps.fill_diagonal_(torch.inf)
    nearest_alike = same[torch.arange(300), gaps.argmin(1)].float().mean()
    assert nearest_alike > 0.6  # chance is 0.1
