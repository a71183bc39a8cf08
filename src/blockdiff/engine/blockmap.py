"""Where in a volume what was found: the bytes of each state in at most a few thousand cells of one size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff._fast import (
    SEG_COMPARE,
    SEG_DST_HOLE,
    SEG_MARK,
    SEG_SKIP_DIGEST,
    SEG_SKIP_HOLE,
    SEG_SKIP_SHARED,
    SEG_SRC_HOLE,
    Tally,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from blockdiff._fast import Extents

MAX_CELLS = 4096
STATES = ("equal", "zero", "hole", "changed", "bad")
UNVERIFIED = "unverified"  # what is in none of the states
_EQUAL, _ZERO, _HOLE, _CHANGED, _BAD = range(len(STATES))


def table(states: Mapping[int, int]) -> bytes:
    """A table for Tally: the state of each kind, and nothing for the others."""
    return bytes(states.get(kind, 255) for kind in range(256))


def _with_mark(states: Mapping[int, int]) -> bytes:
    return table({kind | mark: state for kind, state in states.items() for mark in (0, SEG_MARK)})


_KNOWN = _with_mark({SEG_SKIP_HOLE: _HOLE, SEG_SKIP_SHARED: _EQUAL, SEG_SKIP_DIGEST: _EQUAL})
_READ = _with_mark({SEG_COMPARE: _EQUAL, SEG_SRC_HOLE: _ZERO, SEG_DST_HOLE: _ZERO})
_ALL_CHANGED = bytes([_CHANGED]) * 256


def cell_size(size: int, least: int) -> int:
    """The bytes of a cell, so that ``size`` has at most MAX_CELLS of them: ``least``, doubled as often as needed."""
    cell = max(1, least)
    while size > cell * MAX_CELLS:
        cell *= 2
    return cell


class BlockMap:
    """The map of a comparison. What nobody compared, or knows to be equal, is ``unverified``: that is how all begins.

    ``equal`` was read on both sides, or is known to be equal; ``zero`` is a hole on one side and was read as zeroes on
    the other; ``hole`` reads as zeroes on both and was not read; ``changed`` differs; ``bad`` could not be read.
    """

    def __init__(self, size: int, granularity: int) -> None:
        self._tally = Tally(size, cell_size(size, granularity), len(STATES))

    def known(self, plan: Extents) -> None:
        """Books what a plan need not read."""
        self._tally.book(plan, _KNOWN)

    def settle(self, task: Extents, found: Extents, unreadable: Extents) -> None:
        """Books a part of the plan that was read: the ranges that differ, those that failed, and the equal rest."""
        self._tally.book(task, _READ)
        self._tally.move(task, found, _READ, _CHANGED)
        self._tally.move(task, unreadable, _READ, _BAD)

    def tail(self, found: Extents) -> None:
        """Books what only the longer device has."""
        self._tally.book(found, _ALL_CHANGED)

    def confirm(self, batches: Iterable[Extents]) -> None:
        """Only these are changed after all; what else was is ``unverified``: it gave different answers."""
        self._tally.clear(_CHANGED)
        for batch in batches:
            self._tally.book(batch, _ALL_CHANGED)

    def to_dict(self) -> dict[str, Any]:
        """The report's JSON form: neighbouring cells with the same counts are one run."""
        runs = []
        tally, at = self._tally, 0
        for cells, counts in tally.runs():
            last = tally.size - (at + cells - 1) * tally.cell  # of the whole, the last cell may be smaller
            if cells > 1 and last < tally.cell:
                runs += [_run(cells - 1, tally.cell, counts), _run(1, last, counts)]
            else:
                runs.append(_run(cells, min(last, tally.cell), counts))
            at += cells
        return {"size": tally.size, "cell_bytes": tally.cell, "cells": tally.cells, "runs": runs}


def _run(cells: int, size: int, counts: tuple[int, ...]) -> dict[str, int]:
    """The bytes of each state in each cell of a run; states without any are left out."""
    named = {**dict(zip(STATES, counts, strict=True)), UNVERIFIED: size - sum(counts)}
    return {"cells": cells, **{name: count for name, count in named.items() if count}}
