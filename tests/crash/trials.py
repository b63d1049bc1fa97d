"""Commands that are killed, interrupted or run out of disk, again and again.

    python -m tests.crash.trials kill all --trials 200
    python -m tests.crash.trials interrupt all
    python -m tests.crash.trials disk all   (as root: mounts tmpfs)

Every command runs in a real process, forked from this one, which has imported everything and
computed nothing. ``kill`` sends SIGKILL, in turn at a random change to the file system and at a
random time; what is there then must be whole, and the same command, run again, must end with the
files of an uninterrupted run, bit for bit (times apart). Exits with 1 if anything was different.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import pcgen.evaluate.requests
import pcgen.gallery.build
import pcgen.model
import pcgen.reconstruct.batch
import pcgen.reconstruct.inputs
import pcgen.train.training
import pcgen.transport.auto
import pcgen.transport.maps.plots  # noqa: F401 - all imported before the forks, to save them the time
from pcgen.cli import main
from pcgen.files import TEMPORARY_PREFIX
from pcgen.shapes import prepare as prepare_module
from pcgen.train import loop
from pcgen.transport.stochastic import solve_checkpoint
from tests.boxes import boxes
from tests.datasets import write_dataset
from tests.shapes.small_shapes import box_mesh, obj_bytes

COMMANDS = ("prepare", "train", "sample", "mesh", "evaluate", "gallery", "transport")
#: The commands whose output a command reads.
NEEDS = {"sample": ["train"], "mesh": ["sample"], "evaluate": ["sample"], "gallery": ["sample"]}
#: What a process does to the file system, by the names of Python's audit events.
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "open"}
#: Files that are complete whenever they are there.
WHOLE = (".npz", ".glb", ".obj", ".png", ".html", "weights.safetensors", "maps.safetensors",
         "latents.safetensors", "base.safetensors")  # fmt: skip
TIMES = ("seconds", "mean_seconds", "resumed")


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: a signal), its output, its changes."""

    code: int
    said: str
    changes: int
    seconds: float


def run(words, *, at_change=None, after_s=None, sent=signal.SIGKILL) -> Ended:
    """A command in a process of its own, sent a signal at a change or after a time."""
    begun = time.monotonic()
    with tempfile.TemporaryFile("w+") as changes, tempfile.TemporaryFile("w+") as said:
        code = _end(words, changes, said, at_change, after_s, sent)
        changes.seek(0)
        said.seek(0)
        count = int(changes.read() or 0)
        return Ended(code, said.read(), count, time.monotonic() - begun)


def _end(words, changes, said, at_change, after_s, sent) -> int:
    """The exit code of a child process that runs a command."""
    child = os.fork()
    if child == 0:
        _live(words, changes, said, at_change, sent)
    if after_s is not None:
        time.sleep(after_s)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, sent)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _live(words, changes, said, at_change, sent) -> None:
    """The child process; never returns."""
    count, code = 0, 70

    def hook(event, arguments):
        nonlocal count
        if event not in CHANGES or (event == "open" and not _writes(arguments)):
            return
        count += 1
        if count == at_change:
            os.kill(os.getpid(), sent)

    os.dup2(said.fileno(), 1)
    os.dup2(said.fileno(), 2)
    # A shell without job control starts what runs behind it with Ctrl-C ignored, and that is
    # inherited; Python sets its own handler only where it was not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.addaudithook(hook)
        code = main([*words, "--quiet"])
    finally:
        total = count
        changes.write(str(total))
        changes.flush()
        sys.stderr.flush()
        os._exit(code)


def _writes(arguments) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


