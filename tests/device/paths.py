"""The ways through pcgen that a device takes part in, each a function of the device.

A path gives arrays by name, which must be the CPU's on every device, or nothing where its random
numbers are the device's own. ``simulate.py`` runs all paths on the simulated device, and
``test_real_device.py`` on a real one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pcgen import base, checkpoint, kernels
from pcgen.editing import between
from pcgen.model import ShapeModel
from pcgen.train import presets
from tests.boxes import boxes

Result = dict[str, Any] | None
Path_ = Callable[[str], Result]
PATHS: dict[str, Path_] = {}
TOLERANCES: dict[str, float] = {}

WORK = Path(tempfile.mkdtemp(prefix="pcgen-device-"))
FULL = presets.PRESETS["cpu-tiny"]()
LOOPS = ("autoencoder", "latent-flow/teacher", "latent-flow/student", "point-flow/teacher",
         "point-flow/student", "field")  # fmt: skip
POINTS = 96  # of a shape that is sampled
#: Two steps of Adam from zero weights turn the last bits of a gradient into these differences.
AFTER_STEPS = 0.05
#: This student begins with almost no gradient, so last bits are a larger part of it.
STUDENT, MORE = "point-flow/student", 10


def path(name: str, tolerance: float = 2e-3) -> Callable[[Path_], Path_]:
    """Register a path; numbers may differ by this share of the largest of an array."""

    def register(function: Path_) -> Path_:
        PATHS[name], TOLERANCES[name] = function, tolerance
        return function

    return register


def clear() -> None:
    """Remove what paths have written."""
    shutil.rmtree(WORK, ignore_errors=True)


def compared(name: str, found: Result, expected: Result) -> str:
    """The difference between two results of a path; empty if they are equal."""
    if found is None or expected is None:
        return ""
    for key, values in expected.items():
        a, b = (np.asarray(v, dtype=np.float64) for v in (found[key], values))
        if a.shape != b.shape:
            return f"{key} has shape {a.shape}, not {b.shape}"
        apart = float(np.abs(a - b).max(initial=0)) / (float(np.abs(b).max(initial=0)) + 1e-12)
        if not apart <= TOLERANCES[name] * (MORE if STUDENT in key else 1):
            return f"{key} differs by {apart:.2g} of its largest number"
    return ""


def on_host(values: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {name: tensor.detach().cpu().numpy() for name, tensor in values.items()}


# Runs ---------------------------------------------------------------------------------------------


def dataset(normals: bool = True) -> Path:
    from pcgen.shapes.arrays import write_npy
    from tests.datasets import write_dataset

    folder = WORK / f"data-{normals}"
    if not folder.exists():
        clouds, turned = boxes(8, 1500)
        write_dataset(folder, clouds, normals=turned if normals else None)
        if normals:
            # A box fills the frame of solids, and this is its distance but near an edge.
            places = np.random.default_rng(0).uniform(-1.15, 1.15, (len(clouds), 400, 3))
            distance = np.abs(places).max(2, keepdims=True) - 1
            write_npy(folder / "solids.npy", np.concatenate([places, distance], 2, dtype=np.float16,
                                                            casting="unsafe"))  # fmt: skip
    return folder


@contextlib.contextmanager
def few_steps(**changes: Any) -> Iterator[None]:
    """The tiny preset with two steps per loop, patched where ``train`` looks for it."""

    def loop(old: Any) -> Any:
        return dataclasses.replace(old, steps=2, batch=4, log_every=2)

    latent, point = FULL.latent_flow, FULL.point_flow
    made = dataclasses.replace(
        FULL,
        autoencoder=dataclasses.replace(FULL.autoencoder, **changes.get("autoencoder", {})),
        autoencoder_loop=loop(FULL.autoencoder_loop),
        latent_flow=dataclasses.replace(
            latent, pool=64, teacher=loop(latent.teacher), student=loop(latent.student)
        ),
        point_flow=dataclasses.replace(
            point, pairs=4, teacher=loop(point.teacher), student=loop(point.student),
            **changes.get("point_flow", {}),
        ),
        field=dataclasses.replace(FULL.field, loop=loop(FULL.field.loop)),
    )  # fmt: skip
    before = presets.PRESETS["cpu-tiny"]
    presets.PRESETS["cpu-tiny"] = lambda: made
    try:
        yield
    finally:
        presets.PRESETS["cpu-tiny"] = before


def train(device: str, out: Path, *, normals: bool = True, **options: Any) -> Path:
    from pcgen import pipeline

    pipeline.train(dataset(normals), out, preset="cpu-tiny", device=device, threads=1, **options)
    return out


def fresh(name: str, *given: str) -> Path:
    """An empty run folder with the maps of the children, which no device computes."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    if given:
        for stage in ("run.json", *given):
            source = finished() / stage
            copy = shutil.copytree if source.is_dir() else shutil.copy
            folder.mkdir(parents=True, exist_ok=True)
            copy(source, folder / stage)
    return folder


