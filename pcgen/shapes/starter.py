"""Find the starter data: the ``data`` folder of a checkout, in ShapeNetCore's layout."""

from __future__ import annotations

from pathlib import Path

from pcgen.errors import DataError

CATEGORIES = ("lamp", "seat", "storage", "table")


def starter_path() -> Path:
    """The folder of the starter archives.

    Raises:
        DataError: pcgen was installed without its checkout.
    """
    folder = Path(__file__).resolve().parents[2] / "data"
    missing = [name for name in CATEGORIES if not (folder / f"{name}.zip").is_file()]
    if missing:
        raise DataError(
            f"the starter data is not in {folder} ({', '.join(missing)}.zip missing); it comes "
            "with the repository: run pcgen from a clone, or name a folder of your own meshes"
        )
    return folder