class Stage:
    """A small job for each command, and its output without a fault."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        prepare_module.SHARD_SIZE = 2
        loop.SAVE_EVERY_S = solve_checkpoint.SAVE_EVERY_S = 0.0
        (folder / "meshes").mkdir()
        for number in range(5):
            path = folder / "meshes" / f"box{number}.obj"
            path.write_bytes(obj_bytes(box_mesh((1.0 + number, 2.0, 0.5))))
        clouds, normals = boxes(10, 1200)
        splits = ["test" if k % 2 else "train" for k in range(10)]
        write_dataset(folder / "data", clouds, splits=splits, normals=normals)
        np.save(folder / "atoms.npy", np.random.default_rng(0).normal(size=(60, 2)))
        self._reference: dict[str, dict[str, str]] = {}
        self.usual: dict[str, Ended] = {}

    def words(self, command: str, out: Path) -> list[str]:
        """The command line that makes ``out``."""
        data, run_ = self.folder / "data", self.folder / "reference" / "train" / "out"
        samples = self.folder / "reference" / "sample" / "out.npz"
        json_, cache = out.with_suffix(".json"), out.with_name("cache")
        lines = {
            "prepare": f"{self.folder}/meshes --out {out} --points 200 --workers 1",
            "train": f"{data} --out {out} --preset cpu-tiny --threads 1",
            "sample": f"{run_} --count 6 --points 256 --out {out}.npz",
            "mesh": f"{samples} --out {out} --faces 500 --format glb,obj",
            "evaluate": f"{samples} --reference {data} --split test --points 256 --workers 1 "
            f"--out {json_} --cache {cache}",
            "gallery": f"{samples} --out {out} --reference {data} --count 3",
            "transport": f"{self.folder}/atoms.npy --out {out}.npz --tolerance 0.1 --source uniform"
            f" --method semidual --picture {out}.png",
        }
        return [command, *lines[command].split()]

    def reference(self, command: str) -> dict[str, str]:
        """The files of an uninterrupted run, by name; made the first time."""
        if command not in self._reference:
            for earlier in NEEDS.get(command, ()):
                self.reference(earlier)
            folder = self.folder / "reference" / command
            folder.mkdir(parents=True)
            ended = run(self.words(command, folder / "out"))
            assert ended.code == 0, ended.said
            self._reference[command], self.usual[command] = files(folder), ended
        return self._reference[command]


def files(folder: Path) -> dict[str, str]:
    """Hashes of all files by name, without hidden files and the times in JSON."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or "/." in f"/{name}" or name.endswith("state.safetensors"):
            continue  # what a kill left is removed after a minute; the state holds times
        data = path.read_bytes()
        if path.suffix in (".json", ".jsonl"):
            lines = data.splitlines() if path.suffix == ".jsonl" else [data]
            data = json.dumps([_timeless(json.loads(line)) for line in lines]).encode()
        data = data.replace(str(folder).encode(), b"FOLDER")
        found[name] = hashlib.sha256(data).hexdigest()
    return found


def _timeless(plain):
    if isinstance(plain, dict):
        return {k: _timeless(v) for k, v in plain.items() if k not in TIMES}
    return [_timeless(item) for item in plain] if isinstance(plain, list) else plain


def kill(stage: Stage, command: str, draw: random.Random, number: int) -> str:
    """One trial: kill once or twice, then run to the end. Returns the fault, or an empty string."""
    wanted, usual = stage.reference(command), stage.usual[command]
    with tempfile.TemporaryDirectory(dir=stage.folder) as folder:
        words = stage.words(command, Path(folder) / "out")
        for _ in range(draw.choice([1, 1, 2])):
            if number % 2:
                ended = run(words, at_change=draw.randint(1, usual.changes))
            else:
                ended = run(words, after_s=draw.uniform(0, usual.seconds))
            if ended.code not in (0, -signal.SIGKILL):
                return f"it ended with {ended.code} instead of by the kill: {ended.said}"
            for name, content in files(Path(folder)).items():
                if name.endswith(WHOLE) and ".part" not in name and wanted.get(name) != content:
                    return f"{name} is half-written after a kill"
        return _goes_on(words, Path(folder), wanted)


