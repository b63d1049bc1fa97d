"""Every stage on a small set, in CPU seconds per unit, and what larger sets would take.

The units: a mesh prepared, a shape seen by a training step of each loop, a cloud encoded or
coupled, an atom fitted, a shape sampled, a cloud meshed, a pair of clouds compared. They are
measured by the project's own code at the sizes of --preset, on the seats of the starter data,
trained for a few steps: enough to time them, not to look at. The curves of
`tests.benchmarks.scaling` are measured too, or read from its --json output.

Then, for each target, the time, memory, storage and network of each stage by the formulas of
assets/scale.md, which this command computes anew. Time is core-time of the machine it runs on.

examples:
  python -m tests.benchmarks.scale
  python -m tests.benchmarks.scale --shapes 51300 --atoms 1000000 --processes 16
  python -m tests.benchmarks.scale --prepare-curve prepare.json --transport-curve transport.json
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from pcgen.cli import run_module
from pcgen.errors import InputError
from pcgen.files import parse_json, read_text
from tests.benchmarks import scaling, units
from tests.benchmarks.scaling import Power

SKETCH_BYTES = 24_000  # of a training shape, with points in 400 cells


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shapes", type=int, nargs="+", default=[51_300, 10_000_000], help="n")
    parser.add_argument("--atoms", type=int, default=10_000_000, help="N of the largest transport")
    parser.add_argument("--faces", type=int, default=20_480, help="of a mesh, on average")
    parser.add_argument("--points", type=int, default=15_000, help="stored of a shape")
    parser.add_argument("--epochs", type=int, default=25, help="times a loop sees each shape")
    parser.add_argument("--test", type=int, default=5_000, help="shapes evaluated, and generated")
    parser.add_argument("--processes", type=int, default=8, help="that train together")
    parser.add_argument("--preset", default="cpu-small", choices=("cpu-tiny", "cpu-small"))
    parser.add_argument("--prepare-curve", type=Path, help="of tests.benchmarks.scaling")
    parser.add_argument("--transport-curve", type=Path, help="likewise")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")


def run(args: argparse.Namespace) -> dict[str, Any]:
    import torch

    numbers = (*args.shapes, args.atoms, args.faces, args.points, args.epochs, args.test)
    if min(*numbers, args.processes) < 1:
        raise InputError("shapes, atoms, faces, points, epochs, test and processes are at least 1")
    torch.set_num_threads(1)
    prepare = (
        read_curve(args.prepare_curve, "prepare")
        if args.prepare_curve
        else scaling.prepare_curve((3, 4, 5, 6), (2048, 15_000), (25, 50, 100), args.seed)
    )
    transport = (
        read_curve(args.transport_curve, "transport")
        if args.transport_curve
        else scaling.transport_curve(
            (2048, 4096, 8192, 16384), (10_000, 100_000, 1_000_000), (64, 256), 0.02, args.seed
        )
    )
    measured = units.measure(args.preset, args.seed)
    targets = [
        plan(measured, prepare, transport, shapes=shapes, args=vars(args)) for shapes in args.shapes
    ]
    return {"units": measured, "prepare": prepare, "transport": transport, "targets": targets}


def read_curve(path: Path, kind: str) -> dict[str, Any]:
    """A curve that tests.benchmarks.scaling printed, checked before the units are measured.

    Args:
        kind: ``prepare`` or ``transport``.
    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    try:
        plain = parse_json(read_text(path).splitlines()[-1])
        if kind == "prepare":
            scaling.describe_prepare(plain)
            used = [*plain["mesh"], plain["bytes_per_shape"], plain["memory_per_face"]]
        else:
            scaling.describe_transport(plain)
            used = [*plain["score"], plain["overhead"], Power(**plain["samples"]).at(1e9)]
        if not all(math.isfinite(value) and value >= 0 for value in used):
            raise ValueError
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, AttributeError):
        raise InputError(
            f"{path} must hold the --json output of tests.benchmarks.scaling {kind}"
        ) from None
    return dict(plain)


