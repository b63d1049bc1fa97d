"""`pcgen view` without a window: pictures, and one clear error."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from pcgen.cli import main
from pcgen.errors import BackendError, InputError
from pcgen.viewer import graphics_probe, show, window_process

CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


def test_a_still_of_a_samples_file_is_written_without_graphics(samples_file, tmp_path, capsys):
    png = tmp_path / "a.png"
    assert main(["view", str(samples_file), "--png", str(png), "--size", "64", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == [str(png)]
    picture = np.asarray(Image.open(png))
    assert picture.shape == (64, 64, 3)
    assert picture.std() > 10


def test_a_picture_of_a_file_takes_no_torch(samples_file, tmp_path):
    words = ["view", str(samples_file), "--png", str(tmp_path / "a.png"), "--size", "64"]
    code = f"import sys; from pcgen.cli import main; main({words!r}); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.split() == [str(tmp_path / "a.png"), "False"], done.stderr


def test_several_shapes_become_a_sheet(samples_file, tmp_path):
    png = tmp_path / "sheet.png"
    words = ["view", str(samples_file), "--png", str(png), "--size", "192", "--count", "9"]
    assert main([*words, "--quiet"]) == 0
    width, height = Image.open(png).size
    assert width > 3 * 96  # three shapes in the file, whatever was asked for
    assert height < 2 * 96


def test_a_category_of_a_file_is_drawn_alone(samples_file, tmp_path, capsys):
    png = tmp_path / "a.png"
    words = [
        "view",
        str(samples_file),
        "--png",
        str(png),
        "--size",
        "192",
        "--count",
        "9",
        "--quiet",
    ]
    assert main([*words, "--category", "b"]) == 0
    assert Image.open(png).size == (192, 192)
    assert main([*words, "--category", "sofa"]) == 2
    assert "there are a, b" in capsys.readouterr().err


def test_a_turntable_of_a_mesh_is_written(tmp_path):
    import trimesh

    trimesh.creation.box().export(tmp_path / "box.obj")
    gif = tmp_path / "box.gif"
    words = ["view", str(tmp_path / "box.obj"), "--gif", str(gif), "--size", "32", "--quiet"]
    assert main(words) == 0
    assert Image.open(gif).n_frames == 48


def test_points_and_colours_of_a_mesh_can_be_asked_for(tmp_path):
    import trimesh

    trimesh.creation.icosphere(1).export(tmp_path / "ball.ply")
    pictures = []
    for more in ([], ["--as", "points"], ["--as", "points", "--colour", "height"]):
        png = tmp_path / "a.png"
        words = ["view", str(tmp_path / "ball.ply"), "--png", str(png), "--size", "48", *more]
        assert main([*words, "--quiet"]) == 0
        pictures.append(np.asarray(Image.open(png)).tobytes())
    assert len(set(pictures)) == 3


def test_without_a_display_one_line_offers_the_gallery(samples_file, monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert main(["view", str(samples_file)]) == 2
    error = capsys.readouterr().err
    assert "no display" in error
    assert "pcgen gallery" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (CRASH, "crashed (signal 11)"),
        ("import sys; sys.exit('Vulkan: no device')", "Vulkan: no device"),
        ("pass", "ended with code 0"),
        ("print('Falling back to headless mode.'); print('window opened')", "not respond"),
        ("print('window opened')", ""),
    ],
)
def test_a_driver_may_do_anything_to_the_probe(monkeypatch, code, expected):
    monkeypatch.setenv("DISPLAY", ":0")
    problem = graphics_probe.probe_graphics(code).problem
    assert expected in problem if expected else problem == ""


def test_a_driver_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(graphics_probe, "PATIENCE_S", 0.2)
    assert "did not respond" in graphics_probe.probe_graphics("import time; time.sleep(60)").problem


def test_a_window_that_crashes_leaves_one_line_and_the_offer_of_the_gallery(
    samples_file, monkeypatch, capsys
):
    module = sys.modules[show.__module__]
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(module, "probe_graphics", graphics_probe.Graphics)
    monkeypatch.setattr(
        module,
        "run_window",
        lambda options, probe: window_process.run_window(options, CRASH, probe),
    )
    assert main(["view", str(samples_file)]) == 2
    error = capsys.readouterr().err
    assert "the window crashed (signal 11)" in error
    assert "pcgen gallery" in error
    assert error.count("\n") == 1


def test_what_the_process_of_the_window_refuses_is_told_by_the_command(samples_file):
    options = {
        "path": str(samples_file), "number": 0, "seed": 0, "steps": 1, "points": 64,
        "category": "sofa", "reference": None,
    }  # fmt: skip
    with pytest.raises(InputError, match="no category 'sofa'"):
        window_process.run_window(options)
    with pytest.raises(BackendError, match="ended with code 3"):
        window_process.run_window({}, "import sys; sys.exit(3)")


def test_a_window_gets_ready_while_its_graphics_are_probed(tmp_path):
    """It opens after the probe, with the driver that was found; a problem ends it."""
    child = (
        f"import sys; folder = {str(tmp_path)!r}; open(folder + '/ready', 'w').close(); "
        "word = sys.stdin.buffer.readline(); open(folder + '/word', 'wb').write(word); "
        "open(sys.argv[2], 'w').write('{}')"
    )

    def probe(**found):
        _soon((tmp_path / "ready").exists)
        (tmp_path / "ready").unlink()
        return graphics_probe.Graphics(**found)

    for software, word in ((True, b"software\n"), (False, b"hardware\n")):
        window_process.run_window({}, child, lambda software=software: probe(software=software))
        assert (tmp_path / "word").read_bytes() == word
    (tmp_path / "word").unlink()
    with pytest.raises(BackendError, match="no window can be opened: it is broken"):
        window_process.run_window({}, child, lambda: probe(problem="it is broken"))
    assert not (tmp_path / "word").exists()


def test_the_window_ends_with_the_command(tmp_path):
    """However the command ends, even by a kill, no window is left."""
    child = (
        "import os, sys, threading, time; sys.path[:] = sys.argv[3:]; "
        "from pcgen.viewer.window_process import end_with_parent; "
        "threading.Thread(target=end_with_parent, daemon=True).start(); "
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()) + ' '); time.sleep(600)"
    )
    code = f"from pcgen.viewer.window_process import run_window; run_window({{}}, {child!r})"
    parent = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    pid = int(_soon(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _soon(lambda: not _alive(pid))


def _soon(ready):
    end = time.monotonic() + 60
    while not (result := ready()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return result


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return _state(pid) != "Z"  # where nobody reaps orphans


def _state(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


def test_a_software_driver_is_recognised(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    assert graphics_probe.probe_graphics(
        "print('device: llvmpipe'); print('window opened')"
    ).software


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.npz", None, "does not exist"),
        ("a.docx", b"x", "files end in"),
        (".", None, "nothing to show"),
        ("a.npz", b"not a zip", "a.npz"),
        ("a.glb", b"not a mesh", "a.glb"),
    ],
)
def test_what_cannot_be_shown_is_one_line(tmp_path, capsys, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["view", str(tmp_path / name), "--png", str(tmp_path / "a.png")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_unknown_picture_endings_and_numbers_are_told(samples_file, tmp_path, capsys):
    assert main(["view", str(samples_file), "--png", str(tmp_path / "a.docx"), "--quiet"]) == 2
    assert ".png, .jpg" in capsys.readouterr().err
    words = ["view", str(samples_file), "--png", str(tmp_path / "a.png"), "--number", "7"]
    assert main([*words, "--quiet"]) == 2
    assert "there is no shape 7" in capsys.readouterr().err


def test_the_first_file_that_can_be_read_is_shown_of_a_folder(tmp_path, capsys):
    (tmp_path / "a.obj").write_bytes(b"")
    (tmp_path / "b.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    picture = tmp_path / "b.png"
    assert main(["view", str(tmp_path), "--png", str(picture), "--size", "64"]) == 0
    assert "left out: " in capsys.readouterr().err
    assert picture.is_file()
