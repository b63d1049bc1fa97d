"""Whole evaluations: the keys, the rules for sets, the ceiling, and the warnings about inputs."""

import json

import numpy as np
import pytest

from pcgen.distances.annealed_emd import annealed_table
from pcgen.errors import InputError
from pcgen.evaluate.cloud_sets import CloudSet, ReferenceSets, ceiling_trials, pair_trials
from pcgen.evaluate.evaluation import evaluate
from pcgen.evaluate.metrics import EvaluationSettings
from pcgen.evaluate.protocol import PROTOCOLS
from tests.evaluate.shapes import blobs, some, surfaces

POINTS = 64
BOX = PROTOCOLS["box"].changed(points=POINTS)
KEYS = {
    "nna_cd", "nna_cd_reference", "nna_cd_generated", "cov_cd", "mmd_cd", "jsd", "symmetry_rate",
    "symmetry_rate_reference",
}  # fmt: skip
NOVELTY = {"replay_rate", "novelty_ratio"}


def real(reference=30, training=100, seed=10):
    first, again = surfaces(training, POINTS, seed=seed, draws=2)
    return ReferenceSets(
        reference=some(reference, seed=seed + 1),
        training=CloudSet(points=first),
        training_again=CloudSet(points=again),
    )


def evaluated(generated, real_sets, **options):
    sets = generated if isinstance(generated, list) else [generated]
    return evaluate(sets, real_sets, EvaluationSettings(protocol=BOX, **options)).summary


def test_every_key_of_the_file_format_is_there_with_its_spread():
    summary = evaluated(some(90), real())
    assert KEYS | NOVELTY | {"replay_rate_test", "ceiling", "seeds", "protocol"} <= set(summary)
    for key in KEYS | NOVELTY:
        spread = summary["seeds"][key]
        assert len(spread["values"]) == 3
        assert summary[key] == spread["mean"] == pytest.approx(np.mean(spread["values"]))
        assert spread["sd"] == pytest.approx(np.std(spread["values"], ddof=1))
    assert set(summary["ceiling"]) >= KEYS | NOVELTY | {"replay_rate_test", "seeds"}
    assert summary["protocol"]["sizes"] == {"compared": 30, "reference": 30, "training": 100}
    assert summary["protocol"]["points"] == POINTS
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_both_frames_of_novelty_are_there():
    summary = evaluated(some(90), real())
    for ending, name in (("", "box"), ("_proportion_free", "proportion_free")):
        frame = summary["novelty"][name]
        assert frame["ratio"] == summary["novelty_ratio" + ending]
        assert frame["replay_rate"] == summary["replay_rate" + ending]
        assert frame["replay_rate_test"] == summary["replay_rate_test" + ending]
        assert summary["ceiling"]["replay_rate_test" + ending] == frame["replay_rate_test"]
        assert len(frame["nearest"]) == 30
        assert set(frame["nearest"][0]) == {"sample", "training", "mirrored", "distance", "replay"}
        assert summary["seeds"]["novelty_ratio" + ending]["mean"] == frame["ratio"]


def test_stretched_training_shapes_are_new_in_the_box_alone():
    training, again, copies = (PROTOCOLS["box"].normalise(c) for c in blobs(40, 300, draws=3))
    sets = ReferenceSets(
        reference=CloudSet(points=PROTOCOLS["box"].normalise(blobs(40, 300, seed=1)[0])),
        training=CloudSet(points=training),
        training_again=CloudSet(points=again),
    )
    factors = np.random.default_rng(0).permuted(np.tile([1, 0.5, 0.3], (40, 1)), axis=1)
    made = CloudSet(points=PROTOCOLS["box"].normalise(copies * factors[:, None]))
    settings = EvaluationSettings(protocol=BOX.changed(points=300))
    summary = evaluate([made], sets, settings).summary
    assert summary["replay_rate"] == 0
    assert summary["replay_rate_proportion_free"] > 0.7
    assert summary["replay_rate_test_proportion_free"] == 0
    assert summary["novelty_ratio_proportion_free"] < 0.5 * summary["novelty_ratio"]


def test_samples_of_the_same_law_stand_at_the_ceiling():
    summary = evaluated(some(90), real())
    noise = summary["noise"]["nna_cd"]["sd"]
    assert abs(summary["nna_cd"] - 0.5) < 4 * noise
    assert abs(summary["nna_cd"] - summary["ceiling"]["nna_cd"]) < 4 * noise
    assert summary["novelty_ratio"] == pytest.approx(1, abs=0.3)
    assert summary["warnings"] == []


def test_training_shapes_as_samples_are_replays():
    sets = real()
    summary = evaluated(sets.training, sets)
    assert summary["replay_rate"] == 1
    assert summary["novelty_ratio"] == 0
    for key in KEYS:
        assert summary[key] == summary["ceiling"][key]
    assert summary["ceiling"]["replay_rate"] == 1


def test_separate_samplings_are_one_seed_each():
    summary = evaluated([some(30, seed=s) for s in range(4)], real())
    assert summary["seeds"]["count"] == 4
    assert len(set(summary["seeds"]["mmd_cd"]["values"])) == 4


