"""The whole pipeline, with one function per stage. Read this file first.

:func:`prepare` turns mesh files into clouds; :func:`train` turns clouds into children, latents, a
base and two flows; :func:`sample` turns noise into latents and clouds; :func:`mesh` turns clouds
into meshes; :func:`evaluate` and :func:`gallery` evaluate and show them. Every function reads and
writes files (see the README for their formats), so each can be run separately; :func:`demo` runs
all.

A data set may be given by its URL wherever one is read; its copy in the cache is used then. Heavy
packages are imported inside the functions, so importing this module is cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcgen import cores, progress, runtime
from pcgen.errors import InputError
from pcgen.runfile import is_run, read_run

if TYPE_CHECKING:
    from pcgen.reconstruct.batch import NamedCloud
    from pcgen.shapes.samples import Samples


def prepare(source: Path | str, out: Path | str, **options: Any) -> dict[str, Any]:
    """Make a data set from meshes or clouds; the report lists what was left out.

    ``options`` are those of :func:`pcgen.shapes.prepare.prepare`: format, categories, points, ...
    """
    from pcgen.shapes.prepare import prepare as prepare_shapes

    return prepare_shapes(source, out, **options)


def train(dataset: Path | str, out: Path, **options: Any) -> dict[str, Any]:
    """Train a run on a data set: children, autoencoder, base, two flows; resume if possible.

    ``options`` are those of :func:`pcgen.train.training.train`: preset, categories, base,
    budget, seed and so on. Each stage is one module of :mod:`pcgen.train`.
    """
    from pcgen.shapes.remote_datasets import local_folder
    from pcgen.train.training import train as train_stages

    return train_stages(local_folder(dataset), out, **options)


def sample(
    run: Path,
    out: Path,
    *,
    count: int,
    seed: int = 0,
    device: str = "cpu",
    **options: Any,
) -> Samples:
    """Sample new shapes from a run and write them to ``out``.

    ``options`` are those of :func:`pcgen.generate.generate`: points, steps, category, workers, ...
    """
    if out.suffix != ".npz":  # checked before the work
        raise InputError(f"samples are written as .npz, got the name {out}")
    from pcgen.generate import generate
    from pcgen.model import ShapeModel

    samples = generate(ShapeModel.load(run, device), count, seed=seed, **options)
    samples.save(out)
    progress.say(f"sampled {count} shapes to {out}")
    return samples


def interpolate(
    run: Path,
    out: Path,
    *,
    frames: int,
    seeds: tuple[int, int] = (0, 1),
    points: int = 2048,
    seed: int = 0,
    device: str = "cpu",
) -> Samples:
    """Shapes between the first shapes of two seeds, written to ``out``.

    They follow the optimal-transport map of their points, see :mod:`pcgen.editing.between`.
    """
    from pcgen.editing import between
    from pcgen.model import ShapeModel

    model = ShapeModel.load(run, device)
    ends = [model.sample(1, seed=end, points=between.POINTS).points[0] for end in seeds]
    path = between.interpolate(model, ends[0], ends[1], frames, points=points, seed=seed)
    path.save(out)
    return path


def mesh(
    source: Path | str | list[NamedCloud],
    out: Path,
    *,
    formats: Sequence[str] = ("glb",),
    frames: Path | str | None = None,
    unit: str = "",
    size: float | None = None,
    up: str = "",
    colour: str = "plain",
    workers: int | None = None,
    ray: str | None = None,
    device: str = "cpu",
    **options: Any,
) -> dict[str, Any]:
    """Reconstruct closed meshes of clouds in ``out``, each with a report; resumable.

    ``source`` is a file, a folder, or the clouds; ``frames`` is a data set that determines the
    sizes of samples in a file; unit, size and up are those of
    :class:`pcgen.reconstruct.export.Export`; colour: ``plain``, ``height`` or ``normal``;
    device: for the method ``field``, as only it evaluates networks;
    ``options`` are those of :class:`pcgen.reconstruct.methods.MeshSettings`: method, faces,
    thickness, resolution, symmetry.
    """
    from pcgen.reconstruct.batch import mesh_all
    from pcgen.reconstruct.export import Export, check_formats
    from pcgen.reconstruct.inputs import named_clouds
    from pcgen.reconstruct.methods import MeshSettings
    from pcgen.render.palette import Paint
    from pcgen.shapes.remote_datasets import local_folder

    settings = MeshSettings(**options)
    export = Export(unit=unit, size=size, up=up)
    paint = None if colour == "plain" else Paint(colour)
    kinds = check_formats(tuple(formats))
    if device != "cpu":
        if not settings.by_field:
            raise InputError(
                f"only the method field computes on a device, got {settings.method} on {device}; "
                "omit --device"
            )
        device = runtime.pick_device(device)
    if device != "cpu" and (ray is not None or workers not in (None, 1)):
        raise InputError(f"{device} is used by one process; omit --workers and --ray")
    workers = workers if device == "cpu" else 1
    if isinstance(source, list):
        clouds = source
    else:
        at = None if frames is None else local_folder(frames)
        clouds = named_clouds(source, at, latents=settings.by_field)
    if settings.by_field:  # only a field needs torch
        from pcgen.model.meshing import with_surfaces

        clouds = with_surfaces(clouds, device)
    return mesh_all(
        clouds, out, formats=kinds, settings=settings, export=export, paint=paint,
        workers=workers, ray=ray,
    )  # fmt: skip


def evaluate(
    samples: Sequence[Path],
    reference: Path | str,
    *,
    training: Path | str | None = None,
    standardised: Path | str | None = None,
    out: Path | None = None,
    page: Path | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Evaluate samples or runs by set metrics, with ceiling and novelty.

    ``options`` are those of :class:`pcgen.evaluate.requests.EvaluationRequest`: protocol, ...
    """
    from pcgen.evaluate.requests import EvaluationRequest, evaluate_files
    from pcgen.shapes.remote_datasets import local_folder

    request = EvaluationRequest(
        samples,
        local_folder(reference),
        training=None if training is None else local_folder(training),
        standardised=None if standardised is None else local_folder(standardised),
        **options,
    )
    return evaluate_files(request, out=out, page=page)


