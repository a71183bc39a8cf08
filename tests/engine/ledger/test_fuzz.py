"""Ledgers that were damaged, or made by something else: refused in words, or exactly what they were. BLOCKDIFF_FUZZ
sets the number of inputs, BLOCKDIFF_FUZZ_SEED where they begin.
"""

import contextlib
import os
import random
import sqlite3
import struct

import pytest

from blockdiff._fast import Extents
from blockdiff.budget import parse_budget
from blockdiff.engine.ledger.check import check_rows
from blockdiff.engine.ledger.schema import EQUAL, make_tables
from blockdiff.engine.ledger.seal import Seal, coverage_hash, row_hash
from blockdiff.engine.ledger.store import Ledger, Volume
from blockdiff.errors import BlockdiffError, InvalidInput, OutputError
from blockdiff.sampling import parse_share

COUNT = int(os.environ.get("BLOCKDIFF_FUZZ", "400"))
SEED = int(os.environ.get("BLOCKDIFF_FUZZ_SEED", "1"))
UNIT, UNITS, TAIL = 65536, 60, 777
SIZE = UNITS * UNIT + TAIL
VOLUME = Volume("a", "file/1/2", SIZE, "b", "file/3/4", SIZE + 5, UNIT, 1700000000)


def make(path, seed, runs):
    """A ledger after some runs; the states of the file after each of them."""
    rng, states = random.Random(seed), []
    Ledger.create(path, VOLUME)
    for _ in range(runs):
        ledger = Ledger.take(path)
        run = ledger.begin("0.1.0", rng.choice(["", "2h", "500G"]), VOLUME)
        ledger.note_known([some(rng, 2)], run)
        ledger.note_changes([some(rng, 3)])
        equal = some(rng, 6)
        ledger.record(equal, some(rng, 2).subtract(equal), verified=1700000000 + run * 5000)
        ledger.end("budget", equal=equal.total())
        ledger.close()
        with open(path, "rb") as file:
            states.append(file.read())
    return states


def some(rng, count):
    """Ranges of whole units."""
    starts = sorted(rng.sample(range(0, UNITS, 5), count))
    return Extents([(start * UNIT, rng.randrange(1, 5) * UNIT) for start in starts])


def claims(ledger):
    """All that it says: rows, and runs."""
    return list(ledger.rows()), ledger.runs, ledger.volume


def equal_units(rows):
    return {(unit, row.verified) for row in rows if row.state == EQUAL for unit in range(row.start, row.end, UNIT)}


