"""The contact sheet: all samples, each beside its nearest training shape."""

from __future__ import annotations

from pathlib import Path

from pcgen import progress, render
from pcgen.evaluate.neighbours import Neighbours
from pcgen.runfile import learned_from
from pcgen.shapes.samples import Samples
from pcgen.shapes.store import Dataset

PICTURE = 200  # pixels
COLUMNS = 6


def contact_sheet(samples: Samples, dataset: Path, out: Path) -> Path:
    """Write a picture of all samples in the order sampled, each beside its nearest training shape.

    The search is proportion-free and includes mirror images; the training shape is drawn in its own
    proportions. If the samples name their run, only its categories are searched.
    """
    learned = learned_from(Path(str(samples.meta.get("run", ""))))
    near = Neighbours(Dataset.open(dataset), categories=learned.categories if learned else ())
    pictures, captions = [], []
    for number, points in enumerate(progress.track(samples.points, "pictures", len(samples))):
        found = near.nearest(points)
        normals = None if samples.normals is None else samples.normals[number]
        left = render.cloud(points, normals, size=PICTURE)
        right = render.cloud(found.points, size=PICTURE, colour="training")
        pictures.append(render.pair(left, right))
        captions.append(f"sample {number} | nearest, CD {found.distance:.4f}\n{found.relation}")
    rows = range(0, len(pictures), COLUMNS)
    picture = render.sheet(
        [pictures[row : row + COLUMNS] for row in rows],
        [captions[row : row + COLUMNS] for row in rows],
        title="Samples in order, without selection, each beside the nearest training shape",
    )
    return render.save(picture, out)
