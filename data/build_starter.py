"""Make the starter data from Debian's package sweethome3d-furniture.

    apt-get download sweethome3d-furniture && dpkg -x sweethome3d-furniture_*.deb furniture
    python data/build_starter.py furniture/usr/share/sweethome3d/furniture

Without an argument the installed package is read (/usr/share/sweethome3d/furniture). models.csv
beside this script says which models are taken, as what, by whom and under which licence.
Written: <category>.zip, split.csv and ATTRIBUTION.md. The archives carry no date and no order of
a file system: the same package and the same zlib give the same bytes, any other zlib the same
content (``--check`` compares content with what is there).
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import zipfile
from pathlib import Path

import numpy as np

from pcgen.files import atomic_file
from pcgen.shapes.mesh_files import Mesh, check_mesh
from pcgen.shapes.reading import read_mesh

HERE = Path(__file__).resolve().parent
INSTALLED = Path("/usr/share/sweethome3d/furniture")
DIGITS = 5  # after the point, of shapes whose bounding box has diagonal 1
LICENCES = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-3.0-US": "https://creativecommons.org/licenses/by/3.0/us/",
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", nargs="?", type=Path, default=INSTALLED)
    parser.add_argument("--out", type=Path, default=HERE, help="where to write")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    args = parser.parse_args()
    if not args.package.is_dir():
        print(f"no folder {args.package}: install sweethome3d-furniture or name its folder")
        return 2
    with (HERE / "models.csv").open(newline="", encoding="utf-8") as handle:
        models = list(csv.DictReader(handle))
    texts = convert(args.package, models)
    wanted = {
        f"{name}.zip": members(models, texts, name)
        for name in sorted({model["category"] for model in models})
    }
    if args.check:
        different = [name for name in wanted if not check(args.out / name, wanted[name])]
        return 1 if different else 0
    for name, content in wanted.items():
        write_zip(args.out / name, content)
    write_text(args.out / "split.csv", split_table(models))
    write_text(args.out / "ATTRIBUTION.md", attribution(models))
    return 0


def convert(package: Path, models: list[dict[str, str]]) -> dict[str, bytes]:
    """The OBJ text of each model, by its name."""
    archives = {name: zipfile.ZipFile(package / name) for name in {m["catalogue"] for m in models}}
    rotations = {name: model_rotations(archive) for name, archive in archives.items()}
    texts = {}
    for model in models:
        mesh = read_mesh(archives[model["catalogue"]].read(model["path"]), suffix=".obj")
        rotation = rotations[model["catalogue"]][model["path"]]
        texts[model["model"]] = obj_text(Mesh(mesh.vertices @ rotation.T, mesh.faces))
    return texts


def model_rotations(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """The rotation, (3, 3), by which the catalogue stands each model upright, facing +Z."""
    entries: dict[str, dict[str, str]] = {}
    text = archive.read("PluginFurnitureCatalog.properties").decode("latin-1")
    for key, number, value in re.findall(r"(?m)^(\w+)#(\d+)\s*=[ \t]*(.*?)\s*$", text):
        entries.setdefault(number, {})[key] = value
    found = {}
    for entry in entries.values():
        words = entry.get("modelRotation", "1 0 0 0 1 0 0 0 1").split()
        found[entry["model"].lstrip("/")] = np.array(words, float).reshape(3, 3)
    return found


def obj_text(mesh: Mesh) -> bytes:
    """The mesh with diagonal 1 about the origin, welded at the last digit, as OBJ.

    Vertices come in the order in which faces use them; faces that the rounding makes a line or a
    point are left out.
    """
    used = mesh.used_vertices()
    low, high = used.min(0), used.max(0)
    size = np.linalg.norm(high - low)
    grid = np.rint((mesh.vertices - (low + high) / 2) / size * 10**DIGITS).astype(np.int64)
    cells, which = np.unique(grid, axis=0, return_inverse=True)
    faces = which.reshape(-1)[mesh.faces]
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    first_use = np.sort(np.unique(faces.ravel(), return_index=True)[1])
    order = faces.ravel()[first_use]
    number = np.zeros(len(cells), np.int64)
    number[order] = np.arange(len(order))
    vertices, faces = cells[order], number[faces]
    check_mesh(Mesh(vertices.astype(float), faces))
    lines = ["v {} {} {}".format(*map(decimal, row)) for row in vertices.tolist()]
    lines += ["f {} {} {}".format(*row) for row in (faces + 1).tolist()]
    return ("\n".join(lines) + "\n").encode()


def decimal(units: int) -> str:
    """123 of 10⁻⁵ as .00123: as short as it can be."""
    text = f"{abs(units) / 10**DIGITS:.{DIGITS}f}".rstrip("0").rstrip(".")
    text = text.removeprefix("0") or "0"
    return f"-{text}" if units < 0 else text


def members(
    models: list[dict[str, str]], texts: dict[str, bytes], category: str
) -> dict[str, bytes]:
    return {
        f"{category}/{model['model']}/models/model_normalized.obj": texts[model["model"]]
        for model in sorted(models, key=lambda model: model["model"])
        if model["category"] == category
    }


def write_zip(path: Path, content: dict[str, bytes]) -> None:
    with atomic_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, data in content.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            info.create_system = 3
            archive.writestr(info, data, zipfile.ZIP_DEFLATED, 9)
    print(f"{path}: {len(content)} models, {path.stat().st_size} bytes")


def check(path: Path, content: dict[str, bytes]) -> bool:
    with zipfile.ZipFile(path) as archive:
        same = archive.namelist() == list(content) and all(
            archive.read(name) == data for name, data in content.items()
        )
    print(f"{path}: {'as built' if same else 'DIFFERENT'}")
    return same


def split_table(models: list[dict[str, str]]) -> str:
    """The columns of ShapeNet's official split file."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["id", "synsetId", "subSynsetId", "modelId", "split"])
    for number, model in enumerate(models):
        category = model["category"]
        writer.writerow([f"{number:06d}", category, category, model["model"], model["split"]])
    return table.getvalue()


def attribution(models: list[dict[str, str]]) -> str:
    links = "\n".join(f"- {name}: <{link}>" for name, link in LICENCES.items())
    rows = "\n".join(
        f"| {m['category']} | {m['model']} | {m['catalogue']}: `{m['path']}` | {m['author']} "
        f"| {m['licence']} |"
        for m in models
    )
    return f"""# Whose models these are

All models come from Debian's package `sweethome3d-furniture` 1.8-1, the additional furniture
libraries of Sweet Home 3D (<http://www.sweethome3d.com/importModels.jsp>, Emmanuel Puybaret /
eTeks): the catalogues Scopia (Scopia Visual Interfaces Systems, s.l., <http://www.scopia.es>),
KatorLegaz (Andrew Kator & Jennifer Legaz) and BlendSwap (its contributors, named below). Each
model stays under the licence in its row:

{links}

**Changes made to every model** (by `build_starter.py`): materials, textures and normals dropped;
polygons cut into triangles; the catalogue's `modelRotation` applied; moved and scaled so that the
bounding box is centred at the origin with a diagonal of 1; coordinates rounded to {DIGITS}
decimals, vertices that coincide merged, faces that this makes degenerate dropped; written as
Wavefront OBJ.

| category | model | original | author | licence |
| --- | --- | --- | --- | --- |
{rows}
"""


def write_text(path: Path, text: str) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(path)


if __name__ == "__main__":
    raise SystemExit(main())
