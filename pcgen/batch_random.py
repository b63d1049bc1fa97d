"""Random numbers for a whole batch of which this process computes some rows.

A batch is the same however many processes share it: each draws the numbers of all rows from one
generator and keeps those of its own rows. Code that draws for rows uses both functions; with a
plain generator the rows at hand are the whole batch::

    t = mine(torch.rand(whole(len(x), generator), generator=generator), generator)
"""

from __future__ import annotations

from torch import Generator, Tensor


class BatchGenerator(Generator):
    """A generator that knows which rows of a batch are computed here.

    Attributes:
        batch: rows in all; 0 where no batch is shared.
        rows: those computed here.
    """

    batch: int = 0
    rows: slice = slice(None)


def whole(count: int, generator: Generator) -> int:
    """How many rows to draw for, where ``count`` are computed here."""
    return getattr(generator, "batch", 0) or count


def mine(drawn: Tensor, generator: Generator) -> Tensor:
    """The rows computed here of what was drawn for all."""
    return drawn[getattr(generator, "rows", slice(None))]
