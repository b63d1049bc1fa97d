"""The ``pcgen`` command: thin wrappers, one module per command.

A command module defines ``add_arguments(parser)`` and ``run(args) -> dict``; the dict is what
``--json`` prints. ``describe(result) -> str``, if defined, is printed otherwise. A
module may import nothing heavy at its top: ``pcgen --help`` must take well under a second. Only
the module of the command that was named is imported.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from pcgen import __version__, progress
from pcgen.errors import InputError, PcgenError, ToldElsewhere

# In the order of a first session: generate, look, then evaluate.
COMMANDS = {
    "demo": "run the whole pipeline on the starter data and make a gallery",
    "prepare": "make a data set from meshes or point clouds",
    "train": "train a generator on a data set, in resumable stages",
    "sample": "sample new shapes from a run",
    "interpolate": "interpolate between two shapes",
    "vary": "make variations of a shape",
    "complete": "complete partial or noisy shapes",
    "mix": "put a part of one shape on another",
    "encode": "encode shapes into latents",
    "decode": "decode latents into shapes",
    "mesh": "reconstruct meshes from point clouds, each with a report",
    "evaluate": "compute set metrics, with their ceiling and novelty",
    "view": "show a run, data set, samples, mesh or folder in a window",
    "gallery": "make a static page of shapes that opens from disk",
    "transport": "solve semi-discrete optimal transport to given atoms",
    "bench": "run benchmarks against other libraries",
    "pack": "make a small copy of a run for sampling",
    "doctor": "check what is installed and works, and how to install the rest",
}

# Commands that several processes of torchrun can run together.
SEVERAL_PROCESSES = ("train", "transport")


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, if any, and keeps descriptions as written."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, ""):
            return action.help
        return super()._get_help_string(action)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0, 2 for a known error, 130 for Ctrl-C)."""
    try:
        return _main(argv)
    except KeyboardInterrupt:
        print("\npcgen: interrupted before anything was done", file=sys.stderr)
        return 130


def _main(argv: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    name = words[0] if words else ""
    if name in ("", "-h", "--help"):
        print(_overview())
        return 0 if words else 2
    if name == "--version":
        print(f"pcgen {__version__}")
        return 0
    if name not in COMMANDS:
        print(f"pcgen: no command {name!r}; commands are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    module = importlib.import_module(f"pcgen.cli.{name}")
    words = words[1:]
    # `bench` is a command of commands: the next word chooses one.
    chosen = module.choose(words[0]) if words and hasattr(module, "choose") else None
    if chosen is not None:
        module, name, words = chosen, f"{name} {words[0]}", words[1:]
    return run_module(module, f"pcgen {name}", words)


def run_module(module: Any, name: str, words: Sequence[str]) -> int:
    """Parse ``words`` and run one command module; returns the exit code.

    Args:
        name: the command as typed, for messages.
    """
    parser = argparse.ArgumentParser(
        prog=name, description=module.__doc__, formatter_class=HelpFormatter
    )
    module.add_arguments(parser)
    common = parser.add_argument_group("for every command")
    common.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line"
    )
    common.add_argument("--quiet", action="store_true", help="show no progress")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    try:
        args = parser.parse_args(words)
    except SystemExit as stop:
        return int(stop.code or 0)
    return _run(module, args, name)


def _run(module: Any, args: argparse.Namespace, name: str) -> int:
    try:
        speaks = _speaks(name)
        with progress.command(args.quiet):
            result = module.run(args)
        if args.json and speaks:
            print(json.dumps(result, default=str))
        elif hasattr(module, "describe") and speaks:
            print(module.describe(result))
        sys.stdout.flush()
        return 0
    except ToldElsewhere:
        return 2
    except PcgenError as error:
        if args.debug:
            raise
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        # torch's own class, which is not imported here for commands that need no torch.
        if args.debug or type(error).__name__ != "OutOfMemoryError":
            raise
        print(
            f"{name}: the device is out of memory ({str(error)[:160]}); free some of it, ask for "
            "less at a time (--points; of a training --accumulate), or use --device cpu",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") == "0":
            print(
                f"\n{name}: interrupted; finished work is kept, and the same command resumes",
                file=sys.stderr,
            )
        return 130
    except BrokenPipeError:
        # The reader of our output has closed (`pcgen ... | head`): not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _speaks(name: str) -> bool:
    """Whether this process prints the result; only the first of several does.

    Raises:
        InputError: several processes were started for a command that uses one.
    """
    job = os.environ.get("WORLD_SIZE", "1") not in ("", "1") and "MASTER_ADDR" in os.environ
    if job and name.removeprefix("pcgen ") not in SEVERAL_PROCESSES:
        raise InputError(
            f"only {' and '.join(SEVERAL_PROCESSES)} can be started by torchrun in several "
            "processes; run this command without torchrun"
        )
    return not job or os.environ.get("RANK") == "0"


def _overview() -> str:
    rows = "\n".join(f"  {name:<12} {text}" for name, text in COMMANDS.items())
    return (
        "usage: pcgen COMMAND [options]\n\n"
        "Generate 3D shapes by optimal transport from a better base measure.\n\n"
        f"{rows}\n\n"
        "pcgen COMMAND --help documents a command. Start with: pcgen demo"
    )
