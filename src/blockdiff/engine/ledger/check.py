"""Reads all rows of a ledger and believes none that cannot be true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.engine.ledger.file import damaged
from blockdiff.engine.ledger.schema import CHANGED, OUTCOMES, STATES
from blockdiff.engine.ledger.seal import Seal, coverage_hash, row_hash

if TYPE_CHECKING:
    import sqlite3

_MAX_TIME, _MAX_SIZE = 1 << 40, 1 << 62
_VOLUME = (str, str, int, str, str, int, int, int)
_RUN = (int, int, int, str, str, str, int, int, int, int, int)


def check_rows(connection: sqlite3.Connection, path: str) -> tuple[tuple[Any, ...], list[tuple[Any, ...]], Seal]:
    """The volume, the runs, and the seal. InvalidInput says what is wrong."""
    connection.execute("BEGIN")
    try:
        seal = Seal()
        volume = _volume(connection, path, seal)
        runs = _runs(connection, path, seal)
        size, unit = min(volume[2], volume[5]), volume[6]
        _coverage(connection, path, seal, size, unit, runs[-1][0] if runs else 0)
        said = connection.execute("SELECT rows, total FROM seal").fetchall()
    finally:
        connection.execute("ROLLBACK")
    if said != [(seal.rows, seal.total)]:
        damaged(path, "its rows are not those that were sealed")
    return volume, runs, seal


def _typed(row: tuple[Any, ...], types: tuple[type, ...], what: str, path: str) -> None:
    for value, wanted in zip(row, types, strict=True):
        if type(value) is not wanted or (isinstance(value, int) and not 0 <= value <= _MAX_SIZE):
            damaged(path, f"{what} holds {str(value)[:40]!r}")


def _volume(connection: sqlite3.Connection, path: str, seal: Seal) -> tuple[Any, ...]:
    rows = connection.execute("SELECT * FROM volume").fetchall()
    if len(rows) != 1:
        damaged(path, f"it names {len(rows)} volumes")
    volume: tuple[Any, ...] = rows[0][1:]
    _typed(volume, _VOLUME, "its volume", path)
    unit = volume[6]
    if unit < 512 or unit & (unit - 1) or not volume[1] or not volume[4]:
        damaged(path, "its volume cannot be")
    seal.add(row_hash("volume", volume))
    return volume


def _runs(connection: sqlite3.Connection, path: str, seal: Seal) -> list[tuple[Any, ...]]:
    runs: list[tuple[Any, ...]] = []
    for run in connection.execute("SELECT * FROM run ORDER BY number"):
        _typed(run, _RUN, f"run {len(runs) + 1}", path)
        if run[0] != len(runs) + 1 or run[3] not in OUTCOMES or max(run[1:3]) > _MAX_TIME:
            damaged(path, f"run {len(runs) + 1} cannot be")
        seal.add(row_hash("run", run))
        runs.append(run)
    return runs


def _coverage(connection: sqlite3.Connection, path: str, seal: Seal, size: int, unit: int, last: int) -> None:
    at = 0
    sql = 'SELECT start, "end", state, run, verified FROM coverage ORDER BY start'
    for row in connection.execute(sql):
        _typed(row, (int,) * 5, "a range", path)
        start, end, state, run, verified = row
        if not at <= start < end <= size or start % unit or (end % unit and end != size):
            damaged(path, f"the range [{start}, {end}) cannot be")
        if state >= len(STATES) or not (state == CHANGED or run) or run > last or verified > _MAX_TIME:
            damaged(path, f"what it says of [{start}, {end}) cannot be")
        seal.add(coverage_hash(row))
        at = end
