"""Encoder architectures at equal training time, judged on shapes that none of them saw.

Each encoder is trained with the same decoder, loss and batches, for the same minutes on this
machine; the table says how many steps that bought. Then the test split is encoded and decoded
(the mixture alone, before any flow) and compared with an independent sampling of each surface:

  CD ratio     Chamfer distance over that of two real samplings of the surface; 1 is perfect
  F 1 %        F-score within 1 % of the longest side; `floor` is that of two real samplings
  holes, strays  share of the surface, and of the reconstruction, farther from the other than 99 %
               of the points of a real cloud: 0.010 is what a real cloud shows
  resampled    distance of the codes of two samplings of a shape, over the distance to the code of
               the nearest other shape; small is robust. `noisy`: one of them moved by 0.01
  half-way     distance of decoded midpoints of two neighbouring codes to the nearest real shape,
               over the same for decoded codes: near 1, the way between two shapes is whole shapes

Everything is kept under --out: what is trained already is not trained again.

example:
  pcgen bench autoencoder datasets/ldraw --out runs/encoders --minutes 4 --threads 1
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcgen.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from pcgen.latent.autoencoder import Autoencoder
    from pcgen.shapes.store import Dataset

    Clouds = NDArray[np.float32]

POINTS = 2048
NOISE = 0.01
MOST = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, help="made by pcgen prepare, with a test split")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--encoders", default="all", help="names separated by commas, or all")
    parser.add_argument("--minutes", type=float, default=4.0, help="of training, for each")
    parser.add_argument("--categories", help="names separated by commas; all by default")
    parser.add_argument("--preset", default="cpu-small", help="of pcgen train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of torch; all cores by default")


def run(args: argparse.Namespace) -> dict[str, Any]:
    from pcgen.latent.encoder import ENCODERS
    from pcgen.shapes.store import Dataset

    names = list(ENCODERS) if args.encoders == "all" else args.encoders.split(",")
    if not names or set(names) - set(ENCODERS):
        raise InputError(f"--encoders must be among {', '.join(ENCODERS)}, got {args.encoders!r}")
    dataset = Dataset.open(args.dataset)
    rows = []
    for name in names:
        folder, model = _train(args, name, dataset)
        steps = json.loads((folder / "plan.json").read_text(encoding="utf-8"))["steps"]
        rows.append({"encoder": name, "steps": steps, **_judged(model, dataset, args)})
    return {"dataset": str(args.dataset), "minutes": args.minutes, "rows": rows}


def describe(result: dict[str, Any]) -> str:
    floor = result["rows"][0]["f_floor"]
    lines = [
        f"{result['dataset']}: {result['rows'][0]['shapes']} unseen shapes, {POINTS} points, "
        f"{result['minutes']:g} minutes of training each; F-score floor {floor:.3f}",
        f"{'encoder':<15}{'steps':>8}{'CD ratio':>10}{'F 1 %':>8}{'holes':>8}{'strays':>8}"
        f"{'resampled':>11}{'noisy':>8}{'half-way':>10}",
    ]
    lines += [
        f"{row['encoder']:<15}{row['steps']:>8}{row['cd_ratio']:>10.2f}{row['f']:>8.3f}"
        f"{row['holes']:>8.3f}{row['strays']:>8.3f}{row['resampled']:>11.3f}"
        f"{row['noisy']:>8.3f}{row['half_way']:>10.2f}"
        for row in result["rows"]
    ]
    return "\n".join(lines)


def _train(args: argparse.Namespace, encoder: str, dataset: Dataset) -> tuple[Path, Autoencoder]:
    from pcgen import runtime
    from pcgen.train import autoencoder
    from pcgen.train.budget import SHARES, check_budget
    from pcgen.train.data import TrainingClouds
    from pcgen.train.latents import load_autoencoder
    from pcgen.train.presets import preset
    from pcgen.train.run import Run, RunConfig
    from pcgen.train.stage import Context

    settings = preset(args.preset)
    sizes = dataclasses.replace(settings.autoencoder, encoder=encoder)
    minutes = args.minutes / SHARES[autoencoder.STAGE]
    check_budget(minutes)
    categories = tuple(sorted(args.categories.split(","))) if args.categories else None
    config = RunConfig(
        dataset=str(args.dataset.resolve()),
        dataset_hash=dataset.content_hash,
        categories=categories or dataset.categories,
        conditional=False,
        preset=args.preset,
        seed=args.seed,
        threads=runtime.configure(args.threads),
        budget_minutes=minutes,
        settings=dataclasses.replace(settings, autoencoder=sizes),
    )
    made = Run.create(args.out / encoder, config)
    clouds = TrainingClouds.load(dataset, config.categories, "train", settings.cloud_points)
    context = Context(made, clouds)
    autoencoder.train(context)
    return made.stage(autoencoder.STAGE), load_autoencoder(context)


def _judged(model: Autoencoder, dataset: Dataset, args: argparse.Namespace) -> dict[str, Any]:
    import numpy as np
    import torch

    from pcgen.evaluate.matrix import Work
    from pcgen.evaluate.novelty import nearest_training
    from pcgen.evaluate.reconstruction import reconstruction_quality

    categories = args.categories.split(",") if args.categories else None
    test = dataset.select(split="test", categories=categories)[:MOST]
    if len(test) < 3:
        raise InputError(f"{args.dataset} has {len(test)} test shapes; this benchmark needs 3")
    seen = dataset.points(test, POINTS, part="first")
    again = dataset.points(test, POINTS, part="last")
    draw = torch.Generator().manual_seed(args.seed)
    z, other = (_codes(model, clouds) for clouds in (seen, again))
    noise = NOISE * torch.randn(again.shape, generator=draw).numpy().astype(np.float32)
    gaps = torch.cdist(z, z).fill_diagonal_(torch.inf)
    apart, neighbour = gaps.min(1)
    rebuilt, between = (_decoded(model, codes, draw) for codes in (z, (z + z[neighbour]) / 2))
    quality = reconstruction_quality(seen, again, rebuilt)
    training = dataset.select(split="train", categories=categories)
    real = np.concatenate([again, dataset.points(training, POINTS)])
    work = Work()
    to_real = [
        float(np.median(nearest_training(clouds, real, work).distance))
        for clouds in (between, rebuilt)
    ]
    return {
        "shapes": len(test),
        "cd_ratio": quality["cd_ratio"],
        "f": quality["f_score"]["mean"],
        "f_floor": quality["f_score"]["floor"],
        "holes": quality["holes"],
        "strays": quality["outliers"],
        "resampled": float(((z - other).norm(dim=1) / apart).median()),
        "noisy": float(((z - _codes(model, again + noise)).norm(dim=1) / apart).median()),
        "half_way": to_real[0] / to_real[1],
    }


def _codes(model: Autoencoder, clouds: Clouds) -> Tensor:
    import torch

    with torch.no_grad():
        parts = torch.from_numpy(clouds).float().split(32)
        return torch.cat([model.encode(part) for part in parts])


def _decoded(model: Autoencoder, z: Tensor, draw: Any) -> Clouds:
    import torch

    with torch.no_grad():
        drawn = [model.draw_base(part, POINTS, draw)[1].points for part in z.split(32)]
    return torch.cat(drawn).numpy()
