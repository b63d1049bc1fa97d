"""The command in-process: what it writes, prints and refuses; plots."""

import json
import re

import numpy as np
import pytest
import torch

from pcgen import checkpoint
from pcgen.cli import main
from pcgen.errors import InputError
from pcgen.transport import (
    AutoSolver,
    GaussianSource,
    SemidiscreteMap,
    SemidiscreteProblem,
    SemidualSolver,
)
from pcgen.transport.auto import choose_method
from pcgen.transport.maps.plots import cell_geometry, plot_solution
from pcgen.transport.sources import UniformCube
from pcgen.transport.stochastic import solve_checkpoint


@pytest.fixture
def atoms(tmp_path):
    np.save(tmp_path / "atoms.npy", np.random.default_rng(0).normal(size=(60, 2)))
    return tmp_path / "atoms.npy"


def run(capsys, *words):
    code = main(["transport", *map(str, words), "--quiet"])
    return code, *capsys.readouterr()


@pytest.mark.parametrize("source", ["gaussian", "uniform"])
@pytest.mark.parametrize("method", ["newton", "semidual"])
def test_the_file_and_the_json_tell_the_same(atoms, tmp_path, capsys, source, method):
    out = tmp_path / "map.npz"
    words = ("--source", source, "--method", method if method == "semidual" else "auto")
    code, text, _ = run(capsys, atoms, "--out", out, *words, "--json")
    result = json.loads(text.splitlines()[-1])
    assert code == 0
    assert result["converged"]
    assert result["dead"] == 0
    assert result["method"] == method
    with np.load(out) as file:
        evidence = json.loads(str(file["evidence"]))
        assert evidence["chi2"] == result["chi2"]
        assert file["potential"].dtype == np.float64
        x = np.random.default_rng(1).normal(size=(50_000, 2))
        if source == "uniform":
            x = np.random.default_rng(1).uniform(-0.5, 0.5, size=(50_000, 2))
        cell = (x @ file["atoms"].T + file["potential"]).argmax(1)
        share = np.bincount(cell, minlength=60) / len(x)
        assert ((share - file["weights"]) ** 2 / file["weights"]).sum() < 0.03


def test_weights_a_warm_start_and_a_picture_are_taken(atoms, tmp_path, capsys):
    np.save(tmp_path / "w.npy", np.random.default_rng(0).dirichlet(np.full(60, 5.0)))
    first, second = tmp_path / "a.npz", tmp_path / "b.npz"
    common = (
        "--weights",
        tmp_path / "w.npy",
        "--method",
        "semidual",
        "--tolerance",
        0.05,
        "--json",
    )
    run(capsys, atoms, "--out", first, *common)
    picture = ("--picture", tmp_path / "map.png")
    code, text, _ = run(capsys, atoms, "--out", second, "--start", first, *common, *picture)
    assert code == 0
    assert json.loads(text)["converged"]
    assert (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("auto", ("method newton: ", "stopped      exact", "measured exactly", "0 of 60")),
        ("semidual", ("samples in", "chi2", "noise alone", "dead cells", "fresh samples")),
    ],
)
def test_the_evidence_is_readable(atoms, tmp_path, capsys, method, words):
    _, text, _ = run(capsys, atoms, "--out", tmp_path / "map.npz", "--method", method)
    assert all(word in text for word in (*words, "primal", "written"))
    assert ("chi2" in text) == (method == "semidual")  # an exact method has none


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("newton", r"^digits +8/8  Newton step \d, error \de-\d\d  took 0 s$"),
        ("semidual", r"^samples +\d+/3900  (averaging|level \d)  took \d+ s$"),
        ("univariate", "^$"),
    ],
)
def test_progress_shows_what_the_method_does(atoms, tmp_path, capsys, method, told):
    if method == "univariate":
        np.save(atoms, np.arange(6.0)[:, None])
    main(["transport", str(atoms), "--out", str(tmp_path / "map.npz"), "--method", method])
    assert re.search(told, capsys.readouterr().err.strip())