def mutate(rng, states):
    """A file in which something is wrong: bits, bytes, pages, lengths; also pages of an earlier or another ledger."""
    data = bytearray(rng.choice(states))
    for _ in range(rng.choice((1, 1, 1, 2, 5, 40))):
        page = rng.randrange(max(1, len(data) // 4096)) * 4096
        kind = rng.randrange(9)
        at = rng.randrange(len(data)) if data else 0
        if not data:
            break
        if kind <= 1:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind == 3:
            other = rng.choice(states)
            data[page : page + 4096] = other[page : page + 4096]
        elif kind == 4:
            to = rng.randrange(max(1, len(data) // 4096)) * 4096
            data[to : to + 4096] = data[page : page + 4096]
        elif kind == 5:
            del data[rng.choice((at, page, len(data) - 1)) :]
        elif kind == 6:
            length = rng.randrange(1, 60)
            data[at : at + length] = rng.randbytes(length)
        elif kind == 7:
            data[at : at + 8] = struct.pack(">q", rng.choice((0, -1, 1 << 62, SIZE, UNIT, rng.getrandbits(62))))
        else:
            head = rng.randrange(min(100, len(data)))
            data[head] = rng.randrange(256)
    return bytes(data)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """In memory where there is such a place: these are many files."""
    if os.access("/dev/shm", os.W_OK):
        import shutil
        import tempfile

        made = tempfile.mkdtemp(prefix="blockdiff-", dir="/dev/shm")
        yield made
        shutil.rmtree(made)
    else:
        yield str(tmp_path_factory.mktemp("ledgers"))


def test_damaged_files(place):
    """Refused, or word for word what one of the good files says."""
    states = [state for seed in range(3) for state in make(f"{place}/{seed}", seed, 4)]
    good = []
    for number, state in enumerate(states):
        path = f"{place}/good{number}"
        with open(path, "wb") as file:
            file.write(state)
        ledger = Ledger.read(path)
        good.append(claims(ledger))
        ledger.close()
    rng, path, believed = random.Random(SEED), f"{place}/damaged", 0
    for _ in range(COUNT):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with open(path, "wb") as file:
            file.write(mutate(rng, states))
        try:
            ledger = Ledger.read(path)
        except (InvalidInput, OutputError):
            continue
        try:
            assert claims(ledger) in good
            believed += 1
        finally:
            ledger.close()
    assert believed < COUNT


VALUES = (
    *(None, -1, 0, 1, 2, 3, 4, 7, UNIT, SIZE, SIZE - 1, UNIT + 1, 1 << 61, 1 << 62, (1 << 63) - 1, -(1 << 63), 1.5),
    *(float("inf"), "", "x", "running", "done", "7", "1e400", "\ud800", "a\0b", b"", b"\xff\xfe", "long" * 99),
)
COLUMNS = {
    "volume": ("source_url", "source_identity", "source_size", "target_url", "target_identity", "target_size", "unit",
               "created"),
    "run": ("number", "started", "ended", "outcome", "version", "budget", "to_read", "equal", "different", "changed",
            "rotated"),
    "coverage": ("start", '"end"', "state", "run", "verified"),
    "seal": ("rows", "total"),
}  # fmt: skip


def sealed(connection):
    """Makes the seal right again, as somebody would who meant it."""
    seal = Seal()
    for table in ("volume", "run"):
        for row in connection.execute(f"SELECT * FROM {table}"):
            seal.add(row_hash(table, row[1:] if table == "volume" else row))
    for row in connection.execute('SELECT start, "end", state, run, verified FROM coverage'):
        with contextlib.suppress(struct.error, TypeError):
            seal.add(coverage_hash(row))
    connection.execute("UPDATE seal SET rows = ?, total = ?", (seal.rows, seal.total))


def test_wrong_values_in_rows():
    """Also where the seal was made to fit: then the rows that are believed are at least possible ones."""
    base = sqlite3.connect(":memory:", isolation_level=None)
    make_tables(base)
    base.execute("INSERT INTO volume VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)", VOLUME)
    for number in (1, 2):
        base.execute("INSERT INTO run VALUES (?, 5, 6, 'done', 'v', '', 0, 0, 0, 0, 0)", (number,))
    for start, end, state in ((0, UNIT, 0), (UNIT, 3 * UNIT, 1), (5 * UNIT, 9 * UNIT, 2), (60 * UNIT, SIZE, 3)):
        base.execute("INSERT INTO coverage VALUES (?, ?, ?, 1, 1700000000)", (start, end, state))
    base.execute("INSERT INTO seal VALUES (1, 0, 0)")
    sealed(base)
    rng, good = random.Random(SEED), list(base.execute('SELECT start, "end", state, run, verified FROM coverage'))
    for _ in range(COUNT):
        base.execute("SAVEPOINT s")
        try:
            for _ in range(rng.choice((1, 1, 2, 4))):
                spoil_row(base, rng)
            refitted = rng.random() < 0.5
            with contextlib.suppress(UnicodeError, sqlite3.OperationalError):
                if refitted:
                    sealed(base)
            judge(base, good, refitted=refitted)
        finally:
            base.execute("ROLLBACK TO s")
            base.execute("RELEASE s")
    base.close()


def spoil_row(base, rng):
    table = rng.choice(list(COLUMNS))
    kind = rng.randrange(8)
    with contextlib.suppress(sqlite3.Error, UnicodeError, OverflowError):
        if kind == 0:
            base.execute(f"DELETE FROM {table} WHERE rowid = (SELECT max(rowid) FROM {table})")
        elif kind == 1 and table == "coverage":
            start, length = rng.choice(VALUES), rng.choice(VALUES)
            base.execute("INSERT INTO coverage VALUES (?, ?, 0, 1, 5)", (start, length))
        else:
            value = rng.choice(VALUES) if rng.random() < 0.8 else rng.getrandbits(rng.choice((3, 17, 40, 62)))
            rows = [row for (row,) in base.execute(f"SELECT rowid FROM {table}")]
            if rows:
                base.execute(
                    f"UPDATE {table} SET {rng.choice(COLUMNS[table])} = ? WHERE rowid = ?", (value, rng.choice(rows))
                )


class Once:
    """check_rows begins a transaction of its own; here there is one already."""

    def __init__(self, base):
        self.base = base

    def execute(self, sql):
        return self.base.execute("SELECT 1" if sql in ("BEGIN", "ROLLBACK") else sql)


def judge(base, good, *, refitted):
    from blockdiff.engine.ledger import file

    try:
        with file.translated("ledger"):
            volume, _, _ = check_rows(Once(base), "ledger")
    except InvalidInput:
        return
    rows = list(base.execute('SELECT start, "end", state, run, verified FROM coverage ORDER BY start'))
    if not refitted:
        assert rows == good
    size, at = min(volume[2], volume[5]), 0
    for start, end, state, run, verified in rows:
        assert at <= start < end <= size
        assert state in (0, 1, 2, 3)
        assert 0 <= run <= 2
        assert verified >= 0
        at = end


ALPHABET = "0123456789.%smhdKMGTiB -+eE٣\x00\n"


def test_texts():
    rng = random.Random(SEED)
    good = ["5%", "0.01%", "99.9%", "2h", "500G", "1.5d", "30m", "0.05", "1.5GiB"]
    for _ in range(COUNT):
        text = list(rng.choice(good))
        for _ in range(rng.choice((1, 1, 2, 6))):
            at = rng.randrange(len(text) + 1)
            text[at : at + rng.randrange(3)] = rng.choices(ALPHABET, k=rng.randrange(3))
        for parse in (parse_share, parse_budget):
            with contextlib.suppress(BlockdiffError):
                value = parse("".join(text))
                assert parse is parse_budget or 0 < value <= 1
