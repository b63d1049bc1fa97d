import json

import pytest
import trimesh

from pcgen.bench.mesh import add_arguments, describe, run
from pcgen.errors import InputError


def arguments(*words):
    import argparse

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def test_the_table_has_a_row_for_each_method_and_peer(tmp_path):
    trimesh.creation.box((3, 2, 1)).export(tmp_path / "crate.ply")
    result = run(arguments(tmp_path, "--points", "600", "--methods", "facets"))
    rows = {(row["method"], row["normals"]): row for row in result["rows"]}
    assert {name for name, _ in rows} == {
        "original",
        "facets",
        "Open3D Poisson, depth 8",
        "Open3D alpha 0.1",
        "Open3D alpha 0.05",
    }
    ours = rows["facets", "none"]
    assert ours["manifold"] == 1
    assert ours["uncrossed"] == 1
    assert ours["f_score"] > 0.95 * rows["original", "none"]["f_score"]
    assert ours["f_score"] > rows["Open3D alpha 0.1", "none"]["f_score"]
    json.dumps(result)
    assert len(describe(result).splitlines()) == 2 + len(result["rows"])


def test_a_folder_without_meshes_and_an_unknown_method_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no mesh"):
        run(arguments(tmp_path))
    with pytest.raises(InputError, match="method must be one of"):
        run(arguments(tmp_path, "--methods", "magic"))
