"""Coverage-guided fuzzing of every loader, by atheris (the extra ``fuzz``).

    python -m tests.fuzz.fuzz LOADER [--seconds 120]
    python -m tests.fuzz.fuzz all --seconds 120

Whatever is no result and no known error is written to ``tests/fuzz/corpus``, where a test keeps
reading it. Only pcgen's own lines are watched for coverage; memory and time are bounded.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pcgen"]):
    from tests.fuzz.loaders import LOADERS

from pcgen.jobs import workers
from tests.fuzz.attack import fault_of, seeds_of
from tests.fuzz.keep import keep


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one loader in this process, until the time is up or something is found."""
    workers._limited = True  # files that are read apart are read here, where coverage is seen
    loader = LOADERS[name]
    with tempfile.TemporaryDirectory() as folder:
        corpus, work = Path(folder) / "corpus", Path(folder) / "work"
        corpus.mkdir()
        work.mkdir()
        for number, seed in enumerate(seeds_of(name)):
            (corpus / str(number)).write_bytes(seed)

        def one(data: bytes) -> None:
            with open(os.devnull, "w") as nothing, contextlib.redirect_stderr(nothing):
                fault = fault_of(loader, data, work) if data else ""
            if fault:
                print(f"FOUND {keep(name, data)}: {fault}", flush=True)
                os._exit(77)

        options = ["-max_len=8192", "-timeout=60", "-rss_limit_mb=4096", "-verbosity=0"]
        options += [
            f"-max_total_time={seconds}",
            f"-artifact_prefix={folder}/",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *options, str(corpus)], one)
        atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("loader", choices=[*LOADERS, "all"])
    parser.add_argument("--seconds", type=int, default=120)
    args = parser.parse_args()
    if args.loader != "all":
        fuzz(args.loader, args.seconds)
        return 0
    codes = {}
    for name in LOADERS:
        command = [sys.executable, "-m", "tests.fuzz.fuzz", name, "--seconds", str(args.seconds)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        lines = (done.stdout + done.stderr).splitlines()
        shown = [line for line in lines if "FOUND" in line or "number_of_executed" in line]
        print(name, "found something" if done.returncode else "clean", *shown[-2:], flush=True)
        codes[name] = done.returncode
    return int(any(codes.values()))


if __name__ == "__main__":
    sys.exit(main())
