"""What the gallery writes, without a browser."""

import base64
import html.parser
import json
import re

import numpy as np
import pytest

from pcgen import gallery
from pcgen.cli import main
from pcgen.errors import InputError, StorageError
from pcgen.gallery import Parent, page, web_geometry
from pcgen.shapes.samples import Samples
from pcgen.shapes.store import Dataset
from pcgen.shapes.threemf import write_3mf
from tests.boxes import boxes
from tests.datasets import write_dataset
from tests.shapes.small_shapes import box_mesh, obj_bytes

KNOWN = Parent("seat/<a>", np.random.default_rng(2).normal(size=(200, 3)).astype(np.float32))
PARENTS = [[KNOWN], [KNOWN, Parent("seat/gone")], [], [], []]


@pytest.fixture(scope="module")
def built(tmp_path_factory, samples, nearest, meshes, path_frames):
    out = tmp_path_factory.mktemp("page") / "gallery"
    gallery.build(
        samples, out, nearest=nearest, parents=PARENTS, meshes=meshes, interpolation=path_frames,
        curves={"flow </script>": [(k, 2.0 / (k + 1)) for k in range(50)]},
        explained=np.full((20, 60, 3), 90, np.uint8), title="Eggs & <discs>", notes=["A <note>."],
    )  # fmt: skip
    return out


class Reader(html.parser.HTMLParser):
    """Collects tags, attributes and the text of scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.open_script = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open_script = dict(attrs) if tag == "script" else None

    def handle_data(self, data):
        if self.open_script is not None:
            self.scripts.append((self.open_script, data))
            self.open_script = None

    def ids(self):
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]


def page_data(folder):
    reader = Reader((folder / "index.html").read_text())
    text = next(text for attributes, text in reader.scripts if attributes.get("id") == "data")
    return json.loads(text), reader


def test_the_page_needs_nothing_from_outside_its_folder(built):
    text = (built / "index.html").read_text()
    links = re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)""", text)
    assert [link for link in links if not link.startswith("data:")] == []
    assert not re.search(r"\bfetch\(|XMLHttpRequest|import\(|https?://(?!www\.w3\.org)", text)


def test_three_js_comes_along_with_its_licence(built):
    text = (built / "index.html").read_text()
    assert "var THREE=" in text
    assert "SPDX-License-Identifier: MIT" in text


def test_every_sample_is_on_the_page_in_its_order(built, samples, nearest):
    data, reader = page_data(built)
    assert [item["category"] for item in data["items"]] == list(samples.category)
    assert [item["nearest"]["id"] for item in data["items"]] == [n.id for n in nearest]
    assert {item["nearest"]["note"] for item in data["items"]} == {
        "mirrored, stretched 1 : 0.5 : 1"
    }
    assert [item["nearest"]["distance"] for item in data["items"]] == [n.distance for n in nearest]
    ids = reader.ids()
    assert len(ids) == len(set(ids))
    assert {f"cloud-{k}" for k in range(5)} | {f"near-{k}" for k in range(5)} <= set(ids)


def test_parents_are_on_the_page_each_cloud_once(built):
    data, reader = page_data(built)
    one, two = (data["items"][k]["parents"] for k in (0, 1))
    assert [parent["id"] for parent in two] == ["seat/<a>", "seat/gone"]
    assert one[0]["blob"] == two[0]["blob"] == "parent-0"
    assert "cloud" not in two[1]
    assert data["items"][2]["parents"] == []
    assert [name for name in reader.ids() if re.fullmatch(r"parent-\d+", name)] == ["parent-0"]


@pytest.fixture
def training(tmp_path):
    """A data set of four boxes, and two samples whose first parent is one of them."""
    clouds, normals = boxes(4, 300, 0)
    write_dataset(tmp_path / "data", clouds, categories=["box"] * 4, normals=normals)
    known = Dataset.open(tmp_path / "data").ids[1]
    return Samples(points=clouds[:2], meta={"parents": [[known, "gone"], [known]]}), known


def test_parents_of_a_samples_file_are_found_in_the_training_data(training, tmp_path):
    samples, known = training
    samples.save(tmp_path / "s.npz")
    found = gallery.gallery(
        tmp_path / "s.npz", tmp_path / "g", count=1, reference=tmp_path / "data"
    )
    assert found["parents"] == 1
    data, _ = page_data(tmp_path / "g")
    (parents,) = (item["parents"] for item in data["items"])
    assert [("cloud" in one, one["id"]) for one in parents] == [(True, known), (False, "gone")]
    assert (
        "Parents that are not in the training data: 1."
        in (tmp_path / "g" / "index.html").read_text()
    )


@pytest.mark.parametrize("named", [[["a"]], [["a"], "b"], [["a"], [7]], "a", {"a": 1}])
def test_parents_that_are_no_ids_of_each_sample_are_left_out_and_said(training, tmp_path, named):
    samples, _ = training
    samples.with_meta(parents=named).save(tmp_path / "s.npz")
    assert gallery.gallery(tmp_path / "s.npz", tmp_path / "g")["parents"] == 0
    data, _ = page_data(tmp_path / "g")
    assert not any("parents" in item for item in data["items"])
    text = (tmp_path / "g" / "index.html").read_text()
    assert "The parents that s.npz names are not shown" in text


