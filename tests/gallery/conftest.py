"""Small samples with everything a gallery can show beside them."""

import numpy as np
import pytest

from pcgen.evaluate.neighbours import Neighbour, Relation
from pcgen.gallery import MeshFiles
from pcgen.shapes.mesh_files import Mesh, mesh_bytes
from pcgen.shapes.samples import Samples


def ellipsoids(count, points=400, seed=0):
    """Points (count, points, 3) of deformed spheres, and the normals of the spheres."""
    ball = np.random.default_rng(seed).normal(size=(count, points, 3))
    ball /= np.linalg.norm(ball, axis=2, keepdims=True)
    axes = 0.3 + 0.7 * np.random.default_rng(1).random((count, 1, 3))
    return (ball * axes).astype(np.float32), ball.astype(np.float32)


@pytest.fixture(scope="session")
def samples():
    points, normals = ellipsoids(5)
    category = np.array(["egg", "egg", "disc", "disc", "egg"])
    return Samples(points=points, normals=normals, category=category, meta={"seed": 7, "steps": 1})


@pytest.fixture(scope="session")
def nearest():
    points, _ = ellipsoids(5, seed=3)
    relation = Relation(mirrored=True, stretch=(1.0, 0.5, 1.0))
    return [
        Neighbour(k, f"train <{k}>", "egg", 0.01 + 0.001 * k, points[k], relation) for k in range(5)
    ]


@pytest.fixture(scope="session")
def meshes(tmp_path_factory):
    """The boxes of the samples as meshes, without the third."""
    import trimesh

    folder = tmp_path_factory.mktemp("meshes")
    found = []
    for k in range(5):
        if k == 2:
            found.append(None)
            continue
        box = trimesh.creation.box((1, 1 + 0.2 * k, 0.5))
        mesh = Mesh(np.asarray(box.vertices), np.asarray(box.faces))
        files = tuple(folder / f"egg-{k:03d}.{ending}" for ending in ("glb", "ply", "stl"))
        for path in files:
            path.write_bytes(mesh_bytes(mesh, path.suffix))
        report = {"watertight": True, "faces": 12, "f_score": 0.8125}
        found.append(MeshFiles(name=f"egg-{k:03d}", files=files, report=report))
    return found


@pytest.fixture(scope="session")
def path_frames():
    points, _ = ellipsoids(1)
    stretch = np.linspace(1, 0.4, 5)[:, None, None]
    return Samples(points=points * np.concatenate([stretch, 1 / stretch, stretch], 2))
