"""Text clouds of many programs: 40 points on a sphere, each with its normal."""

import numpy as np
import pytest

from pcgen.errors import MeshError
from pcgen.shapes.formats.text import looks_like_points
from pcgen.shapes.reading import open_bytes

NORMALS = np.random.default_rng(0).normal(size=(40, 3))
NORMALS = (NORMALS / np.linalg.norm(NORMALS, axis=1, keepdims=True)).round(4)
POINTS = (NORMALS * [1, 2, 3]).round(4)
IGNORED = "and is ignored; columns 1 to 3 are x, y, z"


def rows(table=POINTS, separator=" ", end="", form="{:.4f}"):
    return "\n".join(separator.join(map(form.format, row)) + end for row in table) + "\n"


def decimal_commas(text):
    return text.replace(".", ",")


def opened(text, suffix=".xyz"):
    return open_bytes(text if isinstance(text, bytes) else text.encode(), suffix)


QUOTED = decimal_commas(rows(separator=",", form='"{:.4f}"'))
COMMENTED = rows().splitlines()
COMMENTED[5:5] = ["// half a sphere", "% of 40", "# points"]


@pytest.mark.parametrize(
    "text",
    [
        QUOTED,
        "x,y,z\n" + QUOTED,
        decimal_commas(rows(separator=";", form='"{:.4f}"')),
        rows(separator=",", form='"{:.4f}"'),
        "// made by a scanner\n// on 1 1 2020\n" + rows(),
        "% made by a scanner\n" + rows(),
        "! made by a scanner\n# twice\n" + rows(),
        rows(end="  # a point"),
        "\n".join(COMMENTED),
        rows(end=" ground"),
        "x y z class\n" + rows(end=" ground"),
        "class x y z\n" + "".join(f"ground {row}\n" for row in rows().splitlines()),
        f"40\n{rows()}",
        f"15\n{rows(POINTS[:15])}25\n{rows(POINTS[15:])}",
    ],
)
def test_quotes_comments_labels_and_counts_are_no_coordinates(text):
    found = opened(text)
    assert np.allclose(found.shape.points, POINTS)
    assert found.shape.normals is None
    assert found.notes == ()


@pytest.mark.parametrize("marks", [",.", ".,"])
def test_separators_of_thousands_are_read_in_quotes_and_else_refused(marks):
    far = POINTS * 2000
    swap = str.maketrans(",.", marks)
    words = [[f"{x:,.3f}".translate(swap) for x in row] for row in far]
    quoted = "".join(",".join(f'"{word}"' for word in row) + "\n" for row in words)
    assert np.allclose(opened(quoted, ".csv").shape.points, far, atol=1e-3)
    with pytest.raises(MeshError, match="separators of thousands"):
        opened("".join(";".join(row) + "\n" for row in words), ".csv")


def test_a_grid_of_heights_is_no_cloud():
    grid = "NCOLS 3\nNROWS 20\nXLLCORNER 0\nYLLCORNER 0\nCELLSIZE 10\n" + rows(POINTS[:20])
    with pytest.raises(MeshError, match="grid of heights"):
        opened(grid, ".asc")


def test_a_table_of_quoted_decimal_commas_looks_like_points():
    assert looks_like_points(QUOTED.encode())
    assert not looks_like_points(b'"a","b","c"\n' * 20)


def test_lines_before_the_points_are_ignored_with_a_note():
    assert opened("my scan\n" + rows()).notes == (f"the first line has no numbers {IGNORED}",)
    found = opened("my scan\nof Monday\n" + rows())
    assert found.notes == (f"the first 2 lines have no numbers {IGNORED.replace('is', 'are', 1)}",)
    assert np.allclose(found.shape.points, POINTS)
    with pytest.raises(MeshError, match="not numbers 'x y z'"):
        opened("scan 12 of 2024\n" + rows())


def test_a_count_that_does_not_fit_is_told():
    assert opened(f"41\n{rows()}", ".pts").notes == ("the file states 41 points and has 40",)


def test_microsoft_not_a_number_is_a_point_that_was_not_seen():
    found = opened(rows() + "0 0 1.#QNAN\n-1.#IND00 0 0\n1.#INF 1 1\n")
    assert np.allclose(found.shape.points, POINTS)
    assert found.notes == ("left out 3 of 43 points that are NaN or infinite",)
    with pytest.raises(MeshError, match="1 vertices are NaN or infinite"):
        opened("v 0 0 1.#QNAN\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", ".obj")


def test_columns_of_xyzn_are_normals_and_those_of_xyzrgb_are_not():
    six = rows(np.hstack([POINTS, NORMALS]))
    assert np.allclose(opened(six, ".xyzn").shape.normals, NORMALS, atol=1e-3)
    assert np.allclose(opened(six, ".XYZRGB".lower()).shape.points, POINTS)
    assert opened(six, ".xyzrgb").shape.normals is None