def plan(
    units: dict[str, Any],
    prepare: dict[str, Any],
    transport: dict[str, Any],
    *,
    shapes: int,
    args: dict[str, Any],
) -> dict[str, Any]:
    """Time (core-seconds), memory (of a process), storage and network (bytes) of each stage."""
    from pcgen.distances.novelty import PART
    from pcgen.train.data import IN_MEMORY

    n, points, processes = shapes, args["points"], args["processes"]
    test, ring = min(args["test"], n), 2 * (processes - 1) / processes
    a, b, c = prepare["mesh"]
    # Float32 points and float16 normals; points of more than IN_MEMORY stay in the file, mapped.
    kept = 12.0 * n * units["cloud_points"] <= IN_MEMORY
    clouds = 18.0 * n * units["cloud_points"] if kept else 0.0
    rows: list[dict[str, Any]] = [
        {
            "stage": "prepare",
            "seconds": n * (a + b * args["faces"] + c * points),
            "memory": args["faces"] * prepare["memory_per_face"],
            "storage": n * (points * prepare["bytes_per_point"] + prepare["bytes_per_shape"]),
            "network": n * args["faces"] * prepare["bytes_per_face"],
        }
    ]
    for name, loop in units["loops"].items():
        steps = args["epochs"] * n / loop["batch"]
        # Weights, gradient, two moments, average; the saved state has no gradient.
        rows.append(
            {
                "stage": f"train {name}",
                "seconds": args["epochs"] * n * loop["seconds"],
                "memory": clouds + 20.0 * loop["weights"],
                "storage": 20.0 * loop["weights"],
                "network": ring * 4 * loop["weights"] * steps,
            }
        )
    several = dict.fromkeys((min(units["variants"] * n, args["atoms"]), args["atoms"]))
    rows += [_transport_row(units, transport, atoms, n, ring) for atoms in several]
    cloud = 2048 * 18.0
    rows += [
        {
            "stage": "train point couplings",
            "seconds": n * units["couple"],
            "memory": clouds + n * units["pair_points"] * 38.0,
            "storage": 0.0,
            "network": 8.0 * ring * n * units["pair_points"],
        },
        {"stage": "sample", "seconds": test * units["sample"], "storage": test * cloud},
        {"stage": "mesh", "seconds": test * units["mesh"]},
        {
            "stage": "evaluate: set metrics",
            "seconds": 2.0 * test**2 * units["compare"],
            "memory": 2 * test * 2048 * 12.0,
            "storage": 3 * test**2 * 8.0,
        },
        {
            "stage": "evaluate: novelty",
            # Generated and test shapes in two frames, mirror images too; a tenth is compared.
            "seconds": 0.1 * 8.0 * test * n * units["compare"],
            # Sketches, and lower bounds of all pairs.
            "memory": min(n, PART) * (SKETCH_BYTES + 8.0 * test),
            "storage": 4.0 * n * 2048 * 12.0,  # two draws in two frames
        },
    ]
    return {"shapes": n, "rows": [_complete(row) for row in rows]}


def _transport_row(
    units: dict[str, Any], transport: dict[str, Any], atoms: int, n: int, ring: float
) -> dict[str, Any]:
    (a, b), dim = transport["score"], units["latent_dim"]
    samples = Power(**transport["samples"]).at(atoms)
    return {
        "stage": f"base: map to {atoms:.3g} atoms",
        "seconds": n * units["encode"]
        + Power(**units["fit"]).at(atoms)
        + transport["overhead"] * samples * atoms * (a + b * dim),
        # Atoms three times over (given, centred in double, working) and six vectors of doubles.
        "memory": atoms * (16.0 * dim + 48.0),
        "storage": atoms * (8.0 * dim + 24.0),
        "network": ring * 8.0 * atoms * samples / 4096,
    }


def _complete(row: dict[str, Any]) -> dict[str, Any]:
    return {"memory": 0.0, "storage": 0.0, "network": 0.0} | row


def describe(result: dict[str, Any]) -> str:
    lines = [scaling.describe_prepare(result["prepare"]), ""]
    lines += [scaling.describe_transport(result["transport"]), "", _units(result["units"])]
    for target in result["targets"]:
        lines += ["", f"{target['shapes']:,} shapes"]
        head = f"{'stage':<28}{'core-time':>13}{'memory':>12}{'storage':>12}{'network':>12}"
        lines.append(head + "   (memory and network: of a process)")
        for row in target["rows"]:
            sizes = [
                scaling.size(row[k]) if row[k] else "" for k in ("memory", "storage", "network")
            ]
            lines.append(
                f"{row['stage']:<28}{scaling.seconds(row['seconds']):>13}"
                + "".join(f"{size:>12}" for size in sizes)
            )
    return "\n".join(lines)


def _units(units: dict[str, Any]) -> str:
    lines = [f"units at the sizes of {units['preset']}, latents of {units['latent_dim']} numbers"]
    lines += [
        f"  {name:<22}{1e3 * loop['seconds']:>9.2f} ms a shape and step, batches of "
        f"{loop['batch']}, {loop['weights']:,} weights"
        for name, loop in units["loops"].items()
    ]
    names = ("encode", "couple", "sample", "mesh", "compare")
    lines += [f"  {name:<22}{1e3 * units[name]:>9.2f} ms" for name in names]
    lines.append(f"  fitting the base of n atoms: {Power(**units['fit'])} s")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(
        run_module(sys.modules[__name__], "python -m tests.benchmarks.scale", sys.argv[1:])
    )
