"""Keep a mutant that a loader failed on: ``python -m tests.fuzz.keep LOADER NUMBER``.

It is written to the corpus, where a test reads it for ever after, and its fault is shown.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

from tests.fuzz.attack import fault_of, mutant
from tests.fuzz.loaders import LOADERS

CORPUS = Path(__file__).parent / "corpus"


def keep(name: str, data: bytes) -> Path:
    """Write ``data`` to the corpus of a loader, under the hash of its content."""
    path = CORPUS / name / hashlib.sha256(data).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


if __name__ == "__main__":
    name, number = sys.argv[1], int(sys.argv[2])
    data = mutant(name, number)
    with tempfile.TemporaryDirectory() as folder:
        print(keep(name, data), fault_of(LOADERS[name], data, Path(folder)) or "no fault")
