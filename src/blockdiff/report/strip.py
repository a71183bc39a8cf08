"""A block map as a strip: the whole volume from left to right, drawn without a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from blockdiff.report.facts import STATES

if TYPE_CHECKING:
    from blockdiff.report.facts import MapFacts
    from blockdiff.report.reading import Run

COLUMNS = 256
HEIGHT = 100
LEAST = 14  # of HEIGHT: what differs is seen, however little it is
_ORDER = ("changed", "bad", "unverified", "equal", "zero", "hole")  # from the bottom


class Band(NamedTuple):
    """All that is drawn in one state: an SVG path."""

    state: str
    path: str


def draw(run: Run) -> list[Band]:
    """The bands of a run's map; none where it has no map."""
    value = run.facts.blockmap
    if value is None or not value.cells:
        return []
    paths: dict[str, list[str]] = {state: [] for state in _ORDER}
    columns = min(COLUMNS, value.cells)
    width = COLUMNS / columns
    for number, counts in enumerate(_columns(value, columns)):
        top = float(HEIGHT)
        for state, height in _heights(counts):
            top -= height
            paths[state].append(f"M{number * width:.4g} {top:.4g}h{width:.4g}v{height:.4g}h-{width:.4g}z")
    return [Band(state, "".join(parts)) for state, parts in paths.items() if parts]


def _columns(value: MapFacts, columns: int) -> list[list[int]]:
    """The bytes of each state in each column: its cells, a cell belonging to one column."""
    sums = [[0] * len(STATES) for _ in range(columns)]
    at = 0
    for run in value.runs:
        end = at + run.cells
        while at < end:
            column = at * columns // value.cells
            stop = min(end, -(-(column + 1) * value.cells // columns))
            for state, count in enumerate(run.counts()):
                sums[column][state] += count * (stop - at)
            at = stop
    return sums


def _heights(counts: list[int]) -> list[tuple[str, float]]:
    """How high each state stands in a column."""
    total = sum(counts)
    named = dict(zip(STATES, counts, strict=True))
    heights = {state: named[state] * HEIGHT / total for state in _ORDER if named[state]}
    for state in ("changed", "bad", "unverified"):
        if state in heights:
            heights[state] = max(LEAST, heights[state])
    scale = HEIGHT / sum(heights.values())
    return [(state, height * scale) for state, height in heights.items()]
