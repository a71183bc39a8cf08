"""What the file beside a checkpoint has of a comparison: what was found, and then the plan that it was found in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff._fast import Extents
from blockdiff.engine.checkpoint.planned import to_be_read
from blockdiff.engine.stream import concatenate
from blockdiff.engine.workers import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.engine.checkpoint.log import Log, Position

FOUND, UNREADABLE, PLAN = b"f", b"u", b"p"


def settled(log: Log, position: Position, begin: int) -> Iterator[tuple[list[Extents], Finding]]:
    """Batches of the plan, and of what in them was read what was found there; in order, from the byte ``begin`` on."""
    held: dict[bytes, list[Extents]] = {FOUND: [], UNREADABLE: [], PLAN: []}
    for tag, data in log.read(position, begin):
        if tag != PLAN and held[PLAN]:
            yield _group(held)
            held = {FOUND: [], UNREADABLE: [], PLAN: []}
        held[tag].append(Extents.from_buffer(data))
    if held[PLAN]:
        yield _group(held)


def _group(held: dict[bytes, list[Extents]]) -> tuple[list[Extents], Finding]:
    plan = held[PLAN]
    task = concatenate(to_be_read(batch) for batch in plan)
    return plan, Finding(task, concatenate(held[FOUND]), concatenate(held[UNREADABLE]))
