"""Completion: what is kept and found, and what is refused or warned about."""

import html
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh

import pcgen
from pcgen import cli
from pcgen.bench.completion import cut_away, distance, retrieved
from pcgen.editing import completion
from pcgen.errors import InputError
from pcgen.gallery.build import build
from pcgen.render import palette
from pcgen.shapes.samples import Samples
from pcgen.viewer.drawing import cloud_colours
from pcgen.viewer.sources import open_source
from tests.boxes import boxes


@pytest.fixture(scope="module")
def model():
    return pcgen.load("seats", device="cpu")


@pytest.fixture
def half():
    """The left half of a box in its own unit, far from the origin."""
    box = boxes(1, 2400, seed=7)[0][0]
    return box[box[:, 0] < 0] * 30 + np.float32([100, 5, -40])


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Few candidates, which is quicker."""
    for name, value in {
        "KNOWN": 16,
        "DRAWN": 4,
        "LIKELY": 24,
        "PLACED": 8,
        "ASKED": 12,
        "CLOUD": 1024,
    }.items():
        monkeypatch.setattr(completion, name, value)


def quiet(model, *given, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.complete(*given, **options)


def test_the_points_given_are_kept_where_they_are(model, half):
    answers = quiet(model, half, 2)
    for answer in answers:
        back = answer.frame.restore(answer.points)
        assert int(answer.given.sum()) == len(half)
        held = back[answer.given]
        apart = torch.cdist(torch.tensor(held), torch.tensor(half, dtype=torch.float64))
        assert float(apart.amin(1).max()) < 1e-3  # of 60
        assert float(apart.amin(0).max()) < 1e-3
    assert np.ptp(answers[0].points, axis=0).max() == pytest.approx(2, abs=1e-5)


def test_answers_come_in_the_order_of_their_facts(model, half):
    scores = [
        answer.facts["log_density"]
        - completion.FIT * np.log(answer.facts["misfit"])
        + completion.PRIOR * answer.facts["plausible"]
        for answer in quiet(model, half, 4, points=300)
    ]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)


def test_answers_are_asked_for_in_any_number_of_points_and_equal_seeds_agree(model, half):
    one, two = (quiet(model, half, 2, points=500, seed=3) for _ in range(2))
    assert one.points.shape == (2, 500, 3)
    assert np.array_equal(one.points, two.points)
    few = one[0].given.sum()
    assert 0 < few <= 500  # a model that fits badly adds nothing near the points
    clean = quiet(model, half, 1, points=500, keep=False)
    assert not clean.given.any()
    assert clean.normals is not None


def test_a_candidate_that_is_the_whole_is_found_and_fills_the_hole():
    """One of three candidates is the whole shape, smaller and moved; this needs no network."""
    generator = torch.Generator().manual_seed(0)
    lathe = trimesh.creation.annulus(0.4, 1.0, 0.5)
    shapes = [trimesh.creation.box((2, 1, 1)), lathe, trimesh.creation.icosphere(3)]
    clouds = torch.stack(
        [
            torch.tensor(trimesh.sample.sample_surface(s, 1024, seed=1)[0], dtype=torch.float32)
            for s in shapes
        ]
    )
    whole = torch.tensor(trimesh.sample.sample_surface(lathe, 2048, seed=2)[0], dtype=torch.float32)
    part = whole[whole[:, 0] < 0.1]
    given = part * 1.3 + torch.tensor([0.2, 0.0, 0.1])
    pool = SimpleNamespace(outlines=clouds[:, :128], parts=lambda rows: clouds[rows])
    (best, *_) = completion._placed(given, pool, False, generator, 12)
    assert best.candidate == 1
    assert best.scale.tolist() == pytest.approx([1.3] * 3, abs=0.1)
    bent = completion._bent(best.of(clouds[1]), given)
    far = completion._nearest_distances(bent, given) > completion._room(given, given, bent)
    made, held = completion._even(given, bent, far, 2048, generator)
    truth = (whole * 1.3 + torch.tensor([0.2, 0.0, 0.1])).numpy()
    assert distance(made.numpy(), truth) < 0.2 * distance(given.numpy(), truth)
    rows = {tuple(row) for row in given.tolist()}
    assert all(tuple(row) in rows for row in made[held].tolist())


def test_a_set_of_answers_keeps_its_places_in_a_file(model, half, tmp_path):
    answers = quiet(model, half, 2, points=200)
    again = pcgen.Shapes.load(answers.save(tmp_path / "a.npz"))
    for one, two in zip(answers, again, strict=True):
        assert two.frame == one.frame
        assert np.array_equal(two.given, one.given)
        assert two.points[two.given] == pytest.approx(one.points[one.given])
    assert again[1:][0].frame == answers[1].frame


def test_points_given_have_a_colour_of_their_own_wherever_answers_are_shown(model, half, tmp_path):
    answers = quiet(model, half, 2, points=200)
    mixed = pcgen.Shapes.of([answer.drawn(200, seed=1) for answer in answers])  # given anywhere
    count = int(mixed[1].given.sum())
    file = mixed.save(tmp_path / "a.npz")
    item = open_source(file).load(1)
    colours = cloud_colours(item, "plain")
    own = (colours == np.array(palette.GIVEN)).all(1)
    assert own.sum() == count > 0
    assert item.points[own] == pytest.approx(mixed[1].points[mixed[1].given])
    assert f'"given":{count},' in html.unescape(mixed[1]._repr_html_())
    page = build(pcgen.Shapes.load(file).samples, tmp_path / "page")
    assert f'"given":{count},' in page.read_text()
    plain = model.sample(1, points=100).save(tmp_path / "plain.npz")
    assert not (cloud_colours(open_source(plain).load(0), "plain") == palette.GIVEN).all(1).any()


def test_a_file_that_notes_no_numbers_of_points_given_is_refused(tmp_path):
    Samples(points=boxes(1, 50)[0], meta={"given": ["all"]}).save(tmp_path / "a.npz")
    with pytest.raises(InputError, match="points given"):
        pcgen.Shapes.load(tmp_path / "a.npz")


def test_placements_of_each_size_that_fits_take_turns():
    """One cube, at three sizes that fit and one that does not."""
    cube = torch.tensor(trimesh.creation.box((2, 2, 2)).vertices, dtype=torch.float32)
    outlines = cube[None].repeat(5, 1, 1)
    found = [
        completion._Placement(row, False, torch.full((3,), size), torch.zeros(3), misfit)
        for row, (size, misfit) in enumerate(
            [(1.0, 0.010), (1.02, 0.011), (1.01, 0.012), (2.0, 0.015), (3.0, 0.05)]
        )
    ]
    chosen = completion._different(found, outlines, 3)
    assert [placement.candidate for placement in chosen] == [0, 3, 1]
    assert [placement.kind for placement in chosen] == [0, 1, 0]
    filled = completion._different(found, outlines, 9)
    assert [placement.candidate for placement in filled] == [0, 3, 1, 2, 4]


def test_the_unit_of_the_base_is_no_distance_of_a_latent_to_itself():
    """Rounding leaves such distances; far from the origin they are larger."""
    known = 50 + torch.randn(300, 8, generator=torch.Generator().manual_seed(0))
    latents = SimpleNamespace(y=known, coordinates=lambda z: z)
    unit = float(torch.tensor([(known - row).norm(dim=1).sort()[0][1] for row in known]).median())
    found = completion._plausible(
        SimpleNamespace(known=latents),
        known[:1] + torch.tensor([0.01] + [0.0] * 7),
        torch.Generator().manual_seed(0),
    )
    assert float(found[0]) == pytest.approx(-((0.01 / unit) ** 2) / 2, rel=0.2)


def test_answers_of_every_size_come_before_second_ones_of_a_size():
    kinds = [0, 0, 1, 0, 2]
    assert completion._spread([3, 1, 0, 2, 4], kinds, 2) == [3, 2]
    assert completion._spread([3, 1, 0, 2, 4], kinds, 4) == [3, 1, 2, 4]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.eye(3).repeat(2, 0)[:5], "at least 16 points of a shape, got 5"),
        (np.full((40, 3), np.nan), "NaN"),
        (np.ones((40, 3)), "one place|extent|no size"),
    ],
)
def test_points_that_say_nothing_are_refused(model, points, message):
    with pytest.raises(InputError, match=message):
        model.complete(points)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count must be a whole number of at least 1, got 0"),
        ({"count": "4"}, "whole number of at least 1, got '4'"),
        ({"count": 99}, "from 1 to 32"),
        ({"points": 0}, "points must be a whole number of at least 1"),
        ({"points": 2**18}, "from 1 to 131072"),
        ({"seed": 1.5}, "seed must be a whole number, got 1.5"),
        ({"category": "sofa"}, "sofa"),
        ({"framed": True}, r"box \[-1, 1\]"),
    ],
)
def test_options_that_are_none_are_refused(model, half, options, message):
    with pytest.raises(InputError, match=message):
        quiet(model, half, **options)


def test_points_that_are_no_such_shape_are_warned_of(model):
    along = np.random.default_rng(0).uniform(-1, 1, (600, 1))
    needles = along * np.eye(3)[np.arange(600) % 3]  # crossed
    with pytest.warns(UserWarning, match="another category"):
        made = model.complete(needles, 1, points=200)
    assert "another category" in made.meta["notes"][0]


def test_points_upside_down_are_told():
    """The candidate is narrow at the top, the points are narrow at the bottom."""
    cone = trimesh.creation.cone(0.8, 2.0, transform=trimesh.transformations.rotation_matrix(
        -np.pi / 2, [1, 0, 0]))  # fmt: skip
    cloud = torch.tensor(trimesh.sample.sample_surface(cone, 512, seed=0)[0], dtype=torch.float32)
    centre = cloud - (cloud.amax(0) + cloud.amin(0)) / 2
    few = centre[None].repeat(8, 1, 1)
    generator = torch.Generator().manual_seed(0)
    for turned, message in (
        (centre * torch.tensor([1.0, -1, -1]), ["upside down"]),
        (centre[:, [0, 2, 1]] * torch.tensor([1.0, -1, 1]), ["with Z up"]),
        (centre, []),
    ):
        notes = completion._notes(turned, few, 0.0, False, generator)
        assert [word for word in message if word in " ".join(notes)] == message
        assert bool(notes) == bool(message)


def test_what_is_cut_away_is_what_its_name_says():
    cloud = np.random.default_rng(0).normal(size=(3000, 3)).astype(np.float32)
    cloud /= np.linalg.norm(cloud, axis=1, keepdims=True)
    left = {name: len(cut_away(cloud, name, np.random.default_rng(1))) / 3000
            for name in ("half", "corner", "view")}  # fmt: skip
    assert left["half"] == pytest.approx(0.5, abs=0.01)
    assert left["corner"] == pytest.approx(7 / 8, abs=0.03)
    assert 0.3 < left["view"] < 0.5
    shapes = np.stack([cloud * 0.3, cloud, cloud * 2])
    assert retrieved(cloud[:100], shapes) is not None
    assert np.array_equal(retrieved(cloud[:100], shapes), cloud)


@pytest.mark.slow
def test_the_command_does_the_same(model, half, tmp_path, capsys):
    np.save(tmp_path / "scan.npy", half)
    words = ["complete", str(tmp_path / "scan.npy"), "--run", str(model.path), "--count", "2",
             "--points", "200", "--device", "cpu", "--quiet"]  # fmt: skip
    assert cli.main([*words, "--out", str(tmp_path / "a.npz")]) == 0
    made = pcgen.Shapes.load(tmp_path / "a.npz")
    want = quiet(model, tmp_path / "scan.npy", 2, points=200)
    assert np.array_equal(made.points, want.points)
    assert "log density" in capsys.readouterr().out
    assert cli.main([*words, "--out", str(tmp_path / "folder")]) == 0
    files = sorted((tmp_path / "folder").glob("*.ply"))
    assert [file.name for file in files] == ["scan-000.ply", "scan-001.ply"]
    assert np.allclose(trimesh.load(files[0]).vertices.min(0)[0], half.min(0)[0], atol=30)
    assert cli.main([*words, "--out", str(tmp_path / "a.ply")]) == 2
