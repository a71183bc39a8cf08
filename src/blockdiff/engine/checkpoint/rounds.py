"""Work in rounds, so that there are moments at which nothing is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff._fast import split_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockdiff._fast import Extents
    from blockdiff.engine.checkpoint.keeper import Keeper


def rounds(plan: Iterable[Extents], size: int, keeper: Keeper | None) -> Iterator[Iterable[Extents]]:
    """A plan in rounds: after each of them it is time to save, and nothing is under way."""
    if keeper is None:
        yield plan
        return
    pieces = (piece for batch in plan for piece in split_plan(batch, size))
    for first in pieces:
        yield _until_due(first, pieces, keeper)


def _until_due(first: Extents, rest: Iterator[Extents], keeper: Keeper) -> Iterator[Extents]:
    yield first
    while not keeper.due:
        piece = next(rest, None)
        if piece is None:
            return
        yield piece