def test_large_errors_of_rare_atoms_are_said(tmp_path, capsys):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", rng.normal(size=(300, 6)))
    weights = 1e4 ** rng.random(300)
    np.save(tmp_path / "w.npy", weights / weights.sum())
    words = (tmp_path / "a.npy", "--out", tmp_path / "map.npz")
    assert "rare atoms" in run(capsys, *words, "--weights", tmp_path / "w.npy")[1]
    assert "rare atoms" not in run(capsys, *words)[1]


def test_an_unmet_tolerance_is_said(atoms, tmp_path, capsys):
    words = ("--method", "semidual", "--tolerance", 1e-4, "--max-samples", 3000)
    _, text, _ = run(capsys, atoms, "--out", tmp_path / "map.npz", *words)
    assert "stopped      budget: the budget is used up" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.full((3, 2), np.nan), "NaN"),
        (np.zeros(3), r"\(N, dim\)"),
        (np.array([{}]), "pickled Python objects"),
        (np.zeros((3, 2), dtype="U1"), "must be numbers"),
    ],
)
def test_bad_atoms_are_one_line_and_exit_code_2(tmp_path, capsys, content, message):
    np.save(tmp_path / "bad.npy", content)
    code, out, err = run(capsys, tmp_path / "bad.npy", "--out", tmp_path / "x.npz")
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1

    assert re.search(message, err)
    assert not (tmp_path / "x.npz").exists()


def test_a_picture_in_3d_is_refused_before_solving(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.eye(3))
    words = ("--out", tmp_path / "x.npz", "--picture", tmp_path / "x.png")
    assert run(capsys, tmp_path / "a.npy", *words)[0] == 2


def test_the_exact_method_is_chosen_where_there_is_one():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(10, 1)) * np.ones((1, 4))
    assert choose_method(SemidiscreteProblem(GaussianSource(4), flat)) == "univariate"
    assert choose_method(SemidiscreteProblem(UniformCube(4), flat)) == "semidual"
    plane = rng.normal(size=(10, 2))
    assert choose_method(SemidiscreteProblem(UniformCube(2), plane)) == "newton"
    assert choose_method(SemidiscreteProblem(GaussianSource(2), plane)) == "newton"
    assert choose_method(SemidiscreteProblem(GaussianSource(4), rng.normal(size=(9, 4)))) == (
        "semidual"
    )
    copies = SemidiscreteProblem(UniformCube(4), np.full((20, 4), 0.1))
    assert choose_method(copies) == "univariate"
    solution = AutoSolver().solve(copies, torch.Generator().manual_seed(0))
    assert solution.evidence.converged
    assert (solution.potential == 0).all()
    with pytest.raises(InputError, match="method must be one of"):
        AutoSolver(method="simplex")
    with pytest.warns(DeprecationWarning, match="is now 'univariate'"):
        assert AutoSolver(method="line").method == "univariate"


def test_every_method_is_reached_through_one_solver():
    rng = np.random.default_rng(0)
    line, plane = rng.normal(size=(10, 1)), rng.normal(size=(10, 2))
    for source, atoms, method in [
        (GaussianSource(1), line, "univariate"),
        (UniformCube(2), plane, "newton"),
        (GaussianSource(4), np.c_[plane, plane**2], "semidual"),
    ]:
        problem, steps = SemidiscreteProblem(source, atoms), []
        solver, draw = AutoSolver(), torch.Generator().manual_seed(0)
        solution = solver.solve(problem, draw, on_step=steps.append).require_converged()
        assert solution.evidence.method == method
        assert len(steps) == (0 if method == "univariate" else solution.evidence.steps)
        again = solver.solve(problem, draw, start=solution)
        assert again.evidence.samples == 0


