import dataclasses
import json
import time

import numpy as np
import pytest
import torch

from pcgen import checkpoint, runtime
from pcgen.children import BlendSettings, Maps, MapSettings, planning
from pcgen.children.clouds import Clouds
from pcgen.children.drawing import MatchedClouds, blend
from pcgen.children.frames import Stretch, mirrored
from pcgen.children.map_files import NATURE, MapFolder
from pcgen.children.matching import improve, match, partitioned
from pcgen.children.partners import find_partners
from pcgen.children.planning import plan_pairs, random_subset
from pcgen.children.rule import LEAST_PARTNERS
from pcgen.errors import DataError, InputError, TrainingError
from pcgen.kernels import chamfer
from tests.children.conftest import SETTINGS, box, boxes, build, cube

COPIES = BlendSettings(copies=1.0)


@pytest.mark.parametrize("method", ["slabs", "exact"])
def test_a_map_takes_each_point_once(method):
    x, _ = boxes(2, 101)
    to = match(x[0].numpy(), x[1].numpy(), method, 8, 0)
    assert sorted(to.tolist()) == list(range(101))


def test_maps_are_on_a_device_if_they_fill_at_most_a_third_of_it(tmp_path, monkeypatch):
    maps = build(boxes(4)[0], tmp_path)
    held = maps.clouds.points.nbytes + maps.to.nbytes
    for free, home in ((3 * held, "meta"), (3 * held - 1, "cpu")):
        monkeypatch.setattr(runtime, "free_bytes", lambda device, free=free: free)
        placed = maps.on_device("meta")
        assert {placed.clouds.points.device.type, placed.to.device.type} == {home}


def test_a_map_undoes_a_shuffle():
    x, _ = boxes(1, 200)
    order = torch.randperm(200)
    for method in ("slabs", "exact"):
        to = match(x[0].numpy(), x[0][order].numpy(), method, 24, 0)
        moved = (x[0] - x[0][order][to.astype(int)]).norm(dim=1)
        assert moved.mean() < (0.15 if method == "slabs" else 1e-6)


def test_sweeps_only_ever_improve():
    x, y = boxes(2, 300)[0].numpy()
    draw = np.random.default_rng(0)
    to = partitioned(x, y, draw)
    cost = [((x - y[to]) ** 2).sum(1).mean()]
    for _ in range(20):
        improve(x, y, to, draw)
        cost.append(((x - y[to]) ** 2).sum(1).mean())
    assert (np.diff(cost) <= 1e-9).all()
    least = match(x, y, "exact", 0, 0)
    assert cost[-1] < 1.1 * ((x - y[least]) ** 2).sum(1).mean()


def test_a_map_follows_from_its_seed_alone():
    x, y, z = boxes(3, 128)[0].numpy()
    first = match(x, y, "slabs", 4, 5)
    match(y, z, "slabs", 4, 5)
    assert (match(x, y, "slabs", 4, 5) == first).all()
    assert (match(x, y, "slabs", 4, 6) != first).any()


def test_children_of_boxes_are_boxes_that_were_not_there(tmp_path, generator):
    points, _ = boxes(8)
    children = build(points, tmp_path).draw(20, 128, generator)
    assert children.points.shape == (20, 128, 3)
    assert torch.allclose(children.points, box(children.points), atol=1e-5)
    # Proportion-free all boxes are the one cube, and so are their children.
    on_a_side = cube(children.points).abs().amax(2)
    assert (on_a_side > 0.8).float().mean() > 0.95
    assert (children.parent[:, 0] != children.parent[:, 1]).all()


def test_a_child_lies_between_its_parents_where_the_mask_says(tmp_path, generator):
    points, _ = boxes(6)
    maps = build(points, tmp_path)
    sharp = BlendSettings(cuts=(0.5, 0.5), width=1e-5, kinds=("step",))
    child = maps.draw(1, 256, generator, sharp)
    a, b = (cube(points[row][None])[0] for row in child.parent[0])
    a, b = (mirrored(x) if flip else x for x, flip in zip((a, b), child.mirrored[0], strict=True))
    near = torch.cdist(cube(child.points)[0], torch.cat([a, b])).amin(1)
    assert near.median() < 0.1