def finished() -> Path:
    """A run that was trained on the CPU."""
    folder = WORK / "finished"
    if not folder.exists():
        with torch.utils._python_dispatch._disable_current_modes(), few_steps():
            train("cpu", folder)
    return folder


def weights_of(folder: Path, loops: tuple[str, ...] = LOOPS) -> dict[str, Any]:
    return {
        f"{loop} {name}": tensor
        for loop in loops
        for name, tensor in on_host(
            checkpoint.load(folder / loop / "weights.safetensors")[0]
        ).items()
    }


# Training -----------------------------------------------------------------------------------------


@path("train: all stages", AFTER_STEPS)
def _train(device: str) -> Result:
    with few_steps():
        folder = train(device, fresh(f"all-{device[:4]}", "children"))
    latents = checkpoint.load(folder / "base" / "latents.safetensors")[0]
    # The latent flow begins at a base that a device fits by samples of its own.
    same = [loop for loop in LOOPS if not loop.startswith("latent")]
    return weights_of(folder, tuple(same)) | {"latents": latents["z"].float().numpy()}


@path("train: bfloat16, accumulated, conditional", 0.2)
def _rounded(device: str) -> Result:
    with few_steps():
        folder = train(
            device, fresh("rounded"), precision="bfloat16", accumulate=2, conditional=True,
            stage="children",
        )  # fmt: skip
        for stage in ("autoencoder", "base", "latent-flow", "point-flow"):
            train(device, folder, precision="bfloat16", accumulate=2, conditional=True, stage=stage)
    return None


@path("train: with a budget of time")
def _budget(device: str) -> Result:
    with few_steps():
        folder = fresh("budget")
        for stage in ("children", "autoencoder"):
            train(device, folder, budget_minutes=0.05, stage=stage)
    return None


@path("train: without normals, exact coupling")
def _bare(device: str) -> Result:
    with few_steps(point_flow={"coupling": "exact"}):
        train(device, fresh("bare"), normals=False)
    return None


def _encoder(kind: str) -> Path_:
    def run(device: str) -> Result:
        with few_steps():
            folder = fresh(f"encoder-{kind}", "children")
            settings = json.loads((folder / "run.json").read_text())
            settings["settings"]["autoencoder"]["encoder"] = kind
            (folder / "run.json").write_text(json.dumps(settings))
            train(device, folder, encoder=kind, stage="autoencoder")
        return weights_of(folder, LOOPS[:1])

    return run


for _kind in ("tokens", "basis-points", "pointnet", "attention", "neighbourhood"):
    path(f"train: encoder {_kind}", 2 * AFTER_STEPS)(_encoder(_kind))


def _family_run(family: str) -> Path_:
    def run(device: str) -> Result:
        folder = fresh(f"base-{family}", "children", "autoencoder")
        settings = json.loads((folder / "run.json").read_text())
        settings["settings"]["base"]["name"] = family
        (folder / "run.json").write_text(json.dumps(settings))
        with few_steps():
            for stage in ("base", "latent-flow"):
                train(device, folder, base=family, stage=stage)
        return None

    return run


for _name in ("standard", "gaussian", "uniform"):
    path(f"train: base {_name}, then the latent flow")(_family_run(_name))


@path("train: a resumed loop, begun on the other device")
def _resume(device: str) -> Result:
    from pcgen.train.execution import Execution
    from pcgen.train.loop import LoopSettings, Trainer

    def trainer(on: str, folder: Path) -> Trainer:
        torch.manual_seed(0)
        module = torch.nn.Linear(4, 4).to(on)

        def loss(m: Any, draw: Any) -> Any:
            return m(torch.randn(8, 4, generator=draw).to(on)).square().mean()

        settings = LoopSettings(steps=4, batch=8, log_every=1)
        return Trainer(folder, module, loss, settings, seed=0, execution=Execution())

    found = {}
    for first, then in ((device, "cpu"), ("cpu", device)):
        folder = fresh("resumed")
        begun = trainer(first, folder)
        begun.step()
        begun.step()
        begun.save()
        rest = trainer(then, folder)
        assert [step.number for step in rest.steps()] == [3, 4]
        homes = {str(v.device) for s in rest.optimiser.state.values() for v in s.values()}
        assert all(home.startswith(then.split(":")[0]) for home in homes), homes
        direction = "to the CPU" if then == "cpu" else "from the CPU"
        found |= {f"{direction} {k}": v for k, v in on_host(rest.average.state_dict()).items()}
    return found


