import json

import numpy as np
import pytest
import trimesh

from pcgen.bench.mesh import _figures, _outer, add_arguments, describe, run
from pcgen.errors import InputError
from pcgen.shapes.mesh_files import Mesh


def arguments(*words):
    import argparse

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def test_the_table_has_a_row_for_each_method_and_peer(tmp_path):
    trimesh.creation.box((3, 2, 1)).export(tmp_path / "crate.ply")
    result = run(arguments(tmp_path, "--points", "2000", "--methods", "implicit"))
    rows = {(row["method"], row["normals"]): row for row in result["rows"]}
    assert {name for name, _ in rows} == {
        "original",
        "implicit",
        "Open3D Poisson, depth 8",
        "Open3D alpha 0.1",
        "Open3D alpha 0.05",
    }
    poisson = [rows["Open3D Poisson, depth 8", normals] for normals in ("none", "true")]
    assert poisson[0]["f_score"] != poisson[1]["f_score"]
    ours = rows["implicit", "none"]
    assert ours["manifold"] == 1
    assert ours["uncrossed"] == 1
    assert ours["f_score"] > 0.95 * rows["original", "none"]["f_score"]
    assert ours["f_score"] > rows["Open3D alpha 0.1", "none"]["f_score"]
    json.dumps(result)
    table = describe(result).splitlines()
    why = {row["method"] for row in result["rows"] if row["why"]}
    assert why
    assert why == {row["method"] for row in result["rows"] if row["watertight"] < 1}
    assert len(table) == 2 + len(result["rows"]) + len(why)
    assert any("edges belong to only one face" in line for line in table)
    assert ours["normal_agreement"] > 0.95
    assert ours["distance_99"] < 0.05  # two samples of one surface
    assert (ours["pieces"], ours["genus"]) == (1, 0)


def test_inner_walls_do_not_count_and_inward_normals_do():
    crate = trimesh.creation.box((0.6, 0.6, 0.6))
    inner = trimesh.creation.box((0.3, 0.3, 0.3))
    both = trimesh.util.concatenate([crate, inner])
    original, seen, turned = (
        Mesh(np.asarray(m.vertices, np.float64), np.asarray(m.faces, np.int64))
        for m in (both, crate, trimesh.Trimesh(crate.vertices, crate.faces[:, ::-1]))
    )
    truth = _outer(original, 5000, np.random.default_rng(0))
    found = _figures(seen, truth, np.random.default_rng(1))
    assert found.f_score > 0.8
    assert found.distance_99 < 0.1  # two samples of one surface
    assert found.normal_agreement > 0.95
    assert _figures(turned, truth, np.random.default_rng(1)).normal_agreement < -0.95


def test_new_shapes_have_no_original_and_the_sheet_shows_them(tmp_path):
    trimesh.creation.box((3, 2, 1)).export(tmp_path / "crate.ply")
    words = [
        "--points",
        2048,
        "--methods",
        "implicit",
        "--no-peers",
        "--run",
        "seats",
        "--only-run",
    ]
    sheet = tmp_path / "sheet.png"
    result = run(arguments(tmp_path, *words, "--new", 1, "--sheet", sheet))
    rows = {(row["method"], row["cloud"], row["normals"]): row for row in result["rows"]}
    assert {key[1:] for key in rows} == {
        ("surface", "none"),
        ("run", "none"),
        ("run", "predicted"),
        ("new", "none"),
        ("new", "predicted"),
    }
    new = rows["implicit", "new", "predicted"]
    assert new["f_score"] is None
    assert new["watertight"] == 1
    assert sheet.read_bytes().startswith(b"\x89PNG")
    json.dumps(result)
    describe(result)


def test_a_folder_without_meshes_and_an_unknown_method_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no mesh"):
        run(arguments(tmp_path))
    with pytest.raises(InputError, match="method must be one of"):
        run(arguments(tmp_path, "--methods", "magic"))
    with pytest.raises(InputError, match="need a run"):
        run(arguments(tmp_path, "--new", "3"))