def test_a_child_keeps_the_proportions_of_the_shape_that_was_cut(tmp_path, generator):
    points, _ = boxes(8)
    children = build(points, tmp_path).draw(20, 256, generator, BlendSettings(partners=4))
    own = Stretch.of(points).proportions[children.parent[:, 0]]
    assert torch.allclose(Stretch.of(children.points).proportions, own, atol=0.1)


def test_a_child_has_proportions_between_its_parents_where_few_shapes_share_theirs(
    tmp_path, generator
):
    points, _ = boxes(8)
    maps = build(points, tmp_path)
    assert maps.settings.between == 1
    assert "between those of both parents" in maps.choice.describe()
    children = maps.draw(40, 256, generator)
    of_all = torch.cat([Stretch.of(points).proportions, Stretch.of(children.points).proportions])
    ratios = (of_all / of_all.roll(1, 1)).log()  # of sides, as clouds are scaled to their boxes
    first, second = ratios[children.parent.T]
    low, high = torch.minimum(first, second), torch.maximum(first, second)
    found = ratios[8:]
    assert ((found > low - 0.1) & (found < high + 0.1)).all()
    assert ((found - first).abs().amax(1) > 0.1).any()
    assert ((found - second).abs().amax(1) > 0.1).any()


def test_half_of_the_children_have_other_proportions_where_many_shapes_share_theirs(
    tmp_path, generator
):
    points, _ = boxes(8)
    maps = build(points.repeat(4, 1, 1), tmp_path)
    assert maps.settings.between == 0.5
    assert "50% in proportions between those of both parents" in maps.choice.describe()
    far = BlendSettings(partners=maps.farthest, between=0.5)
    children = maps.draw(800, 256, generator, far)
    sizes = Stretch.of(maps.clouds.points).proportions[children.parent]
    apart = (sizes[:, 0] - sizes[:, 1]).abs().amax(1) > 0.2
    moved = (Stretch.of(children.points).proportions - sizes[:, 0]).abs().amax(1) > 0.05
    assert apart.sum() > 100
    assert 0.3 < moved[apart].float().mean() < 0.6


@pytest.mark.parametrize("count", [100, 2000])
@pytest.mark.parametrize("equal_sides", [False, True])
def test_proportions_repeat_only_in_sets_that_have_few(count, equal_sides, generator):
    def repeats(sizes: torch.Tensor) -> bool:
        if equal_sides:
            sizes[:, 2] = sizes[:, 0]
        corners = torch.tensor([[-1.0] * 3, [1.0] * 3]).repeat(8, 1)
        label = torch.arange(count) % 3
        return Clouds.of(corners * sizes[:, None], None, label).repeats_proportions

    sizes = 0.2 + 0.8 * torch.rand(count, 3, generator=generator)
    assert not repeats(sizes)
    assert repeats((5 * sizes).ceil())


def test_a_single_shape_repeats_no_proportions():
    assert not Clouds.of(boxes(1)[0], None, torch.zeros(1).long()).repeats_proportions


def test_a_copy_is_its_parent(tmp_path, generator):
    points, normals = boxes(4)
    copies = build(points, tmp_path, normals).draw(10, 100, generator, COPIES)
    assert (copies.parent[:, 0] == copies.parent[:, 1]).all()
    for child, row, flip in zip(
        copies.points, copies.parent[:, 0], copies.mirrored[:, 0], strict=True
    ):
        parent = mirrored(points[row]) if flip else points[row]
        assert torch.cdist(child, parent).amin(1).mean() < 0.1
    assert torch.allclose(copies.normals.norm(dim=2), torch.ones(10, 100))


def test_normals_of_children_of_boxes_are_those_of_a_box(tmp_path, generator):
    points, normals = boxes(8)
    children = build(points, tmp_path, normals).draw(10, 256, generator)
    length = children.normals.norm(dim=2)
    assert ((length - 1).abs() < 1e-5).float().mean() > 0.99
    side = cube(children.points).abs().argmax(2)
    agreement = children.normals.abs().gather(2, side[..., None])
    assert agreement.mean() > 0.8


