"""Commands call the interface of ``import pcgen``, with its defaults."""

import argparse
import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import pcgen
from pcgen import cli, ot, pipeline
from pcgen.train.training import train

FUNCTIONS = {
    "complete": pcgen.Model.complete,
    "decode": pcgen.Model.decode,
    "demo": pipeline.demo,
    "evaluate": pcgen.evaluate,
    "gallery": pcgen.save_gallery,
    "interpolate": pcgen.Model.interpolate,
    "mesh": pcgen.save_meshes,
    "mix": pcgen.Model.mix,
    "prepare": pcgen.prepare,
    "sample": pcgen.Model.sample,
    "train": train,
    "transport": ot.solve,
    "vary": pcgen.Model.vary,
    "view": pcgen.view,
}
# What is no part of the interface: training in several processes and in stages returns no model,
# and the other three are about the machine and the project, not about shapes.
OTHERS = {
    "bench": set(),
    "demo": {"pcgen.pipeline"},
    "doctor": {"pcgen.doctor"},
    "train": {"pcgen.pipeline", "pcgen.train"},
}
SHARED = {"pcgen", "pcgen.ot", "pcgen.cli", "pcgen.errors", "pcgen.runfile"}
# Suggestions for parsing and printing, and what is read from and written to files of arrays.
HELP = {
    "decode": {"pcgen.shapes.arrays"},
    "encode": {"pcgen.shapes.arrays"},
    "evaluate": {"pcgen.evaluate.report_text"},
    "mix": {"pcgen.editing.parts"},
    "transport": {
        "pcgen.processes", "pcgen.shapes.arrays", "pcgen.transport.evidence",
        "pcgen.transport.sources",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_an_option_has_the_default_of_the_interface(name):
    parser = argparse.ArgumentParser()
    importlib.import_module(f"pcgen.cli.{name}").add_arguments(parser)
    known = inspect.signature(FUNCTIONS[name]).parameters
    shared = {action.dest: action for action in parser._actions if action.dest in known}
    assert shared
    for option, action in shared.items():
        default = known[option].default
        if action.required or default is inspect.Parameter.empty or option in ("device", "cache"):
            continue
        assert action.default == (list(default) if type(default) is tuple else default), option


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_no_option_is_lost_on_the_way(name):
    parser = argparse.ArgumentParser()
    module = importlib.import_module(f"pcgen.cli.{name}")
    module.add_arguments(parser)
    known = inspect.signature(FUNCTIONS[name]).parameters
    options = {action.dest for action in parser._actions} - {"help"} - set(known)
    text = Path(inspect.getfile(module)).read_text()
    assert {option for option in options if not re.search(rf"args\.{option}\b", text)} == set()


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_a_command_imports_the_interface_and_nothing_below(name):
    tree = ast.parse(Path(inspect.getfile(cli)).with_name(f"{name}.py").read_text())
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "pcgen":
            modules |= {f"pcgen.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module)
    below = {module for module in modules if module.split(".")[0] == "pcgen"}
    allowed = SHARED | OTHERS.get(name, set()) | HELP.get(name, set())
    assert {module for module in below if not module.startswith("pcgen.cli")} <= allowed
