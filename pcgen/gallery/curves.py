"""The learning curves of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from pcgen.files import parse_json

Curves = Mapping[str, Sequence[tuple[float, float]]]


def read_curves(run: Path | str) -> dict[str, list[tuple[float, float]]]:
    """The loss of each stage of a run: (step, loss) pairs from every ``metrics.jsonl``.

    Stages are sorted by the time of their last change. Unreadable lines, such as a partial last
    one, are ignored.
    """
    files = sorted(Path(run).rglob("metrics.jsonl"), key=lambda path: (path.stat().st_mtime, path))
    curves = {}
    for path in files:
        pairs = []
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = parse_json(line)
                step, loss = float(entry["step"]), float(entry["loss"])
            except (ValueError, KeyError, TypeError):
                continue
            if math.isfinite(step) and math.isfinite(loss):
                pairs.append((step, loss))
        if len(pairs) > 1:
            curves[path.parent.relative_to(run).as_posix()] = pairs
    return curves
