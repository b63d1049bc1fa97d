"""The whole way of the data, one function a stage. Read this file first.

A mesh file becomes a cloud in :func:`prepare`; clouds become children, latents, a base and two
flows in :func:`train`; noise becomes latents becomes clouds in :func:`sample`; clouds become
meshes in :func:`mesh`; and :func:`evaluate` and :func:`gallery` look at them. Every function takes
and leaves files (see the README for their formats), so each can be run alone; :func:`demo` runs
all.

A data set may be given by its URL wherever one is read: then its copy in the cache is used.
Heavy packages are imported inside the functions, so that importing this module costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcgen import progress
from pcgen.errors import InputError

if TYPE_CHECKING:
    from pcgen.shapes.samples import Samples


def prepare(source: Path | str, out: Path | str, **options: Any) -> dict[str, Any]:
    """Meshes or clouds of any known layout to a data set; the report says what was left out.

    ``options`` are those of :func:`pcgen.shapes.prepare.prepare`: format, categories, points, ...
    """
    from pcgen.shapes.prepare import prepare as prepare_shapes

    return prepare_shapes(source, out, **options)


def train(dataset: Path | str, out: Path, **options: Any) -> dict[str, Any]:
    """A data set to a run: children, autoencoder, base, two flows; resumes what is there.

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
    """New shapes from a run, written to ``out`` as a samples file.

    ``options`` are those of :func:`pcgen.generate.generate`: points, steps, category, workers, ...
    """
    if out.suffix != ".npz":  # told before the work, not after it
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
    files: tuple[Path, Path] | None = None,
    points: int = 2048,
    category: str | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Samples:
    """The way between two shapes, given by seeds or by files, written to ``out``.

    It goes along the optimal-transport map of their points, see :mod:`pcgen.editing.between`.
    """
    from pcgen.editing import between
    from pcgen.model import ShapeModel
    from pcgen.model.pack import find_run
    from pcgen.shapes.cloud_files import read_normalised_cloud

    model = ShapeModel.load(find_run(run), device)
    if files is not None:
        ends = [read_normalised_cloud(file, points=between.POINTS) for file in files]
    else:
        ends = [
            model.sample(1, seed=end, points=between.POINTS, category=category).points[0]
            for end in seeds
        ]
    path = between.interpolate(model, ends[0], ends[1], frames, points=points, seed=seed)
    path.save(out)
    return path


def mesh(
    source: Path,
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
    **options: Any,
) -> dict[str, Any]:
    """Clouds to closed meshes in ``out``, each with its report; goes on where it stopped.

    ``frames`` is a data set that gives sizes; unit, size and up are those of
    :class:`pcgen.reconstruct.export.Export`; colour: ``plain``, ``height`` or ``normal``;
    ``options`` are those of :class:`pcgen.reconstruct.methods.MeshSettings`: method, faces,
    thickness, resolution.
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
    at = None if frames is None else local_folder(frames)
    clouds = named_clouds(source, at, latents=settings.by_field)
    if settings.by_field:  # only a field needs torch
        from pcgen.model.meshing import with_surfaces

        clouds = with_surfaces(clouds)
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
    """The metrics of the field for samples or runs, with ceiling and novelty beside them.

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
    """A page in ``out`` that shows a run, samples, a data set or meshes, and opens from disk.

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
    budget_minutes: float = 9.0,
    count: int = 24,
    preset: str = "cpu-small",
    seed: int = 0,
) -> dict[str, Any]:
    """The whole way on the starter data: prepare, train, sample, mesh, evaluate, gallery."""
    from pcgen.gallery import contact_sheet
    from pcgen.reconstruct import MESH_POINTS

    data, run = out / "data", out / "run"
    prepare("starter", data)
    train(data, run, preset=preset, categories=[category], budget_minutes=budget_minutes, seed=seed)
    samples = sample(run, out / "samples.npz", count=count, seed=seed)
    interpolate(run, out / "interpolation.npz", frames=12, seeds=(seed, seed + 1))
    # The same shapes with more points: a mesh gets better, and a run draws as many as wanted.
    sample(run, out / "dense.npz", count=count, points=MESH_POINTS, seed=seed)
    meshes = mesh(out / "dense.npz", out / "meshes", formats=("glb", "stl"), workers=2)
    report = evaluate(
        [run], data, categories=[category], out=out / "report.json", page=out / "report.html"
    )
    sheet = contact_sheet(samples, data, out / "sheet.png")
    page = gallery(
        run,
        out / "gallery",
        count=count,
        meshes=out / "meshes",
        interpolation=out / "interpolation.npz",
        seed=seed,
        title=f"New shapes: {category}",
    )
    return {
        "gallery": str(page["page"]),
        "sheet": str(sheet),
        "meshes": str(out / "meshes"),
        "report": str(out / "report.html"),
        "samples": str(out / "samples.npz"),
        "run": str(run),
        "watertight": meshes["summary"]["watertight"],
        "count": count,
        "evaluation": report,
    }