@path("train: a loss that is not finite is told")
def _sick(device: str) -> Result:
    from pcgen.errors import TrainingError
    from pcgen.train.loop import LoopSettings, Trainer

    module = torch.nn.Linear(2, 1).to(device)

    def loss(m: Any, draw: Any) -> Any:
        value = m(torch.randn(8, 2, generator=draw).to(device)).square().mean()
        return value * float("nan") if trainer.done == 3 else value

    settings = LoopSettings(steps=8, batch=8, log_every=4)
    trainer = Trainer(fresh("sick"), module, loss, settings, seed=0)
    with pytest.raises(TrainingError, match="not finite at step 3"):
        list(trainer.steps())
    return None


@path("processes: sums over a group")
def _group(device: str) -> Result:
    import torch.distributed as dist

    from pcgen.processes import Group

    sent = []

    def all_reduce(tensor: Any, *_: Any, **__: Any) -> None:
        sent.append(tensor.device.type)

    before = dist.all_reduce
    dist.all_reduce = all_reduce
    try:
        group = Group(0, 2)
        group.sum_([torch.ones(3, 2, device=device), torch.ones(4, device=device)])
        group.by_rows(lambda x: x * 2, torch.ones(5, 2, device=device))
        assert set(sent) == {torch.device(device).type}, sent
    finally:
        dist.all_reduce = before
    return None


# Sampling -----------------------------------------------------------------------------------------


def _samples(device: str, **options: Any) -> Result:
    made = ShapeModel.load(finished(), device).sample(3, seed=0, points=POINTS, **options)
    assert np.isfinite(made.points).all()
    return {"points": made.points}


@path("sample: one step of the student", 0.02)
def _student(device: str) -> Result:
    return _samples(device)


@path("sample: three steps of Heun, independent draws", 0.02)
def _heun(device: str) -> Result:
    return _samples(device, steps=3, solver="heun", even=False)


@path("sample: more points than a cloud of the flow has", 0.02)
def _several(device: str) -> Result:
    model = ShapeModel.load(finished(), device)
    return {"points": model.sample(2, seed=1, points=2 * FULL.point_flow.points + 5).points}


@path("sample: generate, by one process", 0.02)
def _generate(device: str) -> Result:
    from pcgen.generate import generate

    model = ShapeModel.load(finished(), device)
    return {"points": generate(model, 10, seed=0, points=POINTS).points}


@path("sample: encode, interpolate, decode with a trace", 0.02)
def _interpolate(device: str) -> Result:
    model = ShapeModel.load(finished(), device)
    clouds, _ = boxes(2, 512)
    z = model.encode(torch.from_numpy(clouds))
    path_ = between.interpolate(model, *clouds, 3, points=POINTS)
    found = model.decode(z, points=POINTS, trace=True, steps=2)
    assert found.trace is not None
    assert found.trace.device.type == "cpu"
    return {"latents": z.numpy(), "frames": path_.points, "trace": found.trace.numpy()}


@path("sample: commands write what they drew")
def _commands(device: str) -> Result:
    from pcgen.cli import main

    run = str(finished())
    out = WORK / "drawn.npz"
    words = ["--points", str(POINTS), "--device", device, "--quiet"]
    assert main(["sample", run, "--count", "3", "--out", str(out), *words]) == 0
    assert main(["interpolate", run, "--frames", "3", "--out", str(WORK / "way.npz"), *words]) == 0
    return None


@path("sample: commands that edit shapes", 0.02)
def _edits(device: str) -> Result:
    from pcgen.cli import main

    run, one = str(finished()), str(WORK / "one.npy")
    np.save(one, boxes(1, 400)[0][0])
    few = ["--points", str(POINTS)]
    commands = {
        "encode": [run, one, "--out", str(WORK / "codes.npz")],
        "decode": [run, str(WORK / "codes.npz"), "--out", str(WORK / "decoded.npz"), *few],
        "vary": [run, one, "--count", "2", "--out", str(WORK / "varied.npz"), *few],
        "mix": [run, one, one, "--out", str(WORK / "mixed.npz"), *few],
        "complete": [one, "--run", run, "--count", "2", "--out", str(WORK / "whole.npz"), *few],
    }
    for name, words in commands.items():
        assert main([name, *words, "--device", device, "--quiet"]) == 0, name
    return {name: np.load(WORK / f"{name}.npz")["points"] for name in ("decoded", "varied")}