def test_facets_and_cells_of_the_plot_are_those_of_the_map(tmp_path):
    angle = torch.arange(80) % 2 * 4.0
    noise = 0.1 * torch.randn(80, 2, generator=torch.Generator().manual_seed(0))
    problem = SemidiscreteProblem(GaussianSource(2), torch.stack([angle, angle * 0], 1) + noise)
    solution = SemidualSolver(tolerance=0.05).solve(problem, torch.Generator().manual_seed(0))
    extended = SemidiscreteMap(solution)
    picture = cell_geometry(extended)
    middle = torch.from_numpy(picture.facets.mean(1))
    mapped = extended(middle)
    assert mapped.gap.max() < 1e-6  # the middle of a facet is on it
    assert np.allclose(mapped.jump.numpy(), picture.jump, rtol=1e-6)
    # Two modes left and right: the singular set is the line between them, near x = 0.
    assert 0 < picture.singular.sum() < len(picture.singular) / 2
    assert np.abs(picture.facets[picture.singular][:, :, 0]).max() < 0.3
    for cell, polygon in enumerate(picture.polygons):
        if len(polygon):
            inside = torch.from_numpy(polygon.mean(0)[None])
            assert solution.assign(inside).item() == cell
    plot_solution(solution, tmp_path / "map.svg", samples=100)
    assert "<svg" in (tmp_path / "map.svg").read_text()


def test_a_solve_that_was_stopped_goes_on_to_the_same_bits(atoms, tmp_path, capsys, monkeypatch):
    """Stopped twice in each phase; the state of another command is not resumed."""
    words = (atoms, "--method", "semidual", "--tolerance", 0.05, "--quiet")
    assert main(["transport", *map(str, words), "--out", str(tmp_path / "whole.npz")]) == 0
    monkeypatch.setattr(solve_checkpoint, "SAVE_EVERY_S", 0.0)
    out, left = tmp_path / "map.npz", tmp_path / "map.npz.state"
    keep, steps = solve_checkpoint.SolveCheckpoint.save, []

    def stop_at(stop):
        def keep_or_stop(self, state):
            keep(self, state)
            steps.append(state.step)
            if state.step == stop:
                raise KeyboardInterrupt

        return keep_or_stop

    for seed, stop in ((1, 3), (0, 5), (0, 40)):  # the first is of another seed
        monkeypatch.setattr(solve_checkpoint.SolveCheckpoint, "save", stop_at(stop))
        stopped = main(["transport", *map(str, words), "--out", str(out), "--seed", str(seed)])
        assert stopped == 130
        assert "the same command resumes" in capsys.readouterr().err
        assert left.exists()
        assert not out.exists()
    assert steps == [1, 2, 3, *range(1, 6), *range(6, 41)]
    monkeypatch.setattr(solve_checkpoint.SolveCheckpoint, "save", keep)
    assert main(["transport", *map(str, words), "--out", str(out)]) == 0
    assert out.read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert not left.exists()


@pytest.mark.parametrize("change", [{"epsilon": float("nan")}, {"batch": 0}, {"more": 1}, "short"])
def test_a_damaged_state_is_refused_in_one_line(atoms, tmp_path, capsys, monkeypatch, change):
    monkeypatch.setattr(solve_checkpoint, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(solve_checkpoint.SolveCheckpoint, "remove", lambda self: None)
    out, left = tmp_path / "map.npz", tmp_path / "map.npz.state"
    words = (atoms, "--out", out, "--method", "semidual", "--tolerance", 0.5)
    run(capsys, *words)
    tensors, rest = checkpoint.load(left)
    if change == "short":
        tensors = {name: tensor[1:] for name, tensor in tensors.items()}
    else:
        rest |= change
    checkpoint.save(left, tensors, rest)
    code, _, said = run(capsys, *words)
    assert code == 2
    assert len(said.splitlines()) == 1
    assert f"{left} is damaged" in said
    assert "start from scratch" in said
