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
    folder = Path(__file__).resolve().parents[1] / "starter"
    missing = [name for name in CATEGORIES if not (folder / f"{name}.zip").is_file()]
    if missing:
        raise DataError(
            f"the starter data is not in {folder} ({', '.join(missing)}.zip missing); install "
            "pcgen again, or name a folder of your own meshes"
        )
    return folder
