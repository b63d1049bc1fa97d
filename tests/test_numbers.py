"""Numbers that stay numbers: drift of long float32 sums, guards that name a place, same bits."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from pcgen import kernels, pipeline
from pcgen.errors import DataError
from pcgen.evaluate.matrix import pair_matrix
from pcgen.evaluate.set_metrics import jensen_shannon
from pcgen.latent.mixture import MixtureBatch
from pcgen.model import _follow
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
    """A float32 sum of so many shares loses the smallest cells; the oracle is float64."""
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


@pytest.mark.parametrize("solver", ["student", "euler"])
def test_a_flow_that_leaves_the_numbers_names_stage_and_step(solver):
    def slope(x, *times):
        return torch.where(times[0][:, None] > 0.4, float("nan"), 1.0) * torch.ones_like(x)

    with pytest.raises(DataError, match="point-flow: x is not a finite number at step 3 of 4"):
        list(_follow(slope, torch.zeros(2, 3), 4, solver, "point-flow"))


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