def test_normals_without_length_stay_zero(tmp_path, generator):
    points, _ = boxes(4)
    children = build(points, tmp_path, torch.zeros_like(points)).draw(4, 64, generator)
    assert (children.normals == 0).all()


def test_maps_do_not_depend_on_the_number_of_processes(tmp_path):
    points, _ = boxes(12)
    one = build(points, tmp_path / "one")
    two = build(points, tmp_path / "two", workers=2)
    assert torch.equal(one.to, two.to)
    assert torch.equal(one.pairing.pair, two.pairing.pair)


def test_children_follow_from_the_generator(tmp_path):
    points, normals = boxes(6)
    maps = build(points, tmp_path, normals)
    first, second, third = (
        maps.draw(5, 64, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first.points, second.points)
    assert not torch.equal(first.points, third.points)


def test_a_kill_costs_no_more_than_a_chunk(tmp_path, monkeypatch):
    points, _ = boxes(12)
    whole = build(points, tmp_path / "whole")
    calls = 0

    def dies(*arguments):
        nonlocal calls
        calls += 1
        if calls > 17:
            raise KeyboardInterrupt
        return match(*arguments)

    monkeypatch.setattr("pcgen.children.planning.match", dies)
    with pytest.raises(KeyboardInterrupt):
        build(points, tmp_path / "cut")
    assert len(list((tmp_path / "cut").glob("*chunk*"))) == 2
    calls = 0
    monkeypatch.setattr("pcgen.children.planning.match", lambda *a: (_count(), match(*a))[1])

    def _count():
        nonlocal calls
        calls += 1

    again = build(points, tmp_path / "cut")
    assert calls == 24 - 16
    assert torch.equal(again.to, whole.to)
    assert not list((tmp_path / "cut").glob("*chunk*"))


def test_finished_maps_are_read_and_not_made_again(tmp_path, monkeypatch):
    points, _ = boxes(6)
    first = build(points, tmp_path)
    monkeypatch.setattr("pcgen.children.planning.match", lambda *_: pytest.fail("made again"))
    assert torch.equal(build(points, tmp_path).to, first.to)


def test_a_damaged_chunk_is_made_again(tmp_path, monkeypatch):
    points, _ = boxes(6)
    whole = build(points, tmp_path / "whole")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "maps-chunk-00000000.safetensors").write_bytes(b"nonsense")
    assert torch.equal(build(points, tmp_path / "cut").to, whole.to)


def test_maps_of_other_shapes_are_refused(tmp_path):
    build(boxes(6)[0], tmp_path)
    with pytest.raises(DataError, match="other shapes"):
        build(boxes(6, seed=1)[0], tmp_path)
    with pytest.raises(DataError, match="other settings"):
        build(boxes(6)[0], tmp_path, settings=MapSettings(points=128))


def test_a_budget_buys_the_maps_it_says(tmp_path):
    points, _ = boxes(30)
    settings = MapSettings(points=512, partners=12, per_shape=8)
    start = time.process_time()
    maps = build(points, tmp_path, settings=settings, budget_seconds=0.3)
    assert 1 <= len(maps) < 240
    assert time.process_time() - start < 2
    assert json.loads((tmp_path / "plan.json").read_text())["maps"] == len(maps)
    # Shapes without a map of their own are the partners of others, or copied.
    children = maps.of_shapes(torch.arange(30), 64, torch.Generator().manual_seed(0))
    assert children.points.isfinite().all()


