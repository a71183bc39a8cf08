"""Rows of coverage, and what becomes of them when something new is said of a range."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

JOIN_SECONDS = 900  # neighbours of one run become one row, which has the age of the older, if they are no further apart


class Row(NamedTuple):
    """``[start, end)`` is in a state since a run. ``verified``: when its reading began, in seconds since 1970."""

    start: int
    end: int
    state: int
    run: int
    verified: int


def replace(near: Iterable[Row], row: Row) -> tuple[list[Row], list[Row]]:
    """The rows that go, and those that come, when ``row`` is laid over its neighbours ``near``, which ascend."""
    gone, made = [], []
    for other in near:
        if other.end < row.start or other.start > row.end:
            continue
        if _joins(row, other):
            gone.append(other)
            row = row._replace(
                start=min(row.start, other.start),
                end=max(row.end, other.end),
                verified=min(row.verified, other.verified),
            )
        elif other.start < row.end and row.start < other.end:
            gone.append(other)
            if other.start < row.start:
                made.append(other._replace(end=row.start))
            if other.end > row.end:
                made.append(other._replace(start=row.end))
    return gone, sorted([*made, row])


def _joins(row: Row, other: Row) -> bool:
    """Whether the two, which touch, can be one row without any of it looking younger than it is."""
    return (row.state, row.run) == (other.state, other.run) and abs(row.verified - other.verified) <= JOIN_SECONDS
