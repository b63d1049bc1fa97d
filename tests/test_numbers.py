"""Numerics: drift of long float32 sums, guards that name a tensor, reproducible bits."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from pcgen import checkpoint, kernels, pipeline
from pcgen.distances.tables import pair_matrix
from pcgen.errors import DataError, InputError, TrainingError
from pcgen.evaluate.set_metrics import jensen_shannon
from pcgen.latent.mixture import MixtureBatch
from pcgen.model.trajectories import flow_trajectory
from pcgen.train.loop import LoopSettings, Trainer
from pcgen.transport import GaussianSource, SemidiscreteProblem, SemidualSolver
from tests.shapes.small_shapes import box_mesh, obj_bytes

MANY = 60_000


@pytest.fixture
def long_clouds():
    draw = np.random.default_rng(0)
    return draw.uniform(-1, 1, (2, MANY, 3)).astype(np.float32)


def chamfer_in_float64(x, y) -> float:
    there, back = cKDTree(y.astype(float)).query(x)[0], cKDTree(x.astype(float)).query(y)[0]
    return float((there**2).mean() + (back**2).mean())


def test_chamfer_of_long_clouds_does_not_drift(long_clouds):
    x, y = long_clouds
    expected = chamfer_in_float64(x, y)
    value = kernels.chamfer(*(torch.from_numpy(cloud)[None] for cloud in (x, y)), backend="kdtree")
    assert float(value) == pytest.approx(expected, rel=1e-5)
    assert pair_matrix(x[None], y[None])[0, 0] == pytest.approx(expected, rel=1e-5)


def test_masses_of_cells_are_summed_without_drift(generator):
    """A float32 sum of this many shares loses the smallest cells; the oracle is float64."""
    x = torch.randn(MANY, 2, generator=generator)
    atoms, offset = torch.randn(30, 2, generator=generator), torch.zeros(30)
    offset[0] = -6.0  # a cell of very little mass
    _, mass = kernels.soft_cells(x, atoms, offset, 0.3, backend="dense")
    expected = ((x.double() @ atoms.double().T + offset.double()) / 0.3).softmax(1).sum(0)
    assert float(mass.sum()) == pytest.approx(MANY, rel=2e-5)  # of each share, not of their sum
    assert torch.allclose(mass.double(), expected, rtol=1e-4)


def test_the_divergence_of_occupancies_counts_whole_numbers(long_clouds):
    """Histograms of integers: equal in both precisions, and zero for the same points."""
    x, y = (cloud[None] for cloud in long_clouds)
    single = jensen_shannon(x, y, scale=0.5)
    double = jensen_shannon(x.astype(np.float64), y.astype(np.float64), scale=0.5)
    assert single == pytest.approx(double, abs=1e-9)
    assert jensen_shannon(x, x[:, ::-1], scale=0.5) == pytest.approx(0, abs=1e-12)


def test_the_likelihood_of_a_mixture_does_not_drift(generator):
    centre = torch.randn(1, 8, 3, generator=generator)
    factor = 0.2 * torch.randn(1, 8, 3, 3, generator=generator)
    weight = torch.randn(1, 8, generator=generator).log_softmax(1)
    mixture = MixtureBatch(centre, factor, weight, 0.05)
    points = torch.rand(1, MANY, 3, generator=generator) * 2 - 1
    parts = MultivariateNormal(centre[0].double(), mixture.covariance()[0].double())
    exact = MixtureSameFamily(Categorical(logits=weight[0].double()), parts)
    expected = float(exact.log_prob(points[0].double()).mean())
    assert float(mixture.log_likelihood(points)) == pytest.approx(expected, rel=1e-4)


def test_soft_maxima_of_many_atoms_do_not_drift(generator):
    """A log-sum-exp over 60,000 atoms in float32; the oracle is float64."""
    x, atoms = torch.randn(20, 3, generator=generator), torch.randn(MANY, 3, generator=generator)
    value, _ = kernels.soft_cells(x, atoms, torch.zeros(MANY), 0.2, backend="dense")
    expected = 0.2 * ((x.double() @ atoms.double().T) / 0.2).logsumexp(1)
    assert torch.allclose(value.double(), expected, rtol=1e-5)


def test_the_moving_average_of_weights_does_not_drift(tmp_path, generator):
    """20,000 float32 steps of the exponential average, compared with float64."""
    module = torch.nn.Linear(8, 8)
    settings = LoopSettings(steps=20_000, batch=1)
    trainer = Trainer(tmp_path, module, lambda *_: torch.zeros(()), settings, seed=0)
    exact = trainer.average.weight.double().clone()
    with torch.no_grad():
        for step in range(20_000):
            trainer.done = step
            module.weight.copy_(1 + 0.05 * torch.randn(8, 8, generator=generator))
            trainer._move_average()
            decay = min(settings.average, (1 + step) / (10 + step))
            exact = decay * exact + (1 - decay) * module.weight.double()
    assert torch.allclose(trainer.average.weight.double(), exact, rtol=2e-5)


def test_the_average_of_potentials_is_that_of_float64(generator):
    """The iterates of all steps, averaged by NumPy."""
    problem = SemidiscreteProblem(GaussianSource(2), torch.randn(50, 2, generator=generator))
    states: list = []
    SemidualSolver(tolerance=0.001).solve(problem, generator, on_step=states.append)
    *_, start = (k for k, state in enumerate(states) if state.age == 1)
    last = states[start:]
    weights = np.diff([0.0, *(state.weight for state in last)])
    expected = np.average([state.potential.numpy() for state in last], axis=0, weights=weights)
    assert last[-1].average.dtype == torch.float64
    assert len(last) > 10
    assert np.allclose(last[-1].average.numpy(), expected, rtol=1e-12, atol=1e-14)


def test_a_number_that_is_not_finite_is_never_written(tmp_path):
    path = tmp_path / "latent-flow" / "state.safetensors"
    checkpoint.save(path, {"a": torch.ones(2)}, {"step": 3})
    before = path.read_bytes()
    bad = {"a": torch.ones(2), "module.weight": torch.tensor([1.0, float("inf")])}
    with pytest.raises(TrainingError, match=r"latent-flow, step 4: tensor module\.weight contains"):
        checkpoint.save(path, bad, {"step": 4})
    assert path.read_bytes() == before


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_atoms_of_any_size_have_the_cells_of_those_of_size_one(scale):
    points = torch.randn(30, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    one, other = (
        SemidualSolver(tolerance=0.2).solve(
            SemidiscreteProblem(GaussianSource(2), points * size), torch.Generator().manual_seed(0)
        )
        for size in (1.0, scale)
    )
    assert torch.allclose(other.potential / scale, one.potential, rtol=1e-3, atol=1e-3)


def test_atoms_whose_squares_overflow_are_refused():
    with pytest.raises(InputError, match="squared distances overflow"):
        SemidiscreteProblem(
            GaussianSource(2), torch.tensor([[1e200, 0.0], [0.0, 1.0]], dtype=torch.float64)
        )


@pytest.mark.parametrize("solver", ["student", "euler"])
def test_a_flow_that_leaves_the_numbers_names_stage_and_step(solver):
    def slope(x, *times):
        return torch.where(times[0][:, None] > 0.4, float("nan"), 1.0) * torch.ones_like(x)

    with pytest.raises(DataError, match="point-flow: x is not finite at step 3 of 4"):
        list(flow_trajectory(slope, torch.zeros(2, 3), 4, solver, "point-flow"))


@pytest.mark.slow
def test_the_whole_way_gives_the_same_bytes_twice(tmp_path):
    """prepare → train → sample → mesh with one seed: data set, weights, samples and meshes."""
    (tmp_path / "source").mkdir()
    for number in range(6):
        path = tmp_path / "source" / f"box{number}.obj"
        path.write_bytes(obj_bytes(box_mesh((1.0 + number, 2.0, 0.5))))
    made = []
    for name in ("first", "second"):
        here = tmp_path / name
        pipeline.prepare(tmp_path / "source", here / "data", points=1200, workers=1)
        pipeline.train(here / "data", here / "run", preset="cpu-tiny", threads=1, seed=3)
        samples = pipeline.sample(here / "run", here / "samples.npz", count=2, points=512, seed=5)
        pipeline.mesh(here / "samples.npz", here / "meshes", formats=("glb",), faces=500)
        kept = [*here.glob("data/*.npy"), here / "data" / "index.csv"]
        kept += [*here.rglob("weights.safetensors"), *here.rglob("base/*.safetensors")]
        kept += [here / "run" / "base" / "map.npz", *here.rglob("*.glb")]
        files = {str(path.relative_to(here)): path.read_bytes() for path in kept}
        made.append(files | {"points": samples.points.tobytes()})
    assert len(made[0]) > 12
    assert made[0] == made[1]