def gallery(
    source: Path | str, out: Path, *, reference: Path | str | None = None, **options: Any
) -> dict[str, Any]:
    """Write a page in ``out`` that shows a run, samples, a data set or meshes.

    ``options`` are those of :func:`pcgen.gallery.gallery`: count, meshes, ...
    """
    from pcgen.gallery import gallery as make_gallery
    from pcgen.shapes.remote_datasets import local_folder

    training = None if reference is None else local_folder(reference)
    return make_gallery(local_folder(source), out, reference=training, **options)


def demo(
    out: Path,
    *,
    category: str = "seat",
    budget_minutes: float | None = None,
    count: int = 24,
    preset: str = "cpu-small",
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """The whole pipeline on the starter data: prepare, train, sample, mesh, evaluate, gallery.

    Args:
        budget_minutes: of training; None for six where there are two cores, else for nine.
    """
    from pcgen.gallery import contact_sheet
    from pcgen.gallery.preview import Preview
    from pcgen.reconstruct import MESH_POINTS
    from pcgen.train.budget import check_budget

    data, run = out / "data", out / "run"
    if budget_minutes is None and is_run(run):
        budget_minutes = read_run(run).get("budget_minutes")  # of a demo that was interrupted
    elif budget_minutes is None:
        budget_minutes = 6.0 if cores.usable_cores() > 1 else 9.0
    check_budget(budget_minutes)  # before the data are made
    prepare("starter", data)
    preview = Preview(out, f"Learning from shapes: {category}")
    progress.say(f"after about a minute, {preview.page} shows what is learned so far")
    try:
        train(
            data, run, preset=preset, categories=[category], budget_minutes=budget_minutes,
            seed=seed, device=device, watch=preview,
        )  # fmt: skip
        samples = sample(run, out / "samples.npz", count=count, seed=seed, device=device)
        sheet = contact_sheet(samples, data, out / "sheet.png")
        preview.ended(sheet.name)
        seeds = seed, seed + 1
        interpolate(run, out / "interpolation.npz", frames=12, seeds=seeds, device=device)
        # The same shapes with more points: a mesh gets better, and a run draws as many as wanted.
        sample(run, out / "dense.npz", count=count, points=MESH_POINTS, seed=seed, device=device)
        meshes = mesh(out / "dense.npz", out / "meshes", formats=("glb", "stl"), workers=2)
        reports = {"out": out / "report.json", "page": out / "report.html"}
        report = evaluate([run], data, categories=[category], device=device, **reports)
        page = gallery(
            run,
            out / "gallery",
            count=count,
            meshes=out / "meshes",
            interpolation=out / "interpolation.npz",
            seed=seed,
            device=device,
            title=f"New shapes: {category}",
        )
    except KeyboardInterrupt:
        preview.stopped()
        for path in (preview.page, out / "sheet.png", out / "meshes"):
            if path.exists():
                progress.say(f"made so far: {path}")
        raise
    preview.ended("gallery/index.html")
    return {
        "gallery": str(page["page"]),
        "sheet": str(sheet),
        "meshes": str(out / "meshes"),
        "report": str(out / "report.html"),
        "samples": str(out / "samples.npz"),
        "run": str(run),
        "watertight": meshes["summary"]["watertight"],
        "open": meshes["summary"]["open"],
        "count": count,
        "evaluation": report,
    }