def test_without_a_training_set_there_is_no_ceiling_and_it_says_so():
    summary = evaluated(some(30), ReferenceSets(reference=some(30, seed=1)))
    assert summary["ceiling"] is None
    assert summary["replay_rate"] is None
    assert summary["novelty_ratio"] is None
    assert summary["seeds"]["nna_cd"]["sd"] is None
    assert any("--training" in note for note in summary["notes"])
    assert summary["noise"]["nna_cd"]["sd"] == pytest.approx(0.39 / 30**0.5)


def test_the_emd_variant_is_in_the_name_of_its_figures():
    summary = evaluated(some(6), ReferenceSets(reference=some(6, seed=1)), emd="emd_pointflow")
    assert {"nna_emd_pointflow", "cov_emd_pointflow", "mmd_emd_pointflow"} <= set(summary)
    assert summary["protocol"]["emd"] == "emd_pointflow"
    with pytest.raises(InputError, match="there is no default"):
        EvaluationSettings(emd="emd")


def test_the_reference_shape_comes_first_in_an_annealed_pair():
    mine, theirs = some(8), some(8, seed=1)
    summary = evaluated(mine, ReferenceSets(reference=theirs), emd="emd_pointflow")
    union = np.concatenate([theirs.points, mine.points])
    table = annealed_table(union, union, "emd_pointflow", "dense")
    table[8:, :8] = table[:8, 8:].T  # across the sets, whichever shape asks
    np.fill_diagonal(table, np.inf)
    right = (table.argmin(0) < 8) == (np.arange(16) < 8)
    assert summary["nna_emd_pointflow"] == right.mean()
    assert summary["mmd_emd_pointflow"] == pytest.approx(table[:8, 8:].min(1).mean(), rel=1e-4)


def test_secondary_distances_estimate_normals_where_there_are_none():
    summary = evaluated(some(6), ReferenceSets(reference=some(6, seed=1)), secondary=True)
    assert {"nna_dcd", "mmd_normals"} <= set(summary)


def test_density_aware_distance_does_not_depend_on_the_protocols_scale():
    def matching(name):
        sets = ReferenceSets(reference=CloudSet(points=scaled(name, some(6, seed=1).points)))
        generated = CloudSet(points=scaled(name, some(6).points))
        protocol = PROTOCOLS[name].changed(points=POINTS, split="test")
        settings = EvaluationSettings(protocol=protocol, secondary=True)
        return evaluate([generated], sets, settings).summary["mmd_dcd"]

    def scaled(name, points):
        return PROTOCOLS[name].normalise(points)

    assert matching("box") == pytest.approx(matching("lion-box"), rel=1e-5)


def test_categories_of_the_samples_choose_the_real_shapes():
    both = np.repeat(["chair", "table"], 20)
    sets = ReferenceSets(reference=some(40, seed=1, category=both))
    summary = evaluated(some(20, category=["chair"] * 20), sets)
    assert summary["protocol"]["sizes"]["reference"] == 20
    assert summary["protocol"]["categories"] == ["chair"]
    assert any("only real shapes of chair are used" in note for note in summary["notes"])


def test_a_category_that_was_never_sampled_still_counts():
    sets = ReferenceSets(
        reference=some(30, seed=1, category=np.repeat(["bed", "chair", "table"], 10))
    )
    summary = evaluated(some(30, category=np.repeat(["chair", "table"], 15)), sets)
    assert summary["protocol"]["sizes"]["reference"] == 30
    assert any("also holds bed, of which there is no sample" in n for n in summary["warnings"])


def test_samples_without_a_category_meet_all_and_it_is_said():
    sets = ReferenceSets(reference=some(20, seed=1, category=["chair", "table"] * 10))
    summary = evaluated(some(20), sets)
    assert any(
        "are compared with all of the reference (chair, table)" in w for w in summary["warnings"]
    )


def test_each_common_category_has_its_row():
    both = np.repeat(["chair", "table"], 15)
    rare = np.repeat(["chair", "table"], [25, 5])
    rows = evaluated(
        some(30, category=both), ReferenceSets(reference=some(30, seed=1, category=both))
    )
    assert set(rows["categories"]) == {"chair", "table"}
    alone = evaluated(
        some(30, category=both).take(np.arange(15)),
        ReferenceSets(reference=some(30, seed=1, category=both).take(np.arange(15))),
    )
    assert rows["categories"]["chair"]["nna_cd"] == pytest.approx(alone["nna_cd"])
    few = evaluated(
        some(30, category=rare), ReferenceSets(reference=some(30, seed=1, category=both))
    )
    assert few["categories"]["table"] == {"generated": 5, "reference": 15, "size": 5}


def test_one_set_given_twice_is_said():
    one = some(20)
    summary = evaluated(one, ReferenceSets(reference=one))
    assert summary["cov_cd"] == 1
    assert summary["mmd_cd"] == 0
    assert any("have the same points" in text for text in summary["warnings"])


def test_copies_of_reference_shapes_are_counted():
    reference = some(20)
    points = some(20, seed=1).points.copy()
    points[:3] = reference.points[:3]
    summary = evaluated(CloudSet(points=points), ReferenceSets(reference=reference))
    assert any(text.startswith("3 of 20") for text in summary["warnings"])


