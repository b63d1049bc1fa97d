"""Malicious files: none runs code, fills the memory or reads other files."""

import dataclasses
import io
import json
import pickle
import resource
import struct
import zipfile

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load as parsed

from pcgen import base, checkpoint
from pcgen.errors import DataError, InputError, MeshError, PcgenError, TrainingError
from pcgen.jobs import workers
from pcgen.latent.autoencoder import Autoencoder, AutoencoderSettings
from pcgen.model import ShapeModel
from pcgen.model.coupling import SCHEMA
from pcgen.runfile import read_run
from pcgen.shapes import sandbox
from pcgen.shapes.arrays import read_npz
from pcgen.shapes.cloud_arrays import CloudArray, list_hdf5, parse_torch
from pcgen.shapes.cloud_files import read_clouds
from pcgen.shapes.listing import scan
from pcgen.shapes.reading import read_mesh
from pcgen.train.run import Run
from tests.fuzz.runs import goes_on_from, lay, run_files

TRIANGLE = np.eye(3, dtype="<f4").tobytes() + np.arange(3, dtype="<u4").tobytes()
DEEP = "[" * 100_000


def glb(nodes, accessors=None) -> bytes:
    """A glTF of one triangle with the given nodes."""
    views = [{"buffer": 0, "byteLength": 36}, {"buffer": 0, "byteOffset": 36, "byteLength": 12}]
    kinds = [
        {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
        {"bufferView": 1, "componentType": 5125, "count": 3, "type": "SCALAR"},
    ]
    tree = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": nodes,
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": accessors or kinds, "buffers": [{"byteLength": 48}], "bufferViews": views,
    }  # fmt: skip
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    head = b"glTF" + struct.pack("<II", 2, 28 + len(text) + len(TRIANGLE))
    body = struct.pack("<I", len(text)) + b"JSON" + text
    return head + body + struct.pack("<I", len(TRIANGLE)) + b"BIN\0" + TRIANGLE


def test_a_triangle_is_read_and_a_circle_of_nodes_is_not():
    assert len(read_mesh(glb([{"mesh": 0}]), suffix=".glb").faces) == 1
    with pytest.raises(MeshError, match="not a readable"):
        read_mesh(glb([{"mesh": 0, "children": [1]}, {"mesh": 0, "children": [0]}]), suffix=".glb")


@pytest.fixture
def short_limits(monkeypatch):
    """A sandbox with two gigabytes, for this test only."""
    monkeypatch.setattr(workers, "MEMORY_LIMIT", 2 * 2**30)
    monkeypatch.setattr(sandbox, "_helper", None)
    yield
    if sandbox._helper is not None:
        sandbox._helper.kill()


def test_a_mesh_that_promises_gigabytes_is_refused_and_the_next_is_read(tmp_path):
    many = {"componentType": 5126, "count": 2_000_000_000, "type": "VEC3"}
    (tmp_path / "a.glb").write_bytes(glb([{"mesh": 0}], [many, many]))
    with pytest.raises(PcgenError, match="more memory"):
        read_mesh(tmp_path / "a.glb")
    (tmp_path / "b.glb").write_bytes(glb([{"mesh": 0}]))
    assert len(read_mesh(tmp_path / "b.glb").faces) == 1


@pytest.mark.parametrize(("signal", "reason"), [("SIGALRM", "longer than"), ("SIGSEGV", "crashed")])
def test_a_reader_that_dies_is_named_with_its_cause(tmp_path, monkeypatch, signal, reason):
    kill = f"import os, signal; os.kill(os.getpid(), signal.{signal})"
    monkeypatch.setattr(sandbox, "serving", lambda _: kill)
    monkeypatch.setattr(sandbox, "_helper", None)
    torch.save(torch.zeros(1, 3, 3), tmp_path / "a.pt")
    with pytest.raises(InputError, match=reason):
        read_clouds(tmp_path / "a.pt")