def test_titles_notes_and_names_are_escaped(built):
    text = (built / "index.html").read_text()
    assert "<title>Eggs &amp; &lt;discs&gt;</title>" in text
    assert "<p>A &lt;note&gt;.</p>" in text
    assert "flow &lt;/script&gt;" in text
    assert "train <0>" not in text


def test_mesh_files_are_copied_and_linked_with_their_report(built, meshes):
    data, _ = page_data(built)
    for number, mesh in enumerate(meshes):
        item = data["items"][number]
        if mesh is None:
            assert "files" not in item
            assert "mesh" not in item
            continue
        assert [file["label"] for file in item["files"]] == ["GLB", "PLY", "STL"]
        for file, path in zip(item["files"], mesh.files, strict=True):
            assert (built / file["href"]).read_bytes() == path.read_bytes()
        assert ["watertight", "yes"] in item["report"]
        assert ["F-score at 1 %", "0.812"] in item["report"]
        assert (built / item["mesh"]["src"]).read_text().startswith(f"Page.receiveMesh({number},")


def test_a_report_says_why_a_mesh_is_not_watertight():
    assert page.report_rows({"watertight": False, "notes": ["not watertight: so", "few"]}) == [
        ["watertight", "no"], ["notes", "not watertight: so; few"],
    ]  # fmt: skip
    assert page.report_rows({"watertight": True, "notes": []}) == [["watertight", "yes"]]


def test_thumbnails_are_transparent_pictures(built):
    import io

    from PIL import Image

    data, _ = page_data(built)
    uri = data["items"][0]["thumbnail"]
    picture = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    assert picture.mode == "RGBA"
    alpha = np.asarray(picture)[:, :, 3]
    assert alpha.min() == 0
    assert alpha.max() == 255


