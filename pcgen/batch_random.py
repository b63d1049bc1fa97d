"""Random numbers for a whole batch, of which this process computes some rows.

A batch does not depend on how many processes share it: each draws the numbers of all rows from one
generator and keeps those of its own rows. Code that draws for rows uses both functions; with a
plain generator the given rows are the whole batch::

    t = mine(torch.rand(whole(len(x), generator), generator=generator), generator)
"""

from __future__ import annotations

from torch import Generator, Tensor


class BatchGenerator(Generator):
    """A generator that knows which rows of a batch this process computes.

    Attributes:
        batch: total number of rows; 0 if no batch is shared.
        rows: the rows computed here.
    """

    batch: int = 0
    rows: slice = slice(None)


def whole(count: int, generator: Generator) -> int:
    """The number of rows to draw for, if ``count`` are computed here."""
    return getattr(generator, "batch", 0) or count


def mine(drawn: Tensor, generator: Generator) -> Tensor:
    """The rows computed here, from what was drawn for all."""
    return drawn[getattr(generator, "rows", slice(None))]
