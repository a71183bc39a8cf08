"""A ledger that is open: its rows, read and changed. Every change is a transaction of its own."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from blockdiff._fast import Extents
from blockdiff.engine.ledger import file, schema
from blockdiff.engine.ledger.check import check_rows
from blockdiff.engine.ledger.interval import Row, replace
from blockdiff.engine.ledger.schema import CHANGED, DIFFERENT, EQUAL, KNOWN
from blockdiff.engine.ledger.seal import Seal, coverage_hash, row_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_BATCH = 65536
_ADD_VOLUME = "INSERT INTO volume VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)"
_ADD_RUN = "INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_NEAR = 'SELECT start, "end", state, run, verified FROM coverage WHERE start BETWEEN ? AND ? ORDER BY start'
LEAST_UNIT, MOST_UNITS = 64 << 10, 1 << 22


class Volume(NamedTuple):
    """The two devices that a ledger is about. Sizes and ``unit`` in bytes; ``created`` in seconds since 1970."""

    source_url: str
    source_identity: str
    source_size: int
    target_url: str
    target_identity: str
    target_size: int
    unit: int
    created: int

    @property
    def size(self) -> int:
        """The part that both have."""
        return min(self.source_size, self.target_size)


class Run(NamedTuple):
    """One run. Times in seconds since 1970; ``ended`` 0: nobody knows; the rest in bytes."""

    number: int
    started: int
    ended: int
    outcome: str
    version: str
    budget: str
    to_read: int
    equal: int
    different: int
    changed: int
    rotated: int


def unit_of(size: int) -> int:
    """The unit of a ledger for a volume of this size: at most some four million of them."""
    unit = LEAST_UNIT
    while size > unit * MOST_UNITS:
        unit *= 2
    return unit


class Ledger:
    """An open ledger; ``volume`` and ``runs`` are what it says. Close it. See docs/ledger.md for what may go wrong."""

    def __init__(self, path: str, connection: sqlite3.Connection, held: int | None) -> None:
        self.path, self._connection, self._held = path, connection, held
        self._seal = Seal()
        with file.translated(path):
            volume, runs, self._seal = check_rows(connection, path)
        self.volume, self.runs = Volume(*volume), [Run(*run) for run in runs]

    @classmethod
    def read(cls, path: str) -> Self:
        """Opens a ledger to be looked at."""
        connection = file.connect(path, writable=False)
        return cls._made(path, connection, None)

    @classmethod
    def take(cls, path: str) -> Self:
        """Opens a ledger for a run: DeviceBusy while another one has it."""
        held = file.hold(path)
        try:
            connection = file.connect(path, writable=True)
        except BaseException:
            os.close(held)
            raise
        return cls._made(path, connection, held)

    @classmethod
    def _made(cls, path: str, connection: sqlite3.Connection, held: int | None) -> Self:
        try:
            return cls(path, connection, held)
        except BaseException:
            connection.close()
            if held is not None:
                os.close(held)
            raise

    @staticmethod
    def create(path: str, volume: Volume) -> None:
        """Makes the file of a ledger in which nothing is verified."""

        def fill(connection: sqlite3.Connection) -> None:
            connection.execute(_ADD_VOLUME, volume)
            connection.execute("INSERT INTO seal VALUES (1, 1, ?)", (row_hash("volume", volume),))

        file.create(path, fill)

    @property
    def size(self) -> int:
        """Bytes that both devices have."""
        return self.volume.size

    @property
    def unit(self) -> int:
        """All ranges begin and end at multiples of it, or at the end of the volume."""
        return self.volume.unit

    # ---- reading ----

    def rows(self, where: str = "1", values: tuple[int, ...] = ()) -> Iterator[Row]:
        """Rows of coverage, ascending. ``where`` is ours, never a user's."""
        with file.translated(self.path):
            sql = f'SELECT start, "end", state, run, verified FROM coverage WHERE {where} ORDER BY start'  # noqa: S608
            for row in self._connection.execute(sql, values):
                yield Row(*row)

    def ranges(self, *states: int, run: int | None = None) -> Iterator[Extents]:
        """The ranges that are in one of these states, with the run as it is in the rows; kinds are 0."""
        where = f"state IN ({', '.join('?' * len(states))})" + (" AND run = ?" if run is not None else "")
        values = states if run is None else (*states, run)
        part: list[tuple[int, int]] = []
        for row in self.rows(where, values):
            if part and sum(part[-1]) == row.start:
                part[-1] = (part[-1][0], part[-1][1] + row.end - row.start)
                continue
            if len(part) >= _BATCH:
                yield Extents(part)
                part = []
            part.append((row.start, row.end - row.start))
        if part:
            yield Extents(part)

    def generations(self, *states: int) -> list[int]:
        """The runs that ranges in these states are of, oldest first."""
        sql = f"SELECT DISTINCT run FROM coverage WHERE state IN ({', '.join('?' * len(states))}) ORDER BY run"  # noqa: S608
        with file.translated(self.path):
            return [run for (run,) in self._connection.execute(sql, states)]

    def totals(self) -> dict[int, int]:
        """Bytes in each state; what is in none was never verified."""
        with file.translated(self.path):
            found = self._connection.execute('SELECT state, sum("end" - start) FROM coverage GROUP BY state').fetchall()
        return dict.fromkeys(range(len(schema.STATES)), 0) | dict(found)

    def oldest(self) -> int | None:
        """When the oldest range that counts as verified was; None where there is none."""
        sql = "SELECT min(verified) FROM coverage WHERE state = ?"
        with file.translated(self.path):
            return self._connection.execute(sql, (EQUAL,)).fetchone()[0]  # type: ignore[no-any-return]

    # ---- changing ----

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """A transaction with the seal kept up; nothing of it is left where it fails. Inside of one, a part of it."""
        if self._connection.in_transaction:
            yield
            return
        before = Seal(self._seal.rows, self._seal.total), self.volume, [*self.runs]
        try:
            with file.translated(self.path):
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._connection.execute("UPDATE seal SET rows = ?, total = ?", (self._seal.rows, self._seal.total))
                self._connection.execute("COMMIT")
        except BaseException:
            self._seal, self.volume, self.runs = before
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def assign(self, ranges: Iterable[Extents], state: int, run: int, verified: int) -> None:
        """Says the same of all these ranges; inside ``change``."""
        for batch in ranges:
            for start, length, _ in batch:
                self._put(Row(start, start + length, state, run, verified))

    def _put(self, row: Row) -> None:
        first = self._connection.execute("SELECT max(start) FROM coverage WHERE start < ?", (row.start,)).fetchone()[0]
        near = self._connection.execute(_NEAR, (row.start if first is None else first, row.end)).fetchall()
        old, new = replace([Row(*found) for found in near], row)
        for gone in old:
            self._connection.execute("DELETE FROM coverage WHERE start = ?", (gone.start,))
            self._seal.remove(coverage_hash(gone))
        for made in new:
            self._connection.execute("INSERT INTO coverage VALUES (?, ?, ?, ?, ?)", made)
            self._seal.add(coverage_hash(made))

    def begin(self, version: str, budget: str, volume: Volume) -> int:
        """Notes that a run begins, and what its devices are now; gives its number. Of a volume that was cut or grew,
        what is past either end, and a last unit that was not whole, is forgotten.
        """
        number, now = (self.runs[-1].number if self.runs else 0) + 1, int(time.time())
        run = Run(number, now, 0, "running", version, budget, 0, 0, 0, 0, 0)
        with self.change():
            if volume.size != self.size:
                self._cut(min(volume.size, self.size) // self.unit * self.unit)
            if volume != self.volume:
                self._connection.execute("DELETE FROM volume")
                self._seal.remove(row_hash("volume", self.volume))
                self._connection.execute(_ADD_VOLUME, volume)
                self._seal.add(row_hash("volume", volume))
            self._add_run(run)
        self.volume = volume
        self.runs.append(run)
        return number

    def _add_run(self, run: Run) -> None:
        self._connection.execute(_ADD_RUN, run)
        self._seal.add(row_hash("run", run))

    def _cut(self, end: int) -> None:
        """Forgets all from ``end`` on."""
        for row in list(self.rows('"end" > ?', (end,))):
            self._connection.execute("DELETE FROM coverage WHERE start = ?", (row.start,))
            self._seal.remove(coverage_hash(row))
            if row.start < end:
                self._put(row._replace(end=end))

    def note_changes(self, changed: Iterable[Extents]) -> int:
        """What changed is not verified any more; bytes that were. Their age is kept, so that they keep their turn."""
        count = 0
        with self.change():
            for batch in changed:
                for start, length, _ in batch:
                    for row in list(self._touched(start, start + length)):
                        if row.state in (EQUAL, KNOWN):
                            count += row.end - row.start if row.state == EQUAL else 0
                            self._put(row._replace(state=CHANGED))
        return count

    def _touched(self, start: int, end: int) -> Iterator[Row]:
        first = self._connection.execute("SELECT max(start) FROM coverage WHERE start <= ?", (start,)).fetchone()[0]
        for row in self.rows("start >= ? AND start < ?", (start if first is None else first, end)):
            if row.end > start:
                yield row._replace(start=max(start, row.start), end=min(end, row.end))

    def note_known(self, known: Iterable[Extents], run: int) -> None:
        """What needs no reading now. What needed none before, and does now, was never verified."""
        with self.change():
            for row in list(self.rows("state = ?", (KNOWN,))):
                self._connection.execute("DELETE FROM coverage WHERE start = ?", (row.start,))
                self._seal.remove(coverage_hash(row))
            self.assign(known, KNOWN, run, int(time.time()))

    def record(self, equal: Extents, different: Extents, unreadable: Sequence[Extents] = (), *, verified: int) -> None:
        """Whole units, by what the last run found; their reading began at ``verified``.

        What cannot be read counts as changed, or as different where it was, and its next turn is after all others.
        """
        run = self.runs[-1].number
        with self.change():
            self.assign((equal,), EQUAL, run, verified)
            self.assign((different,), DIFFERENT, run, verified)
            rows = [row for batch in unreadable for e in batch for row in self._touched(e.offset, e.end)]
            self.assign(unreadable, CHANGED, run, verified)
            for row in rows:
                if row.state == DIFFERENT:
                    self._put(row._replace(run=run))

    def end(self, outcome: str, **figures: Any) -> None:
        """Notes how the last run ended; ``figures`` are fields of Run, in bytes."""
        run = (before := self.runs[-1])._replace(ended=int(time.time()), outcome=outcome, **figures)
        with self.change():
            self._connection.execute("DELETE FROM run WHERE number = ?", (before.number,))
            self._seal.remove(row_hash("run", before))
            self._add_run(run)
        self.runs[-1] = run

    def close(self) -> None:
        """Closes the file, and lets other runs have it."""
        self._connection.close()
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def facts(self) -> dict[str, Any]:
        """What the ledger says of the volume, in bytes."""
        named = dict(zip(schema.STATES, self.totals().values(), strict=True))
        return {**named, "never": self.size - sum(named.values())}