def unpack(packed):
    """The computation of scene.js in numpy."""
    header, raw = packed.header, base64.b64decode(packed.data)
    n = header["count"]
    coded = np.frombuffer(raw, "<u2", 3 * n).reshape(n, 3)
    positions = np.array(header["low"]) + coded / 65535 * header["extent"]
    xy = np.frombuffer(raw, "i1", 2 * n, 6 * n).reshape(n, 2) / 127
    z = 1 - np.abs(xy).sum(1)
    sign = np.where(xy >= 0, 1, -1)
    xy = np.where(z[:, None] < 0, (1 - np.abs(xy[:, ::-1])) * sign, xy)
    normals = np.concatenate([xy, z[:, None]], 1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return positions, normals, np.frombuffer(raw, "u1", n, 8 * n), raw[9 * n :]


def test_a_packed_cloud_comes_back_within_its_precision(samples):
    packed = web_geometry.cloud(samples.points[0], samples.normals[0], "generated", thumbnail=0)
    positions, normals, light, ground = unpack(packed)
    assert np.abs(positions - samples.points[0]).max() < 1e-4
    assert (normals * samples.normals[0]).sum(1).min() > np.cos(np.radians(1.5))
    assert light.max() > 200
    assert len(ground) == packed.header["cells"] ** 2
    assert packed.thumbnail == ""


def test_a_packed_mesh_keeps_its_surface_and_its_sharp_edges():
    import trimesh

    box = trimesh.creation.box((2, 1, 1))
    packed = web_geometry.mesh(np.asarray(box.vertices), np.asarray(box.faces))
    positions, normals, _, rest = unpack(packed)
    faces = np.frombuffer(rest, "<u4").reshape(-1, 3)
    back = trimesh.Trimesh(positions, faces, process=False)
    assert len(positions) == 24  # every corner once for each of its three sides
    assert back.area == pytest.approx(box.area, rel=1e-3)
    assert np.allclose(np.abs(normals).max(1), 1, atol=1e-2)


def test_a_large_mesh_and_a_large_cloud_are_thinned_for_display():
    import trimesh

    ball = trimesh.creation.icosphere(6)
    mesh = web_geometry.mesh(np.asarray(ball.vertices), np.asarray(ball.faces))
    assert 2000 < mesh.header["faces"] <= web_geometry.DISPLAY_FACES
    points = np.random.default_rng(0).normal(size=(9000, 3))
    cloud = web_geometry.cloud(points, None, "generated", thumbnail=0)
    assert cloud.header["count"] == web_geometry.DISPLAY_POINTS


def test_an_earlier_gallery_is_replaced_as_a_whole(tmp_path, samples):
    few = Samples(points=samples.points[:1])
    gallery.build(few, tmp_path / "g")
    (tmp_path / "g" / "stale.txt").write_text("old")
    gallery.build(few, tmp_path / "g", title="Again")
    assert sorted(path.name for path in (tmp_path / "g").iterdir()) == ["index.html"]
    assert "Again" in (tmp_path / "g" / "index.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["g"]


def test_a_folder_that_is_no_gallery_is_left_alone(tmp_path, samples):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StorageError, match="not a gallery"):
        gallery.build(Samples(points=samples.points[:1]), tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_folder_below_a_file_is_refused_in_one_clear_line(tmp_path, samples):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="file is a file, not a folder"):
        gallery.build(Samples(points=samples.points[:1]), tmp_path / "file" / "deep" / "gallery")


def test_frames_whose_points_keep_their_identity_are_blended(built, tmp_path, samples):
    data, _ = page_data(built)
    assert data["path"]["matched"] is True
    assert len(data["path"]["frames"]) == 5
    draw = np.random.default_rng(0)
    frames = np.stack([draw.permutation(samples.points[0]) for _ in range(3)])
    gallery.build(Samples(points=samples.points[:1]), tmp_path / "g",
                  interpolation=Samples(points=frames))  # fmt: skip
    assert page_data(tmp_path / "g")[0]["path"]["matched"] is False


def test_learning_curves_survive_a_killed_run(tmp_path):
    stage = tmp_path / "point-flow" / "student"
    stage.mkdir(parents=True)
    lines = [
        '{"step": 1, "loss": 2.0}',
        '{"step": 2, "loss": NaN}',
        '{"step": 3, "loss": 1.0}',
        '{"ste',
    ]
    (stage / "metrics.jsonl").write_text("\n".join(lines))
    assert gallery.read_curves(tmp_path) == {"point-flow/student": [(1.0, 2.0), (3.0, 1.0)]}


def test_a_folder_of_meshes_pairs_formats_and_sorts_by_number(tmp_path, meshes):
    for name in ("part-10.ply", "part-9.ply", "part-9.stl", "notes.txt", ".part-x.ply"):
        (tmp_path / name).write_bytes(meshes[0].files[1].read_bytes())
    found = gallery.find_meshes(tmp_path)
    assert [mesh.name for mesh in found] == ["part-9", "part-10"]
    assert [path.suffix for path in found[0].files] == [".ply", ".stl"]


def test_the_manifest_of_meshes_gives_order_reports_and_failures(tmp_path, meshes):
    (tmp_path / "b.ply").write_bytes(meshes[0].files[1].read_bytes())
    entries = [
        {"name": "b", "files": ["../../b.ply"], "report": {"genus": 0}},
        {"name": "a", "error": "no points"},
    ]
    (tmp_path / "meshes.json").write_text(json.dumps({"meshes": entries}))
    first, second = gallery.find_meshes(tmp_path)
    assert first.files == (tmp_path / "b.ply",)
    assert first.report == {"genus": 0}
    assert second is None


def test_folders_without_meshes_say_so(tmp_path):
    with pytest.raises(InputError, match="holds no mesh"):
        gallery.find_meshes(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        gallery.find_meshes(tmp_path / "none")
    (tmp_path / "meshes.json").write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        gallery.find_meshes(tmp_path)


def test_the_command_makes_a_page_of_a_samples_file(tmp_path, samples, capsys):
    samples.save(tmp_path / "eggs.npz")
    words = ["gallery", str(tmp_path / "eggs.npz"), "--out", str(tmp_path / "g"), "--count", "2"]
    assert main([*words, "--json", "--quiet"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["shapes"] == 2
    assert len(page_data(tmp_path / "g")[0]["items"]) == 2


def test_the_command_makes_a_page_of_a_folder_of_meshes(tmp_path, meshes, capsys):
    folder = meshes[0].files[0].parent
    assert main(["gallery", str(folder), "--out", str(tmp_path / "g"), "--quiet"]) == 0
    items = page_data(tmp_path / "g")[0]["items"]
    assert [item["name"] for item in items] == ["egg-000", "egg-001", "egg-003", "egg-004"]
    assert all("mesh" in item for item in items)


def test_a_folder_of_meshes_and_scans_in_any_spelling_makes_a_page(tmp_path):
    source = tmp_path / "mixed"
    source.mkdir()
    (source / "A.OBJ").write_bytes(obj_bytes(box_mesh()))
    (source / "b.3mf").write_bytes(write_3mf(box_mesh()))
    np.savetxt(source / "c.xyz", np.random.default_rng(0).normal(size=(99, 3)))
    assert main(["gallery", str(source), "--out", str(tmp_path / "g"), "--quiet"]) == 0
    items = page_data(tmp_path / "g")[0]["items"]
    assert {item["name"]: "mesh" in item for item in items} == {"A": True, "b": True, "c": False}


def test_the_command_names_what_it_cannot_look_at(tmp_path, capsys):
    (tmp_path / "a.docx").write_text("x")
    for name, message in (
        ("none.npz", "does not exist"),
        ("a.docx", "files end in"),
        ("", "nothing"),
    ):
        assert main(["gallery", str(tmp_path / name), "--out", str(tmp_path / "g"), "--quiet"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