@pytest.mark.parametrize("workers", [1, 2])
def test_maps_end_by_the_clock_whatever_was_planned(tmp_path, monkeypatch, workers):
    points, _ = boxes(30)
    settings = MapSettings(points=128, partners=6, per_shape=4, sweeps=2)
    whole = build(points, tmp_path / "whole", settings=settings)
    now = iter(range(10_000))
    monkeypatch.setattr(planning, "monotonic", lambda: next(now))
    some = build(points, tmp_path / "some", settings=settings, wall_seconds=3, workers=workers)
    monkeypatch.undo()
    assert planning.CHUNK <= len(some) < len(whole) == 120
    assert torch.equal(some.to, whole.to[: len(some)])
    again = build(points, tmp_path / "some", settings=settings)
    assert torch.equal(again.to, some.to)
    none = build(points, tmp_path / "none", settings=settings, wall_seconds=0.0)
    assert planning.CHUNK <= len(none) < 120


def test_of_a_set_too_large_for_the_budget_a_random_subset_has_partners(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(planning, "WHOLE", 20)
    monkeypatch.setattr(planning, "TRIED", 12)
    monkeypatch.setattr(planning, "FEWEST_OF_CATEGORY", 2)
    points, label = boxes(40)[0], [0] * 38 + [1] * 2
    settings = MapSettings(points=64, farthest=4, per_shape=2, sweeps=1)
    few = {"settings": settings, "label": label, "budget_seconds": 1e-3}
    maps = build(points, tmp_path / "few", **few)
    assert "of 40 shapes, a random subset" in capsys.readouterr().err
    plan = json.loads((tmp_path / "few" / "plan.json").read_text())
    rows = random_subset(torch.tensor(label), plan["shapes"], 0)
    assert 12 <= plan["shapes"] <= len(rows) < 40
    assert set(maps.pairing.pair.flatten().tolist()) <= set(rows.tolist())
    nature = checkpoint.load(tmp_path / "few" / "nature.safetensors", NATURE)[0]
    assert len(nature["cube_draws"]) == len(rows)
    # A stored plan holds, whatever the clock says; so do its maps.
    (tmp_path / "few" / "maps.safetensors").unlink()
    (tmp_path / "few" / "choice.json").unlink()
    again = build(points, tmp_path / "few", **few | {"budget_seconds": 1e6})
    assert again.choice == maps.choice
    assert torch.equal(again.to, maps.to)
    whole = build(points, tmp_path / "whole", **few | {"budget_seconds": 1e6})
    without = build(points, tmp_path / "without", **few | {"budget_seconds": None})
    assert whole.choice == without.choice
    assert torch.equal(whole.to, without.to)


def test_the_larger_the_budget_the_more_shapes_have_partners(tmp_path, monkeypatch):
    """Partners of n shapes take n² / 10³ seconds here, and the rule n / 10."""
    monkeypatch.setattr(planning, "TRIED", 100)
    monkeypatch.setattr(planning, "monotonic", lambda: 0.0)
    spent = iter([10.0, 10.0] * 2)
    monkeypatch.setattr(planning, "_seconds", lambda *_: next(spent))
    monkeypatch.setattr(planning._Builder, "_try_rule", lambda *_: None)
    clouds = Clouds.of(torch.rand(2100, 16, 3), None, torch.zeros(2100).long())
    builder = planning._Builder(clouds, MapSettings(), 0, MapFolder(tmp_path, "x"), 2, 0.0)
    # Half of 2 · 240 seconds of two processes: 300² / 10³ + 300 / 10 = 120.
    assert builder._shapes_within(480.0) == (300, pytest.approx(240.0))
    assert builder._shapes_within(1e9)[0] == 2100


def test_a_set_of_usual_size_is_used_whole_and_nothing_is_timed_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(planning._Builder, "_try_rule", lambda *_: pytest.fail("timed"))
    points, _ = boxes(30)
    settings = MapSettings(points=64, farthest=4, per_shape=2, sweeps=1)
    build(points, tmp_path, settings=settings, budget_seconds=1e-3)
    assert json.loads((tmp_path / "plan.json").read_text())["shapes"] == 30


def test_a_plan_without_a_number_of_shapes_is_for_all(tmp_path):
    MapFolder(tmp_path, "x").write_plan({"pilot": 24, "maps": 9})
    assert MapFolder(tmp_path, "x").read_plan(7) == {"pilot": 24, "maps": 9, "shapes": 7}


def test_a_subset_has_shapes_of_every_category():
    label = torch.tensor([0] * 1000 + [1] * 5 + [2] * 30)
    rows = random_subset(label, 100, 0)
    assert torch.equal(rows, rows.unique())
    assert 100 <= len(rows) <= 121
    assert label[rows].bincount()[1:].tolist() >= [5, 16]
    assert torch.equal(random_subset(label, 2000, 0), torch.arange(1035))


def test_every_shape_gets_a_first_map_before_any_gets_a_second(tmp_path):
    pairing = build(boxes(10)[0], tmp_path).pairing
    assert sorted(pairing.pair[:10, 0].tolist()) == list(range(10))


def test_maps_of_a_shape_go_to_different_partners_from_different_points(tmp_path):
    pairing = build(boxes(10)[0], tmp_path).pairing
    for row in range(10):
        own = pairing.pair[:, 0] == row
        assert len(set(pairing.pair[own, 1].tolist())) == 2
        assert len(set(pairing.start[own, 0].tolist())) == 2


def test_maps_lead_to_many_partners_though_few_may_be_new_enough(tmp_path):
    """So that the rule can take more when it judges decoded children."""
    settings = MapSettings(points=64, goal=0.01, per_shape=4, sweeps=1)
    maps = build(boxes(24)[0], tmp_path, settings=settings)
    assert maps.settings.partners < 6
    assert maps.farthest >= LEAST_PARTNERS - 2  # of 96 maps some may miss the last ranks


def test_settings_choose_among_partners_by_rank(tmp_path, generator):
    points, _ = boxes(10)
    settings = MapSettings(points=64, partners=6, per_shape=6, sweeps=2)
    maps = build(points, tmp_path, settings=settings)
    rank = {tuple(pair): int(r) for pair, r in zip(maps.pairing.pair.tolist(), maps.pairing.rank)}  # noqa: B905
    near = maps.draw(100, 16, generator, BlendSettings(partners=1)).parent.tolist()
    assert all(0 in (rank.get((a, b)), rank.get((b, a))) for a, b in near)
    far = maps.draw(200, 16, generator, BlendSettings(partners=6)).parent.tolist()
    assert len({tuple(pair) for pair in far}) > 40


def test_the_cost_of_a_map_is_how_far_it_moves_points(tmp_path):
    maps = build(boxes(8)[0], tmp_path)
    number = int(maps.cost.argmax())
    pair, start = maps.pairing.pair[number], maps.pairing.start[number].tolist()
    x, y = maps.clouds.stretch[pair].cube(maps.clouds.points[pair])
    x, y = x.roll(-start[0], 0)[:256], y.roll(-start[1], 0)[maps.to[number].long()]
    y = mirrored(y) if maps.pairing.flipped[number] else y
    other_side = maps.clouds.symmetry[pair].all(0) & (x * y < 0)  # of a plane of both symmetries
    moved = (torch.where(other_side, -y, y) - x).norm(dim=1)
    assert maps.cost[number] == pytest.approx(float(moved.mean()), rel=1e-5)


def test_the_costliest_maps_can_be_left_out(tmp_path, generator):
    settings = dataclasses.replace(SETTINGS, partners=7, per_shape=7)
    maps = build(boxes(12)[0], tmp_path, settings=settings)
    children = maps.draw(600, 32, generator, BlendSettings(partners=7, left_out=0.3))
    near = maps.pairing.rank < 7
    limit = maps.cost[near].quantile(0.7)
    beyond = maps.cost[children.map] > limit
    # A shape all of whose maps are costly has its best one.
    with_others = torch.zeros(12, dtype=torch.bool)
    with_others[maps.pairing.pair[near & (maps.cost <= limit)].flatten()] = True
    assert not (beyond & with_others[children.parent[:, 0]]).any()
    assert len(children.map[~beyond].unique()) > 0.5 * int((maps.cost <= limit).sum())
    assert maps.cost[maps.draw(600, 32, generator, BlendSettings(partners=7)).map].max() > limit


def test_a_shape_whose_maps_are_all_costly_has_its_best_one(tmp_path, generator):
    settings = dataclasses.replace(SETTINGS, partners=7, per_shape=7)
    maps = build(boxes(12)[0], tmp_path, settings=settings)
    cheapest = BlendSettings(partners=7, left_out=1.0)
    only = int(maps.cost.argmin())
    children = maps.draw(300, 32, generator, cheapest)
    others = ~torch.isin(children.parent[:, 0], maps.pairing.pair[only])
    assert (children.map[~others] == only).all()
    assert others.any()
    assert (maps.pairing.rank[children.map[others]] == 0).all()
    assert (children.parent[:, :1] == maps.pairing.pair[children.map]).any(1).all()


def test_children_are_of_the_category_of_their_first_parent(tmp_path, generator):
    points, _ = boxes(11)
    label = [0, *[1] * 10]
    maps = build(points, tmp_path, label=label)
    rows = torch.arange(11).repeat(5)
    children = maps.of_shapes(rows, 32, generator)
    assert torch.equal(children.parent[:, 0], rows)
    partners = children.parent[children.parent[:, 0] != 0, 1]
    assert (partners != 0).all()


def test_a_lone_shape_has_copies(tmp_path, generator):
    points, _ = boxes(1)
    children = build(points, tmp_path).draw(3, 50, generator)
    assert (children.parent == 0).all()


def test_no_shape_has_no_children(tmp_path, generator):
    with pytest.raises(InputError, match="at least one shape"):
        build(torch.zeros(0, 100, 3), tmp_path).draw(1, 10, generator)


def test_clouds_with_few_points_give_all_they_have(tmp_path, generator):
    maps = build(boxes(3, 40)[0], tmp_path)
    assert maps.to.shape[1] == 40
    with pytest.raises(InputError, match="1 to 40 points"):
        maps.draw(1, 41, generator)
    with pytest.raises(TrainingError, match="16 points"):
        build(boxes(3, 10)[0], tmp_path / "fewer")


def test_flat_shapes_have_flat_children(tmp_path, generator):
    points, _ = boxes(5)
    points[..., 2] = 0
    children = build(points, tmp_path).draw(10, 100, generator)
    assert children.points.isfinite().all()
    assert (children.points[..., 2] == 0).all()


def test_duplicates_and_single_points_are_no_obstacle(tmp_path, generator):
    points, _ = boxes(2)
    points = torch.cat([points, points, torch.zeros(1, 512, 3)])
    assert build(points, tmp_path).draw(20, 64, generator).points.isfinite().all()


def test_half_precision_normals_are_enough(tmp_path, generator):
    points, normals = boxes(4)
    children = build(points, tmp_path, normals.half()).draw(4, 64, generator)
    assert children.normals.dtype == torch.float32


def test_normals_in_the_cost_change_the_map(tmp_path):
    points, normals = boxes(4, 256)
    plain = build(points, tmp_path / "plain", normals)
    settings = MapSettings(points=256, partners=4, per_shape=2, sweeps=4, normal_weight=1.0)
    weighted = build(points, tmp_path / "weighted", normals, settings=settings)
    assert not torch.equal(plain.to, weighted.to)

    def agreement(maps: Maps) -> float:
        pair, start = maps.pairing.pair, maps.pairing.start
        here = (start[:, :1] + torch.arange(256)) % 256
        there = (start[:, 1:] + maps.to.long()) % 256
        product = normals[pair[:, :1], here] * normals[pair[:, 1:], there]
        return float(product.sum(2).abs().mean())

    assert agreement(weighted) > agreement(plain)


def test_all_maps_are_planned_once(tmp_path):
    points, _ = boxes(7)
    maps = build(points, tmp_path)
    clouds = maps.clouds
    cubes = clouds.cubes(256, torch.arange(len(clouds)))
    found = find_partners(cubes, clouds.label, clouds.symmetry, 4)
    plan = plan_pairs(maps.clouds, found, SETTINGS, 4, 0)
    assert torch.equal(plan.pair, maps.pairing.pair)
    assert len(plan) == 14


def test_a_batch_shared_by_processes_is_the_batch_of_one(tmp_path):
    from pcgen.batch_random import BatchGenerator

    points, _ = boxes(6)
    maps = build(points, tmp_path)
    whole = maps.draw(6, 32, torch.Generator().manual_seed(3))
    parts = []
    for rows in (slice(0, 3), slice(3, 6)):
        shared = BatchGenerator()
        shared.manual_seed(3)
        shared.batch, shared.rows = 6, rows
        parts.append(maps.draw(3, 32, shared).points)
    assert torch.equal(torch.cat(parts), whole.points)


CORNERS = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)