def repacked(path, replace, compression=zipfile.ZIP_STORED):
    """A PyTorch file with some members replaced; ``replace`` receives a name and its bytes."""
    torch.save(torch.zeros(1, 3, 3), path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, replace(name, data))


def test_a_tensor_of_terabytes_out_of_one_number_is_refused(tmp_path):
    whole = torch.as_strided(torch.arange(1.0), (10**6, 10**6, 3), (0, 0, 0))
    torch.save(whole, tmp_path / "a.pt")
    with pytest.raises(InputError, match="larger than its storage"):
        parse_torch(tmp_path / "a.pt")


@pytest.mark.usefixtures("short_limits")
def test_a_pickle_that_asks_for_memory_is_refused(tmp_path):
    class Greedy:
        def __reduce__(self):
            return bytearray, (200 * 2**30,)

    bad = pickle.dumps({"a": Greedy()}, 2)
    repacked(tmp_path / "a.pt", lambda name, data: bad if name.endswith("data.pkl") else data)
    with pytest.raises(InputError, match="more memory"):
        read_clouds(tmp_path / "a.pt")


def test_a_torch_file_that_unpacks_to_a_thousand_times_its_size_is_refused(tmp_path):
    zeros = bytes(80 * 2**20)
    repacked(
        tmp_path / "a.pt",
        lambda name, data: zeros if name.endswith("data/0") else data,
        zipfile.ZIP_DEFLATED,
    )
    assert (tmp_path / "a.pt").stat().st_size < 2**20
    with pytest.raises(InputError, match="times its packed size"):
        parse_torch(tmp_path / "a.pt")


def test_archives_that_unpack_to_much_more_than_they_are_are_refused(tmp_path):
    zeros = io.BytesIO()
    np.save(zeros, np.zeros(10 * 2**20))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("points.npy", zeros.getvalue())
    with pytest.raises(InputError, match="times its packed size"):
        read_npz(tmp_path / "a.npz")
    (tmp_path / "a.npz").rename(tmp_path / "a.zip")
    assert "times its packed size" in scan(tmp_path / "a.zip").rejected[0].reason


