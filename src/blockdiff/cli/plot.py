"""A block map in a terminal: a character for each part of a volume, and a legend."""

from __future__ import annotations

import os
import shutil
import sys
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from blockdiff.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from blockdiff._fast import Tally
    from blockdiff.record import Record

ROWS = 24  # at most
WIDEST = 128
_LABEL = 12
_HEIGHTS = "▁▂▃▄▅▆▇█"


class State(NamedTuple):
    """How a state is drawn: where there is Unicode, where not, and the number of its colour."""

    name: str
    mark: str
    plain: str
    colour: int


# The worst first: a cell that holds several states is shown as the first of them.
FOUND = (
    State("bad", "✗", "X", 35),
    State("changed", "█", "#", 31),
    State("unverified", "?", "?", 33),
    State("equal", "░", "=", 34),
    State("zero", "▫", "0", 36),
    State("hole", "·", ".", 90),
)
ALLOCATED = (
    State("data", "█", "#", 34),
    State("zero", "░", "0", 36),
    State("hole", "·", ".", 90),
    State("not looked at", "?", "?", 33),
)


class Style(NamedTuple):
    """What the terminal can show. ``columns``: of the whole terminal."""

    unicode: bool
    colour: bool
    columns: int


def style_of(env: Mapping[str, str], *, terminal: bool, encoding: str) -> Style:
    """Unicode where the output's encoding has it; colours on a terminal that has some, unless NO_COLOR is set."""
    try:
        "".join([_HEIGHTS, *(state.mark for state in (*FOUND, *ALLOCATED))]).encode(encoding)
        unicode = True
    except (UnicodeEncodeError, LookupError):
        unicode = False
    colour = terminal and not env.get("NO_COLOR") and env.get("TERM", "dumb") != "dumb"
    return Style(unicode, colour, shutil.get_terminal_size((80, 24)).columns)


def style_of_stdout() -> Style:
    """The style of what stdout is."""
    return style_of(os.environ, terminal=sys.stdout.isatty(), encoding=sys.stdout.encoding or "ascii")


def plot(
    cells: Iterable[tuple[int, Sequence[int]]], size: int, cell: int, states: Sequence[State], style: Style
) -> Iterator[str]:
    """The lines of a map. ``cells``: ``(number, bytes of each state in each)`` of neighbouring cells of ``cell`` bytes.

    A cell with any of a state shows it, unless a worse one is there too.
    """
    across = 16
    while across * 2 <= min(WIDEST, style.columns - _LABEL):
        across *= 2
    number = -(-size // cell) if size else 0
    joined = max(1, -(-number // (across * ROWS)))
    sums = [0] * len(states)
    parts = list(_joined(cells, joined, len(states)))
    for first in range(0, len(parts), across):
        row = parts[first : first + across]
        marks = _coloured((_mark(part, states, style) for part in row), style)
        yield f"{format_size(first * joined * cell):>{_LABEL - 2}}  {marks}"
        for part in row:
            sums = [a + b for a, b in zip(sums, part, strict=True)]
    yield _legend(sums, states, style)
    if number:
        yield f"{'':{_LABEL}}one mark is {format_size(joined * cell)}, a line is {format_size(joined * cell * across)}"


def _joined(cells: Iterable[tuple[int, Sequence[int]]], joined: int, states: int) -> Iterator[list[int]]:
    """The bytes of each state in so many cells together."""
    sums, held = [0] * states, 0
    for number, counts in cells:
        left = number
        while left:
            taken = min(left, joined - held)
            sums = [a + b * taken for a, b in zip(sums, counts, strict=True)]
            left, held = left - taken, held + taken
            if held == joined:
                yield sums
                sums, held = [0] * states, 0
    if held:
        yield sums


def _mark(part: Sequence[int], states: Sequence[State], style: Style) -> tuple[str, str]:
    """The colours and the character of a cell. What fills it in part stands as high as its share."""
    there = [i for i, count in enumerate(part) if count]
    if not there:
        return "", " "
    state = states[there[0]]
    mark = state.mark if style.unicode else state.plain
    if mark != "█":
        return str(state.colour), mark
    mark = _HEIGHTS[min(7, part[there[0]] * 8 // sum(part))]
    behind = f";{states[there[1]].colour + 10}" if len(there) > 1 else ""
    return f"{state.colour}{behind}", mark


def _coloured(marks: Iterable[tuple[str, str]], style: Style) -> str:
    """Characters as one text; neighbours of one colour need the codes for it once."""
    text = ""
    for codes, group in groupby(marks, key=lambda mark: mark[0]):
        same = "".join(mark for _, mark in group)
        text += f"\033[{codes}m{same}\033[0m" if style.colour and codes else same
    return text


def _legend(sums: Sequence[int], states: Sequence[State], style: Style) -> str:
    shown = []
    for state, count in zip(states, sums, strict=True):
        if count:
            mark = _coloured([(str(state.colour), state.mark if style.unicode else state.plain)], style)
            shown.append(f"{mark} {state.name} {format_size(count)}")
    return f"{'':{_LABEL}}{'   '.join(shown) or 'empty'}"


class AllocationPlot:
    """An emitter of ``map``: counts what is allocated, and draws it when all was listed."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self._made: Tally | None = None

    def record(self, number: int, record: Record) -> None:
        """Counts a record."""
        from blockdiff._fast import Tally
        from blockdiff.engine.blockmap import cell_size, table
        from blockdiff.extent import Kind

        if self._made is None:
            self._made = Tally(record.capacity, cell_size(record.capacity, 512), 3)
        self._made.book(record.extents, table({Kind.DATA: 0, Kind.ZERO: 1, Kind.HOLE: 2}))

    def done(self, count: int) -> None:
        """Draws."""
        tally = self._made
        if tally is None:
            return
        cells = _with_rest(tally.runs(), tally.size, tally.cell)
        for line in plot(cells, tally.size, tally.cell, ALLOCATED, self._style):
            print(line)


def _with_rest(runs: Iterable[tuple[int, tuple[int, ...]]], size: int, cell: int) -> Iterator[tuple[int, list[int]]]:
    """The cells, with the bytes that were not counted as one more state."""
    at = 0
    for number, counts in runs:
        last = min(cell, size - (at + number - 1) * cell)
        if number > 1 and last < cell:
            yield number - 1, [*counts, cell - sum(counts)]
            yield 1, [*counts, last - sum(counts)]
        else:
            yield number, [*counts, last - sum(counts)]
        at += number