def sheets(heights, count: int, generator) -> list[torch.Tensor]:
    """Sheets (1, count, 3) of these heights over the same square, and the corners of the cube."""
    square = 1.8 * torch.rand(count - 8, 2, generator=generator) - 0.9
    return [
        torch.cat([CORNERS, torch.cat([square, height(square)[:, None]], 1)])[None]
        for height in heights
    ]


def test_points_without_a_match_move_as_those_around_them_do(generator):
    def flat(square):
        return 0 * square[:, 0]

    def hill(square):
        return 0.5 * (square * torch.pi / 2).cos().prod(1)

    matched = sheets((flat, hill), 2000, generator)
    others = [sheets([height], 3000, generator)[0] for height in (flat, hill)]
    stretch, no = Stretch.of(matched[0]), torch.zeros(1, dtype=torch.bool)
    pairs = MatchedClouds(
        tuple(matched), None, (stretch, stretch), no, torch.zeros(1, 3, dtype=torch.bool), others
    )
    child, normals = blend(pairs, torch.sigmoid(matched[0][..., 0] / 0.1), no)
    assert child.shape == (1, 3000, 3)
    assert normals is None
    # A map of heights: a point of either sheet is where its share of the hill is.
    between = child[0, (child[0].abs() < 0.95).all(1)]
    share = torch.sigmoid(between[:, 0] / 0.1)
    assert len(between) == pytest.approx(3000, rel=0.03)
    assert (between[:, 2] - share * hill(between[:, :2])).abs().mean() < 0.01
    # Each is on its own sheet where the mask ends, and both give half of the points.
    assert (between[:, 0] > 0).float().mean() == pytest.approx(0.5, abs=0.03)
    for side, height in ((-1, flat), (1, hill)):
        far = between[side * between[:, 0] > 0.7]
        assert (far[:, 2] - height(far[:, :2])).abs().max() < 0.01


