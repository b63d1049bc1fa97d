"""The report: sentences that follow from the metrics, and text that cannot break the page."""

import re

import numpy as np
import pytest

from pcgen.evaluate import report_text
from pcgen.evaluate.cloud_sets import CloudSet, ReferenceSets
from pcgen.evaluate.evaluation import evaluate
from pcgen.evaluate.html_report import write_page
from pcgen.evaluate.metrics import EvaluationSettings
from pcgen.evaluate.protocol import PROTOCOLS
from tests.evaluate.shapes import blobs, some, surfaces

SETTINGS = EvaluationSettings(protocol=PROTOCOLS["box"].changed(points=64))


def summary(**metrics):
    base = {
        "nna_cd": 0.5,
        "nna_cd_generated": 0.5,
        "nna_cd_reference": 0.5,
        "noise": {"nna_cd": {"mean": 0.5, "sd": 0.02}},
        "novelty_ratio": 1.0,
        "replay_rate": 0.1,
        "replay_rate_test": 0.12,
        "novelty_ratio_proportion_free": 1.0,
        "replay_rate_proportion_free": 0.1,
        "replay_rate_test_proportion_free": 0.15,
    }
    return base | metrics


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({}, "cannot distinguish them"),
        ({}, "As novel as real"),
        ({"nna_cd": 0.6}, "can be distinguished from real ones"),
        ({"nna_cd": 0.4}, "closer to reference shapes"),
        ({"nna_cd_generated": 0.84, "nna_cd_reference": 0.3}, "more like each other"),
        ({"nna_cd_generated": 0.3, "nna_cd_reference": 0.84}, "more scattered"),
        ({"nna_cd": 0.9, "novelty_ratio": 1.9}, "flaws rather than novelty"),
        ({"replay_rate": 0.13}, "Less novel than real"),
        ({"novelty_ratio": 0.89}, "Less novel than real"),
        (
            {"novelty_ratio": None, "novelty_ratio_proportion_free": None},
            "novelty is not measured",
        ),
        ({"replay_rate": None}, "As novel as real"),
        ({"novelty_ratio_proportion_free": 0.36}, "Less novel than real"),
        ({"novelty_ratio_proportion_free": 0.36}, "are stretched training shapes"),
        ({"replay_rate_proportion_free": 0.88}, "88.0 % replays (test shapes 15.0 %)"),
        ({"replay_rate_proportion_free": 0.88, "replay_rate": 0.5}, "Less novel than real"),
    ],
)
def test_the_verdict_follows_the_metrics(metrics, expected):
    assert expected in " ".join(report_text.verdict(summary(**metrics)))


def test_a_spread_is_written_to_the_places_of_its_mean():
    metric = report_text.Metric(key="mmd_cd", label="", best="", percent=False)
    spread = {"mmd_cd": {"sd": 0.00051}}
    assert report_text.cell(metric, {"mmd_cd": 0.028341, "seeds": spread}) == "0.0283 ± 0.0005"
    assert (
        report_text.cell(
            report_text.Metric(key="mmd_cd", label="", best=""), {"mmd_cd": 0.5, "seeds": spread}
        )
        == "50.0 ± 0.1 %"
    )
    assert report_text.cell(metric, {"mmd_cd": None}) == "–"
    percent = report_text.Metric(key="nna_cd", label="", best="")
    assert report_text.cell(percent, {"nna_cd": 0.5078}) == "50.8 %"


def test_runs_of_one_name_are_told_apart_by_their_folders():
    paths = ["runs/a/samples.npz", "runs/b/samples.npz", "c/"]
    assert report_text.labels([summary(samples=path) for path in paths]) == [
        "a/samples.npz",
        "b/samples.npz",
        "c",
    ]
    twice = [summary(samples="x.npz"), summary(samples="x.npz")]
    assert report_text.labels(twice) == ["1: x.npz", "2: x.npz"]


