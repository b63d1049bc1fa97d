"""Compute set metrics for generated shapes from any source.

SAMPLES is a file of clouds (.npz, .npy, .pt with tensors, .ply, .xyz, .pcd), a folder of them, or a
run, from which shapes are sampled. Several entries are evaluated separately and shown side by side.
Arrays are (N, P, 3), or (P, 3) for one cloud per file.

The reference is a data set from "pcgen prepare", or ShapeNetCore.v2.PC15k or DPM's HDF5 file as
published (with --category chair, or the folder of one synset), or clouds in any of the formats
above; then --training names the shapes that the generator was trained on.

Every metric (a fraction in the JSON) comes with its standard deviation over sampling seeds, the
noise to expect at this set size, and the ceiling: the same metric for real training shapes scored
as if they were generated. 1-NNA is best at 0.5. Novelty is reported too, because a method that
copies its training set scores at the ceiling. Shapes are as new as real unseen ones if their replay
rate is no higher than that of the test shapes and their novelty ratio is at least 0.9. Novelty is
measured in two frames: that of the protocol (for most, the bounding box of each shape), and a
proportion-free one, which stretches each axis to the full box, so that a training shape with other
proportions is not new. In both, mirror images of training shapes in x count as training shapes. The
JSON has the first as novelty_ratio, replay_rate and replay_rate_test, the second under the same
names with _proportion_free, and both, with the nearest training shape of each sample, as novelty.

protocols (frame, reference split, points):
  box        each cloud in its own box [-1, 1]; any --split and --points
  pointflow  original units (denormalised), split val, 2048 points after the first two thirds
  lion-box   each cloud in its own box, longest side 1, split val, 2048 points
  dpm        each cloud in its own box [-1, 1], split test, the first 2048 points
  raw        the clouds as they are
A fixed protocol with another split or number of points is reported as "custom". pointflow expects
samples in original units; samples that are still standardised, (x - mean) / std, need
--standardised.

EMD is off by default. The published tables use two annealed assignments, which are not comparable:
emd_pointflow (PointFlow, ShapeGF) and emd_pytorchemd (PVD, LION, PSF, TIGER, DiT-3D). emd_exact is
the exact assignment, a third metric. A pair of clouds of 2048 points takes about 0.4 ms for CD,
40 ms for an annealed EMD (compiled) and a second for the exact one. Two sets of 400 shapes have
320,000 pairs per seed, and as many again for the ceiling: on one core, these take 2 minutes,
3.6 hours or 4 days. Most papers correspond to --seeds 1. Progress shows the time left for each
table, and an interrupted evaluation resumes. Finished tables are cached by content; above 1 GB, the
least recently used ones are removed.

Three times as many samples as reference shapes make three disjoint sets, and so an honest standard
deviation; with fewer, or with one set, the command prints how the sets were chosen.

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

from pcgen.cli.arguments import add_device, add_work, location, names, natural, options, positive


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
        help="training data of the generator; the default is the training split of the reference",
    )
    parser.add_argument(
        "--protocol",
        default="box",
        choices=("box", "pointflow", "lion-box", "dpm", "raw"),
        help="how clouds are chosen and normalised",
    )
    parser.add_argument(
        "--split", help="split of the reference; the default is that of the protocol"
    )
    parser.add_argument("--points", type=positive, default=2048, help="points per cloud")
    parser.add_argument("--seeds", type=positive, default=3, help="number of sampling seeds")
    parser.add_argument("--seed", type=natural, default=0, help="the first sampling seed")
    parser.add_argument(
        "--steps", type=positive, default=1, help="evaluations of each flow, for runs"
    )
    parser.add_argument(
        "--category", dest="categories", type=names, metavar="A,B", help="only these categories"
    )
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
        help="denormalise samples by the mean and std of this data set's training shapes",
    )
    parser.add_argument("--out", type=Path, help="write the evaluation as JSON")
    parser.add_argument("--html", type=Path, help="write an HTML report that opens from disk")
    work = parser.add_argument_group("work")
    add_work(work, "one per core")
    add_device(work)
    work.add_argument(
        "--cache",
        type=Path,
        help="folder for finished tables; the default is the cache of the user",
    )
    work.add_argument("--no-cache", action="store_true", help="store no tables")


def run(args: argparse.Namespace) -> dict[str, Any]:
    import pcgen

    asked = options(args, pcgen.evaluate)
    asked["cache"] = None if args.no_cache else args.cache or "user"
    samples = args.samples if len(args.samples) > 1 else args.samples[0]
    score = pcgen.evaluate(samples, **asked, progress=not args.quiet)
    if args.out is not None:
        score.save(args.out)
    if args.html is not None:
        score.save_html(args.html, progress=not args.quiet)
    return score.summary()


def describe(result: dict[str, Any]) -> str:
    from pcgen.evaluate.report_text import table

    return table(result.get("runs", [result]))
