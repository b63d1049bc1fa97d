"""Judge generated shapes by the metrics of the field, whatever made them.

SAMPLES is a file of clouds (.npz, .npy, .pt with tensors, .ply, .xyz, .pcd), a folder of them,
or a run, which draws its own samples. Several are judged alone and shown side by side. Arrays are
(N, P, 3), or (P, 3) for one cloud a file.

The reference is a data set that "pcgen prepare" made, ShapeNetCore.v2.PC15k or DPM's HDF5 as they
were published (with --category chair, or the synset's folder alone), or clouds of any of the
kinds above; then --training names those that the generator learned from.

Every figure (a fraction in the JSON) comes with its sd over sampling seeds, the noise to expect at
this set size, and the ceiling: the same figure for real training shapes scored as if generated.
1-NNA is best at 0.5. Novelty stands beside it, because a method that replays its training set
scores at the ceiling: a generator is as new as nature when its replay rate is no higher than the
test shapes' and its ratio at least 0.9. It is judged in two frames: the protocol's, which is each
shape's box for most, and proportion-free, where each axis is stretched to the full box, so that a
training shape in other proportions is no new shape. In both, mirror images of the training shapes
in x count as training shapes. The JSON has the first under novelty_ratio, replay_rate and
replay_rate_test, the second under the same names with _proportion_free, and both, with the training
shape nearest to each sample, under novelty.

protocols (frame, reference split, points):
  box        each cloud in its own box [-1, 1]; --split and --points as you like
  pointflow  own units (denormalised), split val, 2048 points after the first two thirds
  lion-box   each cloud in its own box, longest side 1, split val, 2048 points
  dpm        each cloud in its own box [-1, 1], split test, the first 2048 points
  raw        the clouds as they are
A fixed protocol with another split or number of points is reported as "custom". pointflow expects
samples in the shapes' own units; those of a model trained on (x - mean) / std that were not taken
back need --standardised.

EMD is off by default. The published tables use two annealed assignments that are not comparable:
emd_pointflow (PointFlow, ShapeGF) and emd_pytorchemd (PVD, LION, PSF, TIGER, DiT-3D); emd_exact
is the exact assignment, a third figure. A pair of 2048-point clouds costs about 0.4 ms for CD,
40 ms for the annealed ones (compiled) and a second for the exact one. Two sets of 400 shapes are
320,000 pairs a seed, and as many again for the ceiling: on one core 2 minutes, 3.6 hours or 4 days
each; --seeds 1 is what most papers do. Progress says the time left of each table, and a killed
evaluation goes on where it was. Tables are kept by content in the cache; when they pass 1 GB,
those used longest ago go.

As many samples as three times the reference make three disjoint sets and so an honest sd; with
fewer, or one set, the rule that was followed is printed.

examples:
  pcgen evaluate runs/chairs --reference data/chairs --html report.html
  pcgen evaluate mine.npz theirs.npz --reference data/chairs --out report.json --html report.html
  pcgen evaluate samples/ --reference ShapeNetCore.v2.PC15k --category chair --protocol lion-box
  pcgen evaluate samples.pt --reference PC15k/03001627 --protocol pointflow --emd emd_pytorchemd
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pcgen.cli.arguments import add_device, add_work, location, names, natural, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("samples", nargs="+", type=Path, help="files or folders of clouds, or runs")
    parser.add_argument(
        "--reference",
        type=location,
        required=True,
        help="a data set (or its URL), PC15k, DPM's HDF5, or a file or folder of real clouds",
    )
    parser.add_argument(
        "--training",
        type=location,
        help="data set or clouds the generator learned from; else the reference's own split",
    )
    parser.add_argument(
        "--protocol",
        default="box",
        choices=("box", "pointflow", "lion-box", "dpm", "raw"),
        help="how clouds are chosen and normalised",
    )
    parser.add_argument("--split", help="split of the reference; else the protocol's")
    parser.add_argument("--points", type=positive, default=2048, help="points of a cloud")
    parser.add_argument("--seeds", type=positive, default=3, help="sampling seeds")
    parser.add_argument("--seed", type=natural, default=0, help="the first of them")
    parser.add_argument("--steps", type=positive, default=1, help="steps of each flow, for runs")
    parser.add_argument("--category", type=names, metavar="A,B", help="only these categories")
    parser.add_argument(
        "--emd", choices=("emd_pointflow", "emd_pytorchemd", "emd_exact"), help="add an EMD"
    )
    parser.add_argument(
        "--secondary", action="store_true", help="add density-aware CD and normal disagreement"
    )
    parser.add_argument(
        "--standardised",
        type=location,
        metavar="DATASET",
        help="samples are (x - mean) / std of this data set's training shapes: take them back",
    )
    parser.add_argument("--out", type=Path, help="write the evaluation as JSON")
    parser.add_argument("--html", type=Path, help="write a page that opens from disk")
    work = parser.add_argument_group("work")
    add_work(work, "one a core")
    work.add_argument(
        "--backend",
        default="auto",
        choices=("auto", "native", "kdtree", "keops", "pytorch3d", "dense"),
        help="for CD and its relatives; all agree to rounding",
    )
    add_device(work)
    work.add_argument("--cache", type=Path, help="folder for finished tables; else the user's")
    work.add_argument("--no-cache", action="store_true", help="keep no tables")


def run(args: argparse.Namespace) -> dict[str, Any]:
    import pcgen

    score = pcgen.evaluate(
        args.samples if len(args.samples) > 1 else args.samples[0],
        reference=args.reference,
        training=args.training,
        categories=args.category,
        protocol=args.protocol,
        split=args.split,
        points=args.points,
        seeds=args.seeds,
        seed=args.seed,
        steps=args.steps,
        emd=args.emd,
        secondary=args.secondary,
        standardised=args.standardised,
        workers=args.workers,
        ray=args.ray,
        backend=args.backend,
        device=args.device,
        cache=None if args.no_cache else args.cache or "user",
        progress=not args.quiet,
    )
    if args.out is not None:
        score.save(args.out)
    if args.html is not None:
        score.save_html(args.html, progress=not args.quiet)
    return score.summary()


def describe(result: dict[str, Any]) -> str:
    from pcgen.evaluate.report_text import table

    return table(result.get("runs", [result]))
