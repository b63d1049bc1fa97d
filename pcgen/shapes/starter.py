"""Find the starter data: archives of the package, in ShapeNetCore's layout."""

from __future__ import annotations

from pathlib import Path

from pcgen.errors import DataError

CATEGORIES = ("lamp", "seat", "storage", "table")


def starter_path() -> Path:
    """The folder of the starter archives.

    Raises:
        DataError: they are missing.
    """
    # A wheel has the archives in `starter`. In a checkout that is a link to `data`, which a system
    # without links stores as a text file.
    here = Path(__file__).resolve()
    folder = here.parents[1] / "starter"
    if not folder.is_dir():
        folder = here.parents[2] / "data"
    missing = [name for name in CATEGORIES if not (folder / f"{name}.zip").is_file()]
    if missing:
        raise DataError(
            f"the starter data is not in {folder} ({', '.join(missing)}.zip missing); install "
            "pcgen again, or name a folder of your own meshes"
        )
    return folder