def overlapping() -> bytes:
    """An archive whose table names one member of 10 kB a hundred times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.obj", np.random.default_rng(0).bytes(10_000))
    data = buffer.getvalue()
    end = data.rfind(b"PK\5\6")
    start = struct.unpack("<I", data[end + 16 : end + 20])[0]
    table = data[start:end] * 100
    sizes = struct.pack("<HHII", 100, 100, len(table), start)
    return data[:start] + table + data[end : end + 8] + sizes + b"\0\0"


def test_archives_whose_members_overlap_are_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(overlapping())
    assert "overlap" in scan(tmp_path / "a.zip").rejected[0].reason
    (tmp_path / "a.npz").write_bytes(overlapping())
    with pytest.raises(InputError, match="overlap"):
        read_npz(tmp_path / "a.npz")


def test_hdf5_that_borrows_the_numbers_of_another_file_is_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(np.ones(64 * 3).tobytes())
    with h5py.File(tmp_path / "a.h5", "w") as handle:
        handle.create_dataset("chair", (1, 64, 3), "<f8", external=[(str(secret), 0, 64 * 24)])
    with h5py.File(tmp_path / "b.h5", "w") as handle:
        handle["chair"] = np.ones((1, 64, 3))
    with h5py.File(tmp_path / "c.h5", "w") as handle:
        layout = h5py.VirtualLayout((1, 64, 3), "<f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "b.h5"), "chair", (1, 64, 3))
        handle.create_virtual_dataset("chair", layout)
    for name in ("a.h5", "c.h5"):
        with pytest.raises(InputError, match="in other files; refused"):
            list_hdf5(tmp_path / name)
    assert list_hdf5(tmp_path / "b.h5") == [CloudArray("chair", (1, 64, 3))]


def test_json_of_any_depth_is_refused_in_words(tmp_path):
    from safetensors.torch import save_file

    (tmp_path / "run.json").write_text(DEEP)
    with pytest.raises(DataError, match="damaged"):
        read_run(tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", {"meta": DEEP})
    with pytest.raises(DataError, match="not a readable pcgen checkpoint"):
        checkpoint.load(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("tensors", "meta", "reason"),
    [
        (
            {"a": torch.tensor([1.0, float("nan")])},
            {"step": 1, "settings": {}},
            "tensor a contains",
        ),
        ({"a": torch.tensor([float("inf")])}, {"step": 1, "settings": {}}, "tensor a contains"),
        ({"a": torch.zeros(1)}, {"step": "1", "settings": {}}, "its step must be a JSON int"),
        ({"a": torch.zeros(1)}, {"step": True, "settings": {}}, "its step must be a JSON int"),
        ({"a": torch.zeros(1)}, {"step": 1}, "its settings must be a JSON dict"),
        ({"a": torch.zeros(1)}, [1], "not a JSON object"),
    ],
)
def test_a_checkpoint_that_breaks_its_schema_is_refused_by_name(tmp_path, tensors, meta, reason):
    from safetensors.torch import save_file

    # Not by checkpoint.save, which writes nothing that is not finite.
    save_file(tensors, tmp_path / "a.safetensors", {"meta": json.dumps(meta)})
    with pytest.raises(DataError, match=reason):
        checkpoint.load(tmp_path / "a.safetensors", checkpoint.WEIGHTS)


def test_tensors_of_another_kind_or_number_of_dimensions_are_refused(tmp_path):
    pairs = torch.zeros(2, 2).long()
    fine = {
        "z": torch.zeros(2, 3), "parent": pairs, "mirrored": pairs.clone(),
        "label": pairs[0].clone(), "mean": torch.zeros(3), "axes": torch.zeros(3, 1),
    }  # fmt: skip
    bad = {"z": torch.zeros(2), "parent": torch.zeros(2, 2), "label": None,
           "axes": pairs.clone()}  # fmt: skip
    for name, tensor in bad.items():
        found = {k: v for k, v in (fine | {name: tensor}).items() if v is not None}
        checkpoint.save(tmp_path / "a.safetensors", found, {"scale": 1.0, "names": {}})
        with pytest.raises(DataError, match=f"{name}"):
            checkpoint.load(tmp_path / "a.safetensors", SCHEMA)
    checkpoint.save(tmp_path / "a.safetensors", fine, {"scale": 1.0, "names": {}})
    checkpoint.load(tmp_path / "a.safetensors", SCHEMA)


def test_the_state_of_another_optimiser_is_refused():
    parameter = torch.nn.Parameter(torch.ones(3))
    optimiser = torch.optim.AdamW([parameter])
    parameter.grad = torch.ones(3)
    optimiser.step()
    tensors, rest = checkpoint.pack_optimiser(optimiser)
    rest = json.loads(json.dumps(rest))
    for bad_tensors, bad_rest in (
        ({**tensors, "0.exp_avg": torch.ones(4)}, rest),
        ({**tensors, "7.exp_avg": torch.ones(3)}, rest),
        (tensors, {**rest, "groups": [{**rest["groups"][0], "lr": "1"}]}),
        (tensors, {**rest, "groups": []}),
    ):
        with pytest.raises(ValueError, match=r"shape|parameter|settings"):
            checkpoint.unpack_optimiser(optimiser, bad_tensors, bad_rest)


def set_in(plain, keys, value):
    *before, last = keys
    for key in before:
        plain = plain[key]
    plain[last] = value


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("autoencoder", "patch_parts"), 10**9),
        (("autoencoder", "patch_width"), 2**24),
        (("autoencoder", "code"), 2**30),
        (("autoencoder", "levels"), 12),
        (("latent_flow", "width"), 2**24),
        (("latent_flow", "blocks"), 10**9),
        (("point_flow", "width"), 2**40),
        (("point_flow", "blocks"), 10**9),
    ],
)
def test_sizes_that_the_weights_do_not_have_cost_nothing(tmp_path, keys, value):
    """A network of that size would take terabytes, or hours to build."""
    files = run_files()
    plain = json.loads(files["run.json"])
    set_in(plain["settings"], keys, value)
    lay(tmp_path, {**files, "run.json": json.dumps(plain).encode()})
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="damaged or of another version"):
        ShapeModel.load(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin < 200_000  # kB


@pytest.mark.parametrize("kind", ["basis-points", "tokens"])
@pytest.mark.parametrize(
    "change", [{"parts": 10**9}, {"width": 2**24}, {"latent_dim": 2**30, "code": 2**30}]
)
def test_nor_do_sizes_of_the_other_codecs(kind, change):
    small = AutoencoderSettings(encoder=kind, parts=8, width=16, tokens=4, latent_dim=8)
    weights = Autoencoder.untrained(small, torch.rand(2, 9, 3), 0).state_dict()
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="to a different network"):
        Autoencoder.trained(dataclasses.replace(small, **change), weights)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin < 200_000  # kB


def test_a_base_whose_draw_would_never_end_is_refused():
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    settings = {"hidden": (3,), "steps": 1, "dual_steps": 1, "batch": 4, "chains": 8}
    draw = torch.Generator().manual_seed(0)
    omega = base.fit("conjugate-moment", x, generator=draw, settings=settings, guard="off")
    tensors, meta = omega.to_checkpoint()
    assert base.from_checkpoint(tensors, meta).dim == 2
    with pytest.raises(DataError, match="would take 1000000000000 steps"):
        base.from_checkpoint(tensors, {**meta, "walk": 10**12})


@pytest.mark.parametrize("change", [{"mean": torch.zeros(3)}, {"factor": torch.full((2, 2), 3e38)}])
def test_a_base_that_cannot_be_drawn_from_is_refused_when_it_is_read(change):
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    tensors, meta = base.fit("gaussian", x, generator=torch.Generator()).to_checkpoint()
    with pytest.raises(DataError, match="the base is damaged"):
        base.from_checkpoint({**tensors, **change}, meta)


def test_what_is_not_finite_is_named_instead_of_a_finished_stage(tmp_path):
    run = Run(tmp_path, None)
    run.mark_finished("base", {"map": {"chi2": 0.1, "notes": ("fine",)}})
    with pytest.raises(TrainingError, match="latent-flow: moved is not finite"):
        run.mark_finished("latent-flow", {"pairs": 3, "moved": float("inf")})
    with pytest.raises(TrainingError, match="base: map"):
        run.mark_finished("base", {"map": {"table": [1.0, float("nan")]}})
    assert run.finished("base")
    assert not run.finished("latent-flow")


def test_a_stage_is_not_trained_on_files_that_do_not_fit(tmp_path):
    """Labels beyond the categories, latents of another number, a teacher of another size."""
    latents = parsed(run_files()["base/latents.safetensors"])
    teacher = {"enter.weight": torch.zeros(2, 2)}
    for name, tensors, reason in (
        ("base/latents", {**latents, "label": torch.full((5,), 9)}, "do not match each other"),
        ("base/latents", {k: v[:4] if len(v) == 5 else v for k, v in latents.items()},
         "do not match each other"),
        ("latent-flow/teacher/weights", teacher, "to a different network"),
    ):  # fmt: skip
        path = tmp_path / "file.safetensors"
        meta = {"step": 1, "settings": {}, "scale": 1.0, "names": {}}
        checkpoint.save(path, tensors, meta)
        with pytest.raises(DataError, match=reason):
            goes_on_from(f"{name}.safetensors", "latent-flow")(path)