def test_runs_that_met_other_real_sets_have_their_own_ceiling(tmp_path, plain_pictures):
    first, again = surfaces(20, 64, draws=2, seed=3)
    real = ReferenceSets(
        reference=some(8, seed=1),
        training=CloudSet(points=first),
        training_again=CloudSet(points=again),
    )
    sets = [some(8), some(8, seed=4), some(5, seed=6)]
    named = [
        CloudSet(points=s.points, source=f"{name}.npz") for s, name in zip(sets, "abc", strict=True)
    ]
    found = [evaluate([one], real, SETTINGS) for one in named]
    assert len(report_text.ceilings([one.summary for one in found[:2]])) == 1
    text = report_text.table([one.summary for one in found])
    assert "ceiling for a.npz" in text
    assert "ceiling for c.npz" in text
    assert "8 and 5 shapes per set" in text
    write_page(tmp_path / "page.html", found)
    page = (tmp_path / "page.html").read_text()
    assert "ceiling for c.npz" in page
    assert page.count(">ceiling for") == 2 * 2  # in the chart and in the table


def test_the_page_shows_every_sample_beside_real_shapes(tmp_path, plain_pictures):
    first, again = surfaces(20, 64, draws=2, seed=3)
    real = ReferenceSets(
        reference=some(6, seed=1),
        training=CloudSet(points=first),
        training_again=CloudSet(points=again),
        path="<b>data</b>",
    )
    generated = CloudSet(points=some(6).points, names=np.array(["<script>x</script>"] * 6))
    write_page(tmp_path / "page.html", [evaluate([generated], real, SETTINGS)])
    text = (tmp_path / "page.html").read_text()
    assert "<script" not in text
    assert "&lt;b&gt;data&lt;/b&gt;" in text
    assert text.count("<img ") == 12 * 3  # six at random, the three farthest, the three closest
    assert text.count("<figcaption>nearest training<br>CD") == 12
    assert "viewport" in text
    assert "<svg" in text


def test_without_training_shapes_the_cards_have_two_pictures(tmp_path, plain_pictures):
    evaluation = evaluate([some(4)], ReferenceSets(reference=some(4, seed=1)), SETTINGS)
    write_page(tmp_path / "page.html", [evaluation])
    text = (tmp_path / "page.html").read_text()
    assert "card n2" in text
    assert "nearest training" not in text


@pytest.mark.slow
def test_the_pictures_are_rendered(tmp_path):
    evaluation = evaluate([some(2)], ReferenceSets(reference=some(2, seed=1)), SETTINGS)
    write_page(tmp_path / "page.html", [evaluation])
    pictures = re.findall(r"base64,([^'\"]+)", (tmp_path / "page.html").read_text())
    assert len(set(pictures)) >= 4
    assert all(len(picture) > 2000 for picture in pictures)


def test_a_stretched_and_mirrored_copy_stands_beside_its_original(tmp_path, plain_pictures):
    first, again, other = blobs(20, 320, draws=3)
    copies = other[:6] * np.array([-1, 0.5, 1], np.float32)
    real = ReferenceSets(
        reference=CloudSet(points=blobs(6, 320, seed=1)[0]),
        training=CloudSet(points=first, names=np.array([f"shape {k}" for k in range(20)])),
        training_again=CloudSet(points=again),
    )
    settings = EvaluationSettings(protocol=PROTOCOLS["box"].changed(points=320))
    found = evaluate([CloudSet(points=copies)], real, settings)
    page = tmp_path / "page.html"
    write_page(page, [found])
    text = page.read_text()
    # Each of the six is shown at random and at one of the ends.
    assert text.count("mirrored<br>stretched") == 12
    assert text.count("<b>replay</b>") >= 8
    for k in range(6):
        assert f"nearest training shape {k}" in text
    assert "Novelty ratio, in the box" in text
    assert "Novelty ratio, proportion-free" in text
    assert "CD to the nearest training shape, in the box" in text
    assert "CD to the nearest training shape, proportion-free" in text
    near = found.summary["novelty"]["proportion_free"]["nearest"]
    assert [row["training"] for row in near] == [f"shape {k}" for k in range(6)]
    assert all(row["mirrored"] for row in near)
