"""Compare autoencoders at equal processor time on unseen shapes.

Each is trained as by `pcgen train`, on training shapes and their children, with the same maps, loss
and batches, for the same processor time. Then shapes are encoded and decoded (by the mixture,
without a flow). Codes are refined, as those of a run are. All comparisons are proportion-free:

  unseen     Chamfer distance of a reconstructed test shape to an independent sampling of its
             surface, over that of two real samplings: median and 90 % quantile; 1 is perfect
  training   the same for training shapes; a value below `unseen` indicates memorisation
  children   novelty of decoded children over that of the children: below 1, decoding moves new
             shapes towards training shapes
  half-way   distance of decoded midpoints of neighbouring codes to the nearest real shape, over
             the same for decoded codes: near 1, interpolated codes decode to plausible shapes
  step       processor time of a training step in ms; encode, decode: likewise, per shape

All results are stored under --out, the table as autoencoder.json; finished trainings are not
repeated.

example:
  python -m tests.benchmarks.autoencoder datasets/ldraw --out runs/autoencoders --minutes 10
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcgen.cli import run_module
from pcgen.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from pcgen.children import Maps
    from pcgen.latent.autoencoder import Autoencoder
    from pcgen.shapes.store import Dataset
    from pcgen.train.stage import Context

    Clouds = NDArray[np.float32]

DEFAULT = "patches,tokens,basis-points"
POINTS = 2048
NOVELTY_POINTS = 512
MOST = 200
QUANTILE = 0.9
SHARES = {"children": 0.15, "autoencoder": 0.85}
"""Of the minutes of a training, for the maps of the first, which come before it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, help="made by pcgen prepare, with a test split")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--encoders", default=DEFAULT, help="names separated by commas, or all")
    parser.add_argument(
        "--minutes",
        type=float,
        default=4.0,
        help="training minutes per encoder, on one core or --threads",
    )
    parser.add_argument("--categories", help="names separated by commas; all by default")
    parser.add_argument("--preset", default="cpu-small", help="of pcgen train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="threads of torch; with one, steps are timed in processor time, not wall-clock time",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    from pcgen import checkpoint
    from pcgen.files import write_json
    from pcgen.latent.autoencoder import CODECS
    from pcgen.shapes.store import Dataset

    names = list(CODECS) if args.encoders == "all" else args.encoders.split(",")
    if not names or set(names) - set(CODECS):
        raise InputError(f"--encoders must be among {', '.join(CODECS)}, got {args.encoders!r}")
    dataset = Dataset.open(args.dataset)
    categories = sorted(args.categories.split(",")) if args.categories else None
    test = dataset.select(split="test", categories=categories)[:MOST]
    if len(test) < 3:
        raise InputError(f"{args.dataset} has {len(test)} test shapes; this benchmark needs 3")
    rows = []
    for name in names:
        context, model, maps = _train(args, name, dataset, args.out / names[0])
        if not len(maps):
            raise InputError(f"{args.dataset} has no two training shapes of a category to pair")
        weights = context.run.stage("autoencoder") / "weights.safetensors"
        steps = checkpoint.load(weights, checkpoint.WEIGHTS)[1]["step"]
        rows.append(
            {
                "encoder": name,
                "numbers": model.latent_dim,
                "steps": steps,
                "step_ms": 60_000 * args.minutes / steps,
                **_metrics(model, maps, dataset, test, context.clouds.rows.numpy(), args.seed),
            }
        )
    result = {
        "dataset": str(args.dataset), "minutes": args.minutes, "shapes": len(test), "rows": rows,
    }  # fmt: skip
    write_json(args.out / "autoencoder.json", result)
    return result


def describe(result: dict[str, Any]) -> str:
    lines = [
        f"{result['dataset']}: {result['shapes']} unseen shapes, {POINTS} points, "
        f"{result['minutes']:g} minutes of training each; proportion-free",
        f"{'autoencoder':<15}{'numbers':>8}{'steps':>8}{'unseen (90 %)':>16}{'training (90 %)':>18}"
        f"{'children':>10}{'half-way':>10}{'step ms':>9}{'encode':>8}{'decode':>8}",
    ]
    for row in result["rows"]:
        unseen, training = (
            f"{row[name]['median']:.2f} ({row[name]['quantile']:.2f})"
            for name in ("unseen", "training")
        )
        lines.append(
            f"{row['encoder']:<15}{row['numbers']:>8}{row['steps']:>8}{unseen:>16}{training:>18}"
            f"{row['children_kept']:>10.2f}{row['half_way']:>10.2f}{row['step_ms']:>9.1f}"
            f"{row['encode_ms']:>8.2f}{row['decode_ms']:>8.2f}"
        )
    return "\n".join(lines)


def _train(
    args: argparse.Namespace, encoder: str, dataset: Dataset, first: Path
) -> tuple[Context, Autoencoder, Maps]:
    """Train one, by the maps of the ``first`` run."""
    from pcgen import runtime
    from pcgen.train import autoencoder, children
    from pcgen.train.data import TrainingClouds
    from pcgen.train.latents import load_autoencoder
    from pcgen.train.loop import Trainer
    from pcgen.train.presets import preset
    from pcgen.train.run import Run, RunConfig
    from pcgen.train.stage import Context

    settings = preset(args.preset)
    sizes = dataclasses.replace(settings.autoencoder, encoder=encoder)
    if not 0 < args.minutes < 1e6:
        raise InputError(f"--minutes must be between 0 and a million, got {args.minutes}")

    class ByProcessor(Trainer):
        clock = staticmethod(time.process_time)

    categories = tuple(sorted(args.categories.split(","))) if args.categories else None
    config = RunConfig(
        dataset=str(args.dataset.resolve()),
        dataset_hash=dataset.content_hash,
        categories=categories or dataset.categories,
        conditional=False,
        preset=args.preset,
        seed=args.seed,
        threads=runtime.configure(args.threads),
        budget_minutes=args.minutes,
        settings=dataclasses.replace(settings, autoencoder=sizes),
    )
    made = Run.create(args.out / encoder, config)
    clouds = TrainingClouds.load(dataset, config.categories, "train", settings.cloud_points)
    trainer = ByProcessor if config.threads == 1 else Trainer
    context = Context(made, clouds, trainer=trainer, shares={autoencoder.STAGE: 1.0})
    known, folder = first / children.STAGE, made.stage(children.STAGE)
    if known != folder and not made.finished(children.STAGE):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(known, folder, ignore=shutil.ignore_patterns("done.json", ".lock"))
        shutil.copy(known / "done.json", folder)  # the last: then all is there
    if not made.finished(children.STAGE):
        paired = dataclasses.replace(context, shares=SHARES)
        made.mark_finished(children.STAGE, children.train(paired))
    autoencoder.train(context)
    return context, load_autoencoder(context), children.load_maps(context)


def _metrics(
    model: Autoencoder,
    maps: Maps,
    dataset: Dataset,
    test: NDArray[np.int64],
    training: NDArray[np.int64],
    seed: int,
) -> dict[str, Any]:
    """The metrics of a trained autoencoder, on rows ``test`` and ``training`` of a data set."""
    import numpy as np
    import torch

    from pcgen.distances.novelty import NoveltyIndex, nearest_training
    from pcgen.distances.tables import Work
    from pcgen.shapes.normalise import proportion_free

    draw, work = torch.Generator().manual_seed(seed), Work()
    z, encode_ms = _timed(lambda: _codes(model, dataset.points(test, POINTS, part="first")))
    rebuilt, decode_ms = _timed(lambda: _decoded(model, z, draw))
    # Of the training shapes as many, evenly over all.
    some = training[np.linspace(0, len(training) - 1, min(MOST, len(training))).astype(int)]
    seen = _codes(model, dataset.points(some, POINTS, part="first"))

    neighbour = torch.cdist(z, z).fill_diagonal_(torch.inf).argmin(1)
    between = _decoded(model, (z + z[neighbour]) / 2, draw)
    every = np.concatenate([test, training])
    real = proportion_free(dataset.points(every, POINTS, part="last"))
    to_real = [
        float(np.median(nearest_training(proportion_free(clouds), real, work).distance))
        for clouds in (between, rebuilt)
    ]

    # Shapes at which a map begins; children of others would be copies.
    parents = maps.pairing.pair[torch.arange(MOST) % max(1, len(maps)), 0]
    settings, count = dataclasses.replace(maps.settings, copies=0.0), min(POINTS, maps.to.shape[1])
    children = maps.of_shapes(parents, count, draw, settings).points.numpy()
    index = NoveltyIndex(
        dataset.points(training, NOVELTY_POINTS, part="last"),
        real=dataset.points(test, NOVELTY_POINTS, part="last"),
        frames={"proportion_free": proportion_free},
        work=work,
    )
    novelty, decoded = (
        index.of(clouds[:, :NOVELTY_POINTS])["proportion_free"].novelty_ratio or 0.0
        for clouds in (children, _decoded(model, _codes(model, children), draw))
    )
    return {
        "unseen": _ratios(dataset, test, rebuilt, work),
        "training": _ratios(dataset, some, _decoded(model, seen, draw), work),
        "children_novelty": novelty,
        "children_kept": decoded / max(novelty, 1e-12),
        "half_way": to_real[0] / to_real[1],
        "encode_ms": encode_ms / len(test),
        "decode_ms": decode_ms / len(test),
    }


def _ratios(
    dataset: Dataset, rows: NDArray[np.int64], rebuilt: Clouds, work: Any
) -> dict[str, float]:
    """Errors of reconstructions relative to two samplings: median and quantile."""
    import numpy as np

    from pcgen.distances.novelty import two_draw_distances
    from pcgen.shapes.normalise import proportion_free

    first, again = (
        proportion_free(dataset.points(rows, POINTS, part=part)) for part in ("first", "last")
    )
    apart = two_draw_distances(proportion_free(rebuilt), again, work)
    ratio = apart / np.maximum(two_draw_distances(first, again, work), 1e-12)
    return {"median": float(np.median(ratio)), "quantile": float(np.quantile(ratio, QUANTILE))}


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """A result, and its processor time in ms."""
    begun = time.process_time()
    return work(), 1000 * (time.process_time() - begun)


def _codes(model: Autoencoder, clouds: Clouds) -> Tensor:
    import torch

    with torch.no_grad():
        parts = torch.from_numpy(clouds).float().split(32)
        return torch.cat([model.refined(part) for part in parts])


def _decoded(model: Autoencoder, z: Tensor, draw: Any) -> Clouds:
    import torch

    with torch.no_grad():
        drawn = [model.draw_base(part, POINTS, draw)[1].points for part in z.split(32)]
    return torch.cat(drawn).numpy()


if __name__ == "__main__":
    raise SystemExit(
        run_module(sys.modules[__name__], "python -m tests.benchmarks.autoencoder", sys.argv[1:])
    )