@path("mesh: the field of a latent", 0.02)
def _surface(device: str) -> Result:
    model = ShapeModel.load(finished(), device)
    assert model.surfaces is not None
    places = np.random.default_rng(0).uniform(-1, 1, (5000, 3))
    return {"distance": model.surfaces.distance(model.known.z[0], places)}


@path("gallery and pictures of a run")
def _gallery(device: str) -> Result:
    from pcgen.gallery.from_path import _from_run
    from pcgen.viewer.sources import open_source

    _from_run(finished(), 2, 0, 1, POINTS, None, device)
    source = open_source(finished(), points=POINTS, device=device)
    source.draw(0, category=None, steps=2)
    return None


@path("evaluate a run", 0.05)
def _evaluate(device: str) -> Result:
    from pcgen.evaluate.requests import EvaluationRequest, evaluate_files

    result = evaluate_files(
        EvaluationRequest([finished()], dataset(), split="train", points=128, seeds=1, cache=None,
                    device=device)
    )  # fmt: skip
    return {"mmd": [result["mmd_cd"]], "1-NNA": [result["nna_cd"]]}


# Transport and bases ------------------------------------------------------------------------------


def latents(device: str, count: int = 96, dim: int = 6) -> torch.Tensor:
    x = torch.randn(count, dim, generator=torch.Generator().manual_seed(1))
    return (x + 2 * (x[:, :1] > 0)).to(device)


def generator(device: str) -> torch.Generator:
    return torch.Generator(device=device).manual_seed(0)


@path("transport: Gaussian source")
def _semidual(device: str) -> Result:
    from pcgen.transport import GaussianSource, SemidiscreteProblem, SemidualSolver

    atoms = latents(device)
    problem = SemidiscreteProblem(GaussianSource(atoms.shape[1]), atoms)
    solver = SemidualSolver(tolerance=0.1, max_samples=20_000)
    assert solver.solve(problem, generator(device)).evidence.converged
    return None


@path("transport: cube, weights, warm start, files")
def _cube(device: str) -> Result:
    from pcgen.transport import (
        SemidiscreteProblem,
        SemidiscreteSolution,
        SemidualSolver,
        UniformCube,
    )

    atoms = latents(device, 64, 3)
    weights = torch.linspace(1, 2, 64, dtype=torch.float64).to(device)
    problem = SemidiscreteProblem(UniformCube(3), atoms, weights / weights.sum())
    solver = SemidualSolver(tolerance=0.2, max_samples=8_000)
    first = solver.solve(problem, generator(device))
    solver.solve(problem, generator(device), start=first)
    first.save(WORK / "map.npz")
    SemidiscreteSolution.load(WORK / "map.npz")
    return None


@path("transport: line and Newton's method")
def _exact(device: str) -> Result:
    from pcgen.transport import AutoSolver, GaussianSource, SemidiscreteProblem, UniformCube

    for source, dim in ((GaussianSource(1), 1), (UniformCube(2), 2)):
        problem = SemidiscreteProblem(source, latents(device, 32, dim))
        AutoSolver().solve(problem, generator(device))
    return None


def _extended(mode: str) -> Path_:
    def run(device: str) -> Result:
        from pcgen.transport import (
            GaussianSource,
            SemidiscreteMap,
            SemidiscreteProblem,
            SemidualSolver,
        )

        atoms = latents(device)
        problem = SemidiscreteProblem(GaussianSource(atoms.shape[1]), atoms)
        solver = SemidualSolver(tolerance=0.2, max_samples=8_000)
        found = solver.solve(problem, generator(device))
        SemidiscreteMap(found, mode).sample(50, generator(device))  # type: ignore[arg-type]
        rejecting = SemidiscreteMap(found, mode, singular="reject", largest_jump=50.0)  # type: ignore[arg-type]
        rejecting.sample(20, generator(device))
        return None

    return run


for _mode in ("extended", "hard", "soft"):
    path(f"transport: the map, {_mode}")(_extended(_mode))


@path("transport: the command")
def _transport(device: str) -> Result:
    from pcgen.cli import main

    np.save(WORK / "atoms.npy", latents("cpu").numpy())
    words = ["--tolerance", "0.2", "--device", device, "--quiet"]
    out = str(WORK / "solved.npz")
    assert main(["transport", str(WORK / "atoms.npy"), "--out", out, *words]) == 0
    return None


QUICK: dict[str, dict[str, Any]] = {
    "network": {"steps": 6, "check_every": 3},
    "gmm": {"components": [1, 2]},
    "conjugate-moment": {"hidden": [8], "steps": 2, "dual_steps": 4, "chains": 16},
    "auto": {"families": ["standard", "gaussian", "gmm"]},
}


