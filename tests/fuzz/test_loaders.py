"""Every loader on mutated files: a result or a known error, within limits of time and memory.

A failure names the loader and the number of the mutant; to see it again, and to keep it:

    python -m tests.fuzz.keep LOADER NUMBER
"""

from pathlib import Path

import pytest

from pcgen.jobs.workers import Limits, Workers
from tests.fuzz.attack import CRAFTED, attack, fault_of
from tests.fuzz.loaders import LOADERS

CORPUS = Path(__file__).parent / "corpus"
FOUND = sorted(path for path in CORPUS.glob("*/*") if path.is_file())
TIME_LIMIT_S = 60
MEMORY_LIMIT = 3 * 2**30


def attack_all(each: int, folder: Path, first: int = 0) -> dict[str, str]:
    """Faults by loader and number, for ``each`` mutants per loader.

    Whatever is written outside the folder of a loader is a fault too.
    """
    faults = {}
    around = sorted(path.name for path in (*folder.parent.iterdir(), *Path.cwd().iterdir()))
    limits = Limits(time_s=TIME_LIMIT_S, memory=MEMORY_LIMIT)
    with Workers(attack, 1, limits=limits) as workers:
        for name in LOADERS:
            (folder / name).mkdir()
            workers.submit((name, range(first, first + each), str(folder / name)))
        for outcome in workers.outcomes():
            name, numbers, where = outcome.task
            if outcome.death is not None:
                at = outcome.death.item
                faults[f"{name} {at}"] = outcome.death.reason
                if at is not None:
                    workers.submit((name, range(at + 1, numbers.stop), where))
            else:
                faults |= {f"{name} {k}": fault for k, fault in outcome.result.items()}
    assert sorted(path.name for path in folder.iterdir()) == sorted(LOADERS)
    now = sorted(path.name for path in (*folder.parent.iterdir(), *Path.cwd().iterdir()))
    assert now == around
    return faults


@pytest.mark.parametrize("name", LOADERS)
def test_the_files_that_are_mutated_are_read(name, tmp_path):
    loader = LOADERS[name]
    for number, data in enumerate(loader.seeds()):
        (tmp_path / str(number)).mkdir()
        path = tmp_path / str(number) / f"file{loader.suffix}"
        path.write_bytes(data)
        loader.read(path)


def test_mutated_files_are_read_or_refused_in_words(tmp_path):
    assert attack_all(15, tmp_path) == {}


def test_files_that_lie_are_read_or_refused_in_words(tmp_path):
    assert attack_all(10, tmp_path, first=CRAFTED) == {}


@pytest.mark.slow
def test_a_thousand_files_that_lie_of_every_format_are_read_or_refused(tmp_path):
    assert attack_all(1000, tmp_path, first=CRAFTED) == {}


@pytest.mark.slow
def test_a_thousand_mutated_files_of_every_format_are_read_or_refused(tmp_path):
    assert attack_all(1000, tmp_path) == {}


@pytest.mark.parametrize("path", FOUND, ids=[f"{p.parent.name}-{p.name[:12]}" for p in FOUND])
def test_what_was_found_once_is_read_or_refused(path, tmp_path):
    assert fault_of(LOADERS[path.parent.name], path.read_bytes(), tmp_path) == ""
