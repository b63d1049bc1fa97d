"""Solve semi-discrete optimal transport from a simple source to given atoms.

ATOMS is a .npy file of shape (N, dim), or a .npz file with an array "atoms" and optionally
"weights". The result is a .npz file with atoms, weights, potential (float64) and evidence (a JSON
string). The cell of atom i is where <atom_i, x> + potential_i is largest, and the optimal map sends
that cell to atom i. The source "gaussian" is N(0, I); "uniform" is the cube [-1/2, 1/2]^dim.

The method is exact where possible (atoms on a line; up to 50,000 atoms in 2D and 5,000 in 3D), else
stochastic. The evidence is measured on exact cells or fresh samples: chi2 of the cell masses
(unbiased), the largest and typical relative errors of the cells next to those of sampling noise
alone, the errors of the rarest atoms if they are larger, dead cells, the primal and dual transport
value, the number of samples, and why the solver stopped.

Under torchrun, several processes share the samples of the stochastic method. Its state is saved in
FILE.npz.state until it ends: the same command resumes from there, bit for bit.

Examples:
  pcgen transport latents.npy --out map.npz
  pcgen transport points2d.npy --out map.npz --source uniform --picture map.png
  pcgen transport latents.npy --out finer.npz --tolerance 0.002 --start map.npz
  torchrun --nproc_per_node 2 -m pcgen transport latents.npy --out map.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from pcgen.cli.arguments import add_device, natural, positive

    parser.add_argument("atoms", metavar="ATOMS", type=Path, help=".npy (N, dim), or .npz")
    parser.add_argument("--out", metavar="FILE.npz", type=Path, required=True, help="the result")
    parser.add_argument(
        "--source", choices=("gaussian", "uniform"), default="gaussian", help="see above"
    )
    parser.add_argument(
        "--weights",
        metavar="FILE.npy",
        type=Path,
        help="(N,), with sum 1; the default is equal weights",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.02,
        help="chi2 of the cell masses; for the stochastic method",
    )
    parser.add_argument(
        "--method",
        type=lambda name: "univariate" if name == "line" else name,  # the former name
        choices=("auto", "univariate", "newton", "semidual"),
        default="auto",
        help="see above",
    )
    parser.add_argument(
        "--max-samples",
        metavar="N",
        type=positive,
        help="largest number of samples; the default is 40 N / tolerance",
    )
    parser.add_argument(
        "--start", metavar="FILE.npz", type=Path, help="an earlier result to start from"
    )
    parser.add_argument(
        "--picture",
        metavar="FILE.png",
        type=Path,
        help="write a picture of the cells, for atoms in 2D",
    )
    parser.add_argument("--seed", type=natural, default=0, help="seed of all samples")
    add_device(parser, "cpu")


def run(args: argparse.Namespace) -> dict[str, Any]:
    from torch import Generator

    from pcgen import ot, processes
    from pcgen.cli.arguments import options
    from pcgen.errors import InputError
    from pcgen.transport.sources import source_named

    atoms, weights = _read(args.atoms)
    if args.weights is not None:
        weights = _read(args.weights)[0]
    if atoms.ndim != 2 or not atoms.shape[1]:
        raise InputError(f"{args.atoms} must hold an array (N, dim), got {atoms.shape}")
    if args.picture is not None and atoms.shape[1] != 2:
        raise InputError(f"--picture needs atoms in 2D, got dimension {atoms.shape[1]}")
    problem = ot.Problem(source_named(args.source, atoms.shape[1]), atoms, weights)
    solution = ot.solve(problem, **options(args, ot.solve), progress=not args.quiet)
    if args.picture is not None and processes.place().rank == 0:
        ot.plot(solution, args.picture, seed=args.seed)
    where = solution.problem.atoms.device
    generator = Generator(device=where).manual_seed(args.seed + 1)
    fresh = problem.source.sample(4096, generator)
    copies = problem.count - problem.distinct.count - int((problem.weights == 0).sum())
    return {
        "out": str(args.out),
        "picture": str(args.picture) if args.picture else None,
        "copies": copies,
        **solution.summary(),
        "extended": ot.ExtendedMap(solution)(fresh).statistics(),
    }


def describe(result: dict[str, Any]) -> str:
    """The evidence, a line each."""
    from pcgen.transport.evidence import REMEDIES, Status

    r = result
    reached = (
        "every cell has its mass" if r["status"] == "exact" else "tolerance reached, no dead cell"
    )
    why = REMEDIES.get(Status(r["status"]), reached)
    lines = [f"{r['atoms']} atoms in dimension {r['dim']}, source {r['source']}, {_method(r)}"]
    if r["copies"]:
        lines.append(f"copies       {r['copies']} atoms equal others: solved as one, summed")
    lines += [f"stopped      {r['status']}: {why}", *_masses(r)]
    extended = r["extended"]
    lines += [
        f"½|x-y|²      dual {r['dual']:.6g} ± {r['dual_error']:.2g}, "
        f"primal {r['primal']:.6g} ± {r['primal_error']:.2g}",
        f"extended map {extended['interpolated']:.1%} interpolated, {extended['replayed']:.1%} "
        f"replayed, {extended['rejected']:.1%} at the singular set",
    ]
    lines += [f"written      {path}" for path in (r["out"], r["picture"]) if path]
    return "\n".join(lines)


def _method(r: dict[str, Any]) -> str:
    if r["method"] == "univariate":
        return "method univariate: closed form"
    if r["method"] == "newton":
        return f"method newton: {r['steps']} steps"
    return f"method {r['method']}: {r['samples']} samples in {r['steps']} steps"


def _masses(r: dict[str, Any]) -> list[str]:
    """The errors of the cell masses: measured, or estimated on fresh samples."""
    errors = f"median {r['median']:.2g}, 95 % {r['q95']:.2g}, largest {r['worst']:.2g}"
    dead = f"dead cells   {r['dead']} of {r['cells']}"
    if r["method"] == "univariate":
        return [dead]
    if r["method"] == "newton":
        return [f"cell errors  {errors}, measured exactly  (tolerance {r['tolerance']:.3g})", dead]
    rare = []
    if r["rare"] > 2 * max(r["chi2"], r["tolerance"]) ** 0.5:  # twice as much as for equal weights
        rare = [f"rare atoms   error {r['rare']:.2g} of the rarest tenth, without sampling noise"]
    untested = f"; {r['untested']} untested" if r["untested"] else ""
    redrawn = f", leading coordinates drawn {r['redraws']} times" if r["redraws"] > 1 else ""
    searched = []
    if r["searched"]:
        redrawn = ""
        searched = [
            f"search       finds {r['recall']:.1%} of the cells; dead cells and cell errors are "
            f"from {r['searched']} searched samples, chi2 from others, scored in full"
        ]
    return [
        f"chi2         {r['chi2']:.3g} ± {r['chi2_error']:.2g}  (tolerance {r['tolerance']:.3g})",
        f"cell errors  {errors}; noise alone: median {r['noise']:.2g}",
        *rare,
        dead + untested,
        f"tested on    {r['tests']} fresh samples{redrawn}",
        *searched,
    ]


def _read(path: Path) -> tuple[Any, Any]:
    """The array of a .npy, or "atoms" and "weights" of a .npz; never unpickles."""
    from pcgen.errors import InputError
    from pcgen.shapes.arrays import read_npy, read_npz

    if path.suffix != ".npz":
        return read_npy(path), None
    arrays = read_npz(path)
    if "atoms" not in arrays:
        raise InputError(f"{path} has no array 'atoms'; it has {', '.join(sorted(arrays))}")
    return arrays["atoms"], arrays.get("weights")