def _fit(family: str, draws: str) -> Path_:
    def run(device: str) -> Result:
        z = latents(device)
        draw = generator(device if draws == "device" else "cpu")
        omega = base.fit(family, z, generator=draw, settings=QUICK.get(family))
        drawn = omega.sample(20, draw)
        assert drawn.device.type == draw.device.type, f"draws are on {drawn.device}"
        if hasattr(omega, "log_density"):
            omega.log_density(drawn.to(z.device))
        checkpoint.save(WORK / "base.safetensors", *omega.to_checkpoint())
        loaded = base.from_checkpoint(*checkpoint.load(WORK / "base.safetensors"))
        loaded.sample(4, torch.Generator().manual_seed(0))
        # The transport takes other samples on a device than on the CPU.
        same = draws == "CPU" and family != "ae-ot"
        return on_host({"drawn": drawn}) if same else None

    return run


for _name in base.FAMILIES:
    for _draws in ("device", "CPU"):
        path(f"base {_name}: draws of the {_draws}", 0.1)(_fit(_name, _draws))


@path("base: energy and guard")
def _energy(device: str) -> Result:
    z = latents(device)
    draw = torch.Generator().manual_seed(0)
    omega = base.fit("gaussian", z, generator=draw)
    energy = base.energy(omega, z, generator=draw, relaxation=0.1)
    report = base.check_collapse(omega, z, generator=draw)
    return {"energy": [energy.total.value], "guard": [report.novelty, report.spread]}


# Kernels ------------------------------------------------------------------------------------------


def clouds_of(device: str, dim: int = 3, n: int = 64, m: int = 80) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(2, count, dim, generator=draw).to(device) for count in (n, m)]


def _kernel(backend: str) -> Path_:
    def run(device: str) -> Result:
        x, y = clouds_of(device)
        squared, index = kernels.nearest(x, y, k=3, backend=backend)
        assert index.device == x.device
        a = x.clone().requires_grad_(True)
        kernels.chamfer(a, y, backend=backend).sum().backward()
        assert a.grad is not None
        return on_host({"squared": squared, "index": index, "gradient": a.grad})

    return run


for _backend in ("auto", "dense", "keops", "kdtree"):
    path(f"kernels: neighbours by {_backend}")(_kernel(_backend))


def _scores(backend: str) -> Path_:
    def run(device: str) -> Result:
        x, atoms = latents(device, 40, 5), latents(device, 70, 5)
        offset = torch.zeros(70, dtype=torch.float64, device=device)
        best, cell = kernels.best_cells(x, atoms, offset, k=2, backend=backend)
        level, mass = kernels.soft_cells(x, atoms, offset, 0.3, backend=backend)
        return on_host({"best": best, "cell": cell, "level": level, "mass": mass})

    return run


for _backend in ("auto", "dense", "keops"):
    path(f"kernels: scores by {_backend}")(_scores(_backend))


@path("kernels: redrawn cells and mixtures")
def _others(device: str) -> Result:
    x, atoms = latents(device, 20, 5), latents(device, 30, 5)
    draw = torch.Generator().manual_seed(2)
    slopes, moves = torch.randn(2, 2, 30, generator=draw), torch.randn(20, 2, 4, 2, generator=draw)
    found = {}
    for epsilon in (0.0, 0.3):
        found[f"mass {epsilon}"] = kernels.redrawn_cells(
            x, atoms, torch.zeros(30, dtype=torch.float64, device=device), epsilon,
            slopes=slopes.to(device), moves=moves.to(device),
            importance=torch.ones(30, device=device),
        )[0]  # fmt: skip
    features = 3 * torch.randn(2, 9, 4, generator=draw)
    table = 3 * torch.randn(2, 4, 7, generator=draw)
    value, gradient = kernels.mean_log_sum_exp(features.to(device), table.to(device))
    return on_host({**found, "value": value, "gradient": gradient})


@path("latent: mixtures in 2D and 3D")
def _mixture(device: str) -> Result:
    from pcgen.latent.autoencoder import Autoencoder, AutoencoderSettings

    found = {}
    for dim in (2, 3):
        sizes = AutoencoderSettings(levels=3, code=4, patch_width=16, parts=8, points=32)
        draw = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        model = Autoencoder(sizes, torch.randn(8, dim, generator=draw)).to(device)
        points = torch.randn(2, 64, dim, generator=draw).to(device)
        model.loss(points, draw).backward()
        mixture, drawn = model.draw_base(model.encode(points).detach(), 30, draw)
        mixture.normals()
        found[f"drawn in {dim}D"] = drawn.points
    return on_host(found)
