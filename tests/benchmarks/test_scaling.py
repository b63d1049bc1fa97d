"""Laws fitted to measured costs, and their predictions for larger sets."""

import json

import numpy as np
import pytest

from pcgen.cli import run_module
from pcgen.errors import InputError
from tests.benchmarks import scale, scaling
from tests.benchmarks.curve_examples import PREPARE, TRANSPORT

UNITS = {
    "preset": "cpu-small", "latent_dim": 100, "cloud_points": 4000, "variants": 8,
    "pair_points": 1000, "pool": 1000, "encode": 1e-3, "couple": 1e-2, "sample": 0.1, "mesh": 2.0,
    "compare": 1e-3, "fit": {"coefficient": 1e-6, "exponent": 2.0, "error": 0.0},
    "loops": {"autoencoder": {"seconds": 0.01, "batch": 32, "weights": 10**6}},
}  # fmt: skip
ARGS = {
    "atoms": 10**7,
    "faces": 20_000,
    "points": 15_000,
    "epochs": 25,
    "test": 5000,
    "processes": 8,
}


def rows(shapes, **changed):
    made = scale.plan(UNITS, PREPARE, TRANSPORT, shapes=shapes, args={**ARGS, **changed})
    return {row["stage"]: row for row in made["rows"]}


def test_a_power_law_is_found_again():
    sizes = [100, 200, 400, 800]
    law = scaling.fit_power(sizes, [3e-4 * n**1.7 for n in sizes])
    assert (law.coefficient, law.exponent) == pytest.approx((3e-4, 1.7))
    assert law.error < 1e-9
    assert law.at(10**6) == pytest.approx(3e-4 * 1e6**1.7)


def test_the_error_of_a_law_is_its_worst_miss():
    law = scaling.fit_power([1, 10, 100], [1.0, 20.0, 100.0])
    misses = [abs(law.at(n) / cost - 1) for n, cost in [(1, 1.0), (10, 20.0), (100, 100.0)]]
    assert law.error == pytest.approx(max(misses))


def test_affine_weights_are_found_again_and_never_negative():
    features = [(f, p) for f in (1e3, 1e4, 1e5) for p in (2e3, 1.5e4)]
    costs = [1e-3 + 2e-7 * f + 5e-8 * p for f, p in features]
    assert scaling.fit_affine(features, costs) == pytest.approx((1e-3, 2e-7, 5e-8))
    noisy = np.array(costs) * np.random.default_rng(0).uniform(0.7, 1.3, len(costs))
    assert min(scaling.fit_affine(features, noisy)) >= 0


def test_the_plan_follows_its_formulas():
    small, large = rows(51_300), rows(10**7)
    ratio = 10**7 / 51_300
    for stage in ("prepare", "train autoencoder", "evaluate: novelty"):
        assert large[stage]["seconds"] == pytest.approx(ratio * small[stage]["seconds"])
    assert small["prepare"]["seconds"] == pytest.approx(51_300 * (1e-3 + 0.02 + 1.5e-3))
    assert small["prepare"]["storage"] == pytest.approx(51_300 * (15_000 * 18 + 200))
    # 50 N samples, each against N atoms in 100 dimensions.
    wanted = 51_300e-3 + 1e-6 * 1e14 + 2 * 50e7 * 1e7 * 1e-9
    assert small["base: map to 1e+07 atoms"]["seconds"] == pytest.approx(wanted)
    assert small["sample"]["seconds"] == large["sample"]["seconds"]


def test_one_process_sends_nothing():
    alone = rows(1000, processes=1)
    assert all(row["network"] == 0 for stage, row in alone.items() if stage != "prepare")
    # A ring of eight sends 2 · 7/8 of the gradient each step.
    steps = 25 * 1000 / 32
    assert rows(1000)["train autoencoder"]["network"] == pytest.approx(1.75 * 4e6 * steps)


def test_magnitudes_are_words():
    assert scaling.seconds(3.156e8) == "10 years"
    assert scaling.seconds(90) == "1.5 min"
    assert scaling.seconds(0.02) == "0.02 s"
    assert scaling.size(4.1e12) == "4.1 TB"


@pytest.mark.slow
def test_the_curves_are_measured(capsys):
    words = ["prepare", "--shapes", "8", "--points", "64", "--json", "--quiet"]
    assert run_module(scaling, "scaling", words) == 0
    curve = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert curve["bytes_per_point"] == pytest.approx(18, rel=0.1)
    assert "core-s of a mesh" in scaling.describe_prepare(curve)


def test_the_curve_of_transport_is_of_solved_problems():
    curve = scaling.transport_curve((64, 128), (1000, 2000), (4, 8), 0.2, 0)
    assert len(curve["score"]) == 2
    assert {row["status"] for row in curve["solves"]} == {"converged"}
    assert "samples and tests" in scaling.describe_transport(curve)


def test_a_curve_of_something_else_is_refused(tmp_path, capsys):
    (tmp_path / "x.json").write_text("{}")
    assert run_module(scale, "scale", ["--prepare-curve", str(tmp_path / "x.json")]) == 2
    assert "scaling prepare" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change", [{"mesh": [1.0]}, {"memory_per_face": float("nan")}, {"set": {}}, {"meshes": 3}]
)
def test_a_damaged_curve_is_refused_before_anything_is_measured(tmp_path, change):
    (tmp_path / "x.json").write_text(json.dumps(PREPARE))
    assert scale.read_curve(tmp_path / "x.json", "prepare")["bytes_per_point"] == 18.0
    (tmp_path / "x.json").write_text(json.dumps(PREPARE | change))
    with pytest.raises(InputError, match="scaling prepare"):
        scale.read_curve(tmp_path / "x.json", "prepare")


@pytest.mark.slow
def test_every_stage_is_timed(tmp_path, capsys):
    (tmp_path / "p.json").write_text(json.dumps(PREPARE))
    (tmp_path / "t.json").write_text(json.dumps(TRANSPORT))
    words = ["--preset", "cpu-tiny", "--shapes", "1000", "--json", "--quiet"]
    curves = [
        "--prepare-curve",
        str(tmp_path / "p.json"),
        "--transport-curve",
        str(tmp_path / "t.json"),
    ]
    assert run_module(scale, "scale", words + curves) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(result["units"]["loops"]) == 5
    assert all(row["seconds"] > 0 for target in result["targets"] for row in target["rows"])
