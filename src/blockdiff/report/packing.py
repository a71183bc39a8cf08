"""Ranges and maps in few bytes: delta varints, deflated, in base64; a page unpacks them.

A blob is the deflated columns, one behind the other, each a run of varints (seven bits a byte, least significant
first) unless said: the map's runs (the number of cells, then the bytes of each state in each of them), the gaps
before the ranges, their lengths, their kinds (a byte each), and the same three for unreadable ranges.
"""

from __future__ import annotations

import base64
import zlib
from array import array
from typing import TYPE_CHECKING, Any

from blockdiff._fast import Extents, pack_extents
from blockdiff.report.told import block_map

if TYPE_CHECKING:
    from blockdiff.report.facts import Facts, MapFacts
    from blockdiff.report.reading import Run

SIDES = {"source": 1, "target": 2, "both": 3}


def pack(run: Run) -> dict[str, Any]:
    """A run's map and ranges as a page wants them."""
    columns: list[bytes] = []
    value = block_map(run)
    columns.append(b"" if value is None else _map_column(value))
    ranges = _columns(run.listed.batches, run.size, columns)
    bad = _columns([_unreadable(run.facts)], run.size, columns)
    blob = base64.b64encode(zlib.compress(b"".join(columns), 6)).decode()
    return {
        "map": None if value is None else {"cell": value.cell_bytes, "cells": value.cells, "runs": len(value.runs)},
        "ranges": {**ranges, "listed": run.listed.count, "all": run.lists_all},
        "bad": {**bad, "all": sum(item.length for item in run.facts.unreadable) == run.facts.unreadable_bytes},
        "sizes": [len(column) for column in columns],
        "blob": blob,
    }


def _columns(batches: list[Extents], size: int, columns: list[bytes]) -> dict[str, int]:
    """Adds gaps, lengths and kinds; says how many they are, their unit, and what the last one is shorter by."""
    unit = _unit(batches, size)
    after = 0
    parts: tuple[list[bytes], ...] = ([], [], [])
    for batch in batches:
        for part, column in zip(parts, pack_extents(batch, after, unit), strict=True):
            part.append(column)
        after = batch.end if len(batch) else after
    columns.extend(b"".join(part) for part in parts)
    return {"count": sum(map(len, batches)), "unit": unit, "trim": -after % unit}


def _unit(batches: list[Extents], size: int) -> int:
    """The largest power of two that divides all boundaries, but the end of the last range where the volume ends."""
    filled = [batch for batch in batches if len(batch)]
    units = [batch.granularity(limit=size if batch is filled[-1] else None) for batch in filled]
    starts = [1 << 30, *(_power(batch.start) for batch in filled)]
    return min([_power(unit) for unit in units] + starts)


def _power(value: int) -> int:
    return value & -value or 1 << 30


def _unreadable(facts: Facts) -> Extents:
    items = facts.unreadable
    kinds = bytes(SIDES[item.side] for item in items)
    return Extents.from_arrays(
        array("q", [item.offset for item in items]), array("q", [item.length for item in items]), kinds
    )


def _map_column(value: MapFacts) -> bytes:
    out = bytearray()
    for run in value.runs:
        for number in (run.cells, *run.counts()):
            _varint(out, number)
    return bytes(out)


def _varint(out: bytearray, value: int) -> None:
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
