"""The command line: light imports, documented, one line for a known error."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pcgen
from pcgen import cli
from pcgen.cli import bench
from pcgen.errors import DataError, InputError

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "scipy", "open3d", "trimesh", "ot", "pykeops", "h5py", "matplotlib", "pandas"}


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(words):
    code = (
        "import sys; from pcgen import cli; "
        f"cli.main({words!r}); print(sorted(set(sys.modules) & {HEAVY!r}), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_documents_itself_with_an_example(name, capsys):
    assert cli.main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"pcgen {name}" in text
    assert "--json" in text


@pytest.mark.parametrize("name", bench.BENCHMARKS)
def test_every_benchmark_documents_itself(name, capsys):
    assert cli.main(["bench", name, "--help"]) == 0
    assert f"pcgen bench {name}" in capsys.readouterr().out


def test_a_benchmark_that_left_the_package_says_how_to_run_it(capsys):
    assert cli.main(["bench", "autoencoder", "datasets/chairs", "--minutes", "1"]) == 2
    assert "python -m tests.benchmarks.autoencoder" in capsys.readouterr().err


def test_the_transport_benchmark_solves_to_its_target(capsys):
    words = ["bench", "transport", "--atoms", "300", "--dim", "6", "--target-only", "--target"]
    assert cli.main([*words, "0"]) == 2
    assert "positive chi2, got 0" in capsys.readouterr().err
    assert cli.main([*words, "0.1", "--tests", "20000"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("pcgen to chi2 0.1 ")
    assert float(line.split()[6]) < 0.15


def test_no_command_shows_the_overview(capsys):
    assert cli.main([]) == 2
    assert "pcgen COMMAND" in capsys.readouterr().out


def test_an_unknown_command_lists_the_known_ones(capsys):
    assert cli.main(["generate"]) == 2
    assert "sample" in capsys.readouterr().err


def test_an_unknown_option_is_exit_code_2(capsys):
    assert cli.main(["sample", "run", "--cuont", "3"]) == 2


def test_zero_shapes_are_refused(capsys):
    assert cli.main(["sample", "run", "--count", "0", "--out", "x.npz"]) == 2
    assert "at least 1" in capsys.readouterr().err


def test_a_known_error_is_one_line_and_exit_code_2(tmp_path, capsys):
    assert cli.main(["sample", str(tmp_path), "--count", "1", "--out", "x.npz"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("pcgen sample: no run at")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_device_without_memory_is_one_line_that_says_what_helps(monkeypatch, capsys):
    class OutOfMemoryError(RuntimeError):
        """As of torch, which this test does not need."""

    def run(args):
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("pcgen.cli.doctor.run", run)
    assert cli.main(["doctor"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "2.00 GiB" in message
    assert "--accumulate" in message


def test_an_error_that_quotes_lines_is_one_line_all_the_same():
    assert str(InputError("expected a, got 'b\n  c'")) == "expected a, got 'b c'"


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(DataError):
        cli.main(["sample", str(tmp_path), "--count", "1", "--out", "x.npz", "--debug"])


def test_json_is_the_last_line_of_stdout(tmp_path, capsys):
    import numpy as np

    np.save(tmp_path / "clouds.npy", np.random.default_rng(0).random((4, 300, 3)))
    words = ["prepare", str(tmp_path), "--out", str(tmp_path / "set"), "--workers", "1", "--json"]
    assert cli.main(words) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert json.loads(last)["count"] == 4


def test_a_keyboard_interrupt_says_how_to_go_on(monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("pcgen.api.load", interrupted)
    assert cli.main(["sample", "run", "--count", "1", "--out", "x.npz"]) == 130
    assert "the same command resumes" in capsys.readouterr().err


def test_the_choices_of_train_are_those_of_the_rooms_behind_it():
    """Repeated in the command, which may not import those packages to show its help."""
    from pcgen.base import FAMILIES
    from pcgen.cli import train
    from pcgen.latent.autoencoder import CODECS
    from pcgen.train.presets import PRESETS

    assert set(train.BASES) == set(FAMILIES)
    assert set(train.CODECS) == set(CODECS)
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    choices = {action.dest: action.choices for action in parser._actions}
    assert set(choices["preset"]) == set(PRESETS)


@pytest.mark.parametrize(
    ("users", "policy", "spins"),
    [({}, "PASSIVE", "0"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE", "")],
)
def test_threads_wait_passively_unless_the_user_says_otherwise(users, policy, spins):
    code = (
        "import os, sys, pcgen; print(*(os.environ.get(n, '') for n in pcgen.PASSIVE_WAITING), "
        "'torch' in sys.modules, sep=',')"
    )
    inherited = {k: v for k, v in os.environ.items() if k not in pcgen.PASSIVE_WAITING}
    told = subprocess.check_output([sys.executable, "-c", code], env=inherited | users, text=True)
    assert told.strip() == f"{policy},{spins},False"