def test_wrong_units_are_noticed_by_the_boxes():
    generated = CloudSet(points=some(20).points * 25)
    summary = evaluated(generated, ReferenceSets(reference=some(20, seed=1)))
    assert any("times the size" in text for text in summary["warnings"])


def test_standardised_samples_are_told_how_to_be_taken_back():
    reference = some(20, seed=1).points
    generated = CloudSet(points=some(20).points / reference.std())
    summary = evaluated(generated, ReferenceSets(reference=CloudSet(points=reference)))
    assert any("--standardised DATASET denormalises them" in text for text in summary["warnings"])
    wide = evaluated(
        CloudSet(points=some(20).points * 25), ReferenceSets(reference=some(20, seed=1))
    )
    assert any("'box' ignores sizes" in text for text in wide["warnings"])


def test_a_reference_that_was_trained_on_is_noticed():
    sets = real()
    learned = ReferenceSets(
        reference=sets.training.take(np.arange(30)),
        training=sets.training,
        training_again=sets.training_again,
    )
    found = evaluated(some(30), learned)["warnings"]
    assert any(
        text.startswith("100 % of the reference shapes are as close to a training")
        for text in found
    )


def test_an_uncentred_set_is_noticed():
    generated = CloudSet(points=some(20).points + np.float32(2))
    summary = evaluated(generated, ReferenceSets(reference=some(20, seed=1)))
    assert any("different centres" in text for text in summary["warnings"])


def test_another_axis_up_is_noticed_and_named():
    tall = np.array([0.4, 1, 0.5], np.float32)
    reference = CloudSet(points=some(20).points * tall)
    generated = CloudSet(points=(some(20, seed=1).points * tall)[:, :, [0, 2, 1]])
    summary = evaluated(generated, ReferenceSets(reference=reference))
    assert any(
        "the order X, Z, Y of the generated axes would fit" in text for text in summary["warnings"]
    )
    assert (
        evaluated(
            CloudSet(points=generated.points[:, :, [0, 2, 1]]), ReferenceSets(reference=reference)
        )["warnings"]
        == []
    )


@pytest.mark.parametrize(
    ("sizes", "reference", "count", "disjoint"),
    [([90], 30, 3, True), ([60], 30, 3, False), ([30], 30, 1, True), ([30, 30], 30, 2, True)],
)
def test_trials_have_one_size_and_say_their_rule(sizes, reference, count, disjoint):
    trials = pair_trials(sizes, reference, 3, 0)
    assert len(trials.generated) == len(trials.reference) == count
    assert all(len(part) == 30 for part in (*trials.generated, *trials.reference))
    union = np.concatenate(trials.generated)
    assert (len(np.unique(union)) == len(union)) == disjoint
    assert ("overlapping" in trials.rule) == (not disjoint)


def test_a_smaller_generated_set_meets_subsets_of_the_reference():
    trials = pair_trials([10], 30, 3, 0)
    assert all((part == np.arange(10)).all() for part in trials.generated)
    assert len({part.tobytes() for part in trials.reference}) == 3
    assert "subsets of 10 of the 30 reference" in trials.rule


def test_the_ceiling_and_the_noise_are_of_the_size_that_was_compared():
    summary = evaluated(some(12), real())
    assert summary["protocol"]["sizes"]["compared"] == summary["noise"]["size"] == 12
    assert "3 disjoint subsets of 12 of the 100 training" in summary["ceiling"]["seeds"]["rule"]
    assert summary["noise"]["nna_cd"]["sd"] > 0.06  # 0.39 / sqrt(12) is 0.11, at 30 it is 0.07
    few = evaluated(some(30), real(training=10))
    assert few["noise"]["size"] == 10
    assert "as many of the 30 reference shapes" in few["ceiling"]["seeds"]["rule"]


def test_the_ceiling_meets_the_reference_shapes_that_the_samples_met():
    trials = pair_trials([10], 30, 2, 0)
    ceiling = ceiling_trials(trials, 100, 3, 0)
    refs = [part.tobytes() for part in trials.reference]
    assert [part.tobytes() for part in ceiling.reference] == [refs[0], refs[1], refs[0]]
    assert len(np.unique(np.concatenate(ceiling.generated))) == 30


def test_one_shape_is_too_few():
    with pytest.raises(InputError, match="at least 2 shapes"):
        evaluated(some(1), ReferenceSets(reference=some(5)))


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (np.zeros((4, 3)), "add a batch axis"),
        (np.zeros((0, 5, 3)), "not empty"),
        (np.zeros((2, 0, 3)), "not empty"),
        (np.full((2, 5, 3), np.nan), "NaN or infinity, the first is number 0"),
    ],
)
def test_bad_clouds_are_explained(points, words):
    with pytest.raises(InputError, match=words):
        CloudSet(points=points)


def test_clouds_of_another_size_than_the_protocols_are_refused():
    with pytest.raises(InputError, match="have 32 points, protocol box compares 64"):
        evaluated(some(5, 32), ReferenceSets(reference=some(5)))
