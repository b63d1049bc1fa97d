"""Find the mesh files of samples in a folder of ``pcgen mesh``, or in any other."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pcgen.errors import InputError
from pcgen.files import parse_json, read_text
from pcgen.render.inputs import natural_order

MANIFEST = "meshes.json"
# Formats by reading time; the page is drawn from the first one that exists.
PREFERRED = (".ply", ".stl", ".off", ".obj", ".glb", ".gltf", ".3mf")


@dataclass(frozen=True, kw_only=True)
class MeshFiles:
    """One mesh in one or more formats.

    Attributes:
        name: its file name without suffix; files: existing paths, one per format.
        report: that of ``pcgen mesh``, or empty; category: or "".
    """

    name: str
    files: tuple[Path, ...]
    report: dict[str, Any] = field(default_factory=dict)
    category: str = ""

    @property
    def drawn_from(self) -> Path:
        return min(self.files, key=lambda path: PREFERRED.index(path.suffix.lower()))


def find_meshes(folder: Path | str) -> list[MeshFiles | None]:
    """The meshes of a folder, one entry per shape; None if meshing that shape failed.

    With a ``meshes.json`` of ``pcgen mesh``, they are in the order of its clouds; otherwise files
    with one name are formats of one mesh, sorted by name with numbers in numeric order.

    Raises:
        InputError: no such folder, or no mesh in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder of meshes; make one with: pcgen mesh")
    listed = (folder / MANIFEST).is_file()
    found: list[MeshFiles | None] = _listed(folder) if listed else [*_loose(folder)]
    if not any(found):
        raise InputError(f"{folder} holds no mesh; files read are {', '.join(PREFERRED)}")
    return found


def _listed(folder: Path) -> list[MeshFiles | None]:
    try:
        entries = parse_json(read_text(folder / MANIFEST))["meshes"]
        found: list[MeshFiles | None] = []
        for entry in entries:
            # Names only: a path in a damaged manifest must not lead out of the folder.
            paths = [folder / Path(name).name for name in entry.get("files", ())]
            files = tuple(path for path in paths if path.suffix.lower() in PREFERRED)
            files = tuple(path for path in files if path.is_file())
            mesh = MeshFiles(
                name=str(entry["name"]),
                files=files,
                report=dict(entry.get("report") or {}),
                category=str(entry.get("category", "")),
            )
            found.append(mesh if files else None)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder / MANIFEST} is damaged ({error!r}); run pcgen mesh again, or remove it"
        ) from None
    return found


def _loose(folder: Path) -> list[MeshFiles]:
    named: dict[str, list[Path]] = {}
    for path in folder.iterdir():
        if path.suffix.lower() in PREFERRED and path.is_file() and path.name[0] != ".":
            named.setdefault(path.stem, []).append(path)
    return [
        MeshFiles(name=name, files=tuple(sorted(named[name])))
        for name in sorted(named, key=natural_order)
    ]