def _goes_on(words, folder: Path, wanted: dict[str, str]) -> str:
    ended = run(words)
    if ended.code:
        return f"the same command does not go on: {ended.said}"
    found = files(folder)
    differing = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
    return f"other files than those of an uninterrupted run: {differing}" if differing else ""


def interrupt(stage: Stage, command: str, draw: random.Random, number: int) -> str:
    """Ctrl-C at a random change: exit code 130, one line on how to resume, nothing half-written."""
    wanted, usual = stage.reference(command), stage.usual[command]
    with tempfile.TemporaryDirectory(dir=stage.folder) as folder:
        words = stage.words(command, Path(folder) / "out")
        at = draw.randint(1, usual.changes)
        ended = run(words, at_change=at, sent=signal.SIGINT)
        lines = ended.said.strip().splitlines()
        if ended.code != 130 or len(lines) != 1 or "the same command resumes" not in lines[0]:
            return f"Ctrl-C at change {at} ended with {ended.code}: {ended.said}"
        left = [str(p) for p in Path(folder).rglob(f"{TEMPORARY_PREFIX}*") if p.is_file()]
        return f"it left {left}" if left else _goes_on(words, Path(folder), wanted)


def disk(stage: Stage, command: str, draw: random.Random, number: int) -> str:
    """A disk that fills up, then one with enough room; finally a read-only one.

    Every third disk is full before the command begins, so not even a lock can be written.
    """
    wanted = stage.reference(command)
    whole = sum(
        path.stat().st_size for path in (stage.folder / "reference" / command).rglob("*")
    )  # fmt: skip
    with tempfile.TemporaryDirectory(dir=stage.folder) as folder:
        size = max(16384, int(whole * draw.uniform(0.02, 0.9)))
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        subprocess.run(mount, check=True)
        try:
            words = stage.words(command, Path(folder) / "out")
            filler = Path(folder) / ".filler"
            if number % 3 == 2:
                _fill(filler)
            ended = run(words)
            lines = ended.said.strip().splitlines()
            filler.unlink(missing_ok=True)
            if ended.code == 0:
                return ""
            if ended.code != 2 or len(lines) != 1 or "the disk is full" not in lines[0]:
                return f"a disk of {size} bytes ended it with {ended.code}: {ended.said}"
            subprocess.run(["mount", "-o", "remount,size=200m", folder], check=True)
            fault = _goes_on(words, Path(folder), wanted)
            subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
            ended = run(stage.words(command, Path(folder) / "other"))
            lines = ended.said.strip().splitlines()
            if ended.code != 2 or len(lines) != 1 or "read-only" not in lines[0]:
                fault = fault or f"a read-only disk ended it with {ended.code}: {ended.said}"
            return fault
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as handle:
        while handle.write(bytes(4096)):
            pass


TRIALS = {"kill": kill, "interrupt": interrupt, "disk": disk}


def trials(kind: str, commands, count: int, seed: int) -> int:
    """Run trials and print one line per command; returns the number of faults."""
    wrong = 0
    folder = Path(tempfile.mkdtemp(prefix="pcgen-crash-"))
    try:
        stage = Stage(folder)
        for command in commands:
            draw, faults, begun = random.Random(f"{seed} {command}"), [], time.monotonic()
            for number in range(count):
                fault = TRIALS[kind](stage, command, draw, number)
                if fault:
                    faults.append(f"trial {number}: {fault}")
            took = time.monotonic() - begun
            print(
                f"{kind} {command}: {count} trials, {len(faults)} wrong, {took:.0f} s", flush=True
            )
            print("".join(f"  {fault}\n" for fault in faults[:5]), end="", flush=True)
            wrong += len(faults)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=TRIALS)
    parser.add_argument("commands", nargs="+", choices=[*COMMANDS, "all"])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    commands = COMMANDS if "all" in args.commands else args.commands
    sys.exit(bool(trials(args.kind, commands, args.trials, args.seed)))