def test_children_of_more_points_than_a_map_have_the_same_parents(tmp_path):
    points, normals = boxes(8)
    maps = build(points, tmp_path, normals)
    few, many = (maps.draw(20, count, torch.Generator().manual_seed(3)) for count in (256, 512))
    assert many.points.shape == (20, 512, 3)
    assert many.normals is None
    assert (few.parent == many.parent).all()
    assert (few.symmetry == many.symmetry).all()
    apart = chamfer(few.points, many.points)
    assert (apart < chamfer(few.points, many.points.roll(1, 0)))[apart > 0].float().mean() > 0.9
    copies = maps.draw(8, 512, torch.Generator().manual_seed(0), COPIES)
    assert (copies.map == -1).all()
    parents = box(points[copies.parent[:, 0]])
    signs = torch.where(copies.mirrored[:, :1, None], points.new_tensor([-1.0, 1.0, 1.0]), 1.0)
    assert chamfer(copies.points, parents * signs).max() < 1e-8
    with pytest.raises(InputError, match="1 to 512 points, got 513"):
        maps.draw(1, 513, torch.Generator())


def test_many_points_of_symmetric_shapes_are_symmetric(tmp_path, generator):
    children = build(boxes(8)[0], tmp_path).draw(20, 512, generator)
    assert children.symmetry.any()
    for axis in range(3):
        some = children.points[children.symmetry[:, axis]]
        image = some * (1 - 2 * torch.eye(3)[axis])
        assert chamfer(some, image).sqrt().median() < 0.15
