"""Ledger files: made whole, migrated, locked, and believed only when everything fits."""

import os
import sqlite3
import stat
import subprocess
import sys

import pytest

from blockdiff._fast import Extents
from blockdiff.engine.ledger import file, schema
from blockdiff.engine.ledger.schema import CHANGED, DIFFERENT, EQUAL, KNOWN
from blockdiff.engine.ledger.store import LEAST_UNIT, MOST_UNITS, Ledger, Volume, unit_of
from blockdiff.errors import DeviceBusy, InvalidInput, OutputError
from tests.fixtures.descriptors import descriptors, opened_since

UNIT = 65536
VOLUME = Volume("a", "file/1", 20 * UNIT + 5, "b", "file/2", 20 * UNIT + 9, UNIT, 1)


@pytest.fixture
def path(tmp_path):
    made = str(tmp_path / "L")
    Ledger.create(made, VOLUME)
    return made


def units(*numbers):
    return Extents([(number * UNIT, UNIT) for number in numbers])


def states(ledger):
    return [(row.start // UNIT, -(-row.end // UNIT), row.state, row.run) for row in ledger.rows()]


@pytest.fixture
def taken(path):
    ledger = Ledger.take(path)
    ledger.begin("v", "", VOLUME)
    yield ledger
    ledger.close()


def test_what_is_written_is_read(path, taken):
    taken.record(units(0, 1, 2, 7), units(4), verified=50)
    taken.note_known([units(9)], 1)
    taken.note_changes([units(1)])
    wanted = [
        (0, 1, EQUAL, 1),
        (1, 2, CHANGED, 1),
        (2, 3, EQUAL, 1),
        (4, 5, DIFFERENT, 1),
        (7, 8, EQUAL, 1),
        (9, 10, KNOWN, 1),
    ]
    assert states(taken) == wanted
    taken.end("done", equal=5)
    taken.close()
    ledger = Ledger.read(path)
    assert states(ledger) == wanted
    assert ledger.runs[0].outcome == "done"
    assert ledger.facts() == {
        "equal": 3 * UNIT,
        "different": UNIT,
        "changed": UNIT,
        "known": UNIT,
        "never": 14 * UNIT + 5,
    }
    assert ledger.oldest() == 50
    assert [e[:2] for batch in ledger.ranges(EQUAL, CHANGED) for e in batch] == [(0, 3 * UNIT), (7 * UNIT, UNIT)]
    with pytest.raises(OutputError):
        ledger.begin("v", "", VOLUME)
    ledger.close()


def test_a_change_of_what_differs_stays_a_difference(taken):
    taken.record(Extents(), units(4), verified=50)
    assert taken.note_changes([units(4)]) == 0
    assert states(taken) == [(4, 5, DIFFERENT, 1)]


def test_known_is_asked_anew(taken):
    taken.record(units(0, 1), Extents(), verified=50)
    taken.note_known([units(1, 2)], 1)
    taken.note_known([units(2)], 1)
    assert states(taken) == [(0, 1, EQUAL, 1), (2, 3, KNOWN, 1)]  # 1 was known, and is to be read: never verified


@pytest.mark.parametrize(
    ("size", "unit"), [(0, LEAST_UNIT), (256 << 30, LEAST_UNIT), (1 << 40, 256 << 10), (1 << 44, 4 << 20)]
)
def test_units(size, unit):
    assert unit_of(size) == unit
    assert size <= unit * MOST_UNITS


def failing(ledger, do):
    def change():
        with ledger.change():
            do()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change()


def test_a_failed_change_leaves_nothing(path, taken):
    failing(taken, lambda: taken.record(units(0), Extents(), verified=1))
    assert states(taken) == []
    taken.record(units(1), Extents(), verified=1)
    taken.close()
    Ledger.read(path).close()


def test_a_run_that_never_began_is_not_ended(path):
    ledger = Ledger.take(path)
    failing(ledger, lambda: ledger.begin("v", "", VOLUME))
    assert ledger.runs == []
    ledger.close()
    Ledger.read(path).close()


def test_nothing_is_overwritten(path, tmp_path):
    before = (tmp_path / "L").read_bytes()
    with pytest.raises(DeviceBusy):
        Ledger.create(path, VOLUME)
    assert (tmp_path / "L").read_bytes() == before
    assert os.listdir(tmp_path) == ["L"]
    assert stat.S_IMODE(os.stat(path).st_mode) & 0o022 == 0


def test_another_process_holds_it(path, taken):
    code = "import sys; from blockdiff.engine.ledger.store import Ledger; Ledger.take(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert "DeviceBusy" in done.stderr
    code = code.replace("take", "read")  # who only looks is not kept away
    subprocess.run([sys.executable, "-c", code, path], check=True)


def test_the_lock_ends_with_the_process(path):
    code = (
        "import sys, os, signal; from blockdiff.engine.ledger.store import Ledger; l = Ledger.take(sys.argv[1]);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == -9
    Ledger.take(path).close()


def test_killed_in_a_transaction(path):
    """The half of it that reached the disk is taken back, also by who only looks."""
    code = (
        "import sys, os, signal; from blockdiff.engine.ledger.store import Ledger;"
        "from blockdiff._fast import Extents; from tests.engine.ledger.test_store import VOLUME;"
        "l = Ledger.take(sys.argv[1]); l.begin('v', '', VOLUME); c = l._connection; c.execute('PRAGMA cache_size = 1');"
        "c.execute('BEGIN IMMEDIATE');"
        "[c.execute('INSERT INTO coverage VALUES (?, ?, 0, 1, 5)', (i, i + 1)) for i in range(20000)];"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == -9
    assert os.path.exists(path + "-journal")
    ledger = Ledger.read(path)
    assert states(ledger) == []
    assert ledger.runs[-1].outcome == "running"
    ledger.close()


def spoiled(path, *statements):
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM coverage; END",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TABLE more (x)",
        "DROP INDEX coverage_by_run",
        "DROP TABLE coverage",
        "ALTER TABLE run ADD COLUMN more",
        "DELETE FROM volume",
        "UPDATE volume SET target_size = target_size + 1",
        "UPDATE coverage SET verified = verified + 1",
        'UPDATE coverage SET "end" = "end" + 65536 WHERE start = 0',
        "UPDATE coverage SET state = 0 WHERE state = 1",
        "DELETE FROM coverage WHERE state = 1",
        "DELETE FROM seal",
        "INSERT INTO coverage VALUES (655360, 720896, 0, 1, 5)",
    ],
)
def test_what_somebody_changed_is_not_believed(path, taken, statement):
    taken.record(units(0, 1), units(4), verified=50)
    taken.close()
    spoiled(path, statement)
    with pytest.raises(InvalidInput, match="damaged"):
        Ledger.read(path)
    with pytest.raises(InvalidInput, match="damaged"):
        Ledger.take(path)


def test_a_write_ahead_log(path):
    spoiled(path, "PRAGMA journal_mode = WAL")
    with pytest.raises(InvalidInput, match="WAL"):
        Ledger.read(path)


def test_an_older_version_is_migrated(path, monkeypatch):
    def migrate(connection):
        connection.execute("ALTER TABLE run ADD COLUMN note TEXT NOT NULL DEFAULT ''")

    monkeypatch.setattr(schema, "MIGRATIONS", (migrate,))
    with pytest.raises(InvalidInput, match="version 1"):
        file.connect(path, writable=False)
    connection = file.connect(path, writable=True)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    assert connection.execute("SELECT note FROM run").fetchall() == []
    connection.close()
    file.connect(path, writable=False).close()
    monkeypatch.undo()
    with pytest.raises(InvalidInput, match="version 2; known are versions 1 to 1"):
        file.connect(path, writable=True)


def test_a_migration_that_fails_changes_nothing(path, monkeypatch):
    def migrate(connection):
        connection.execute("ALTER TABLE run ADD COLUMN note TEXT NOT NULL DEFAULT ''")
        raise sqlite3.OperationalError("no")

    monkeypatch.setattr(schema, "MIGRATIONS", (migrate,))
    with pytest.raises(InvalidInput):
        file.connect(path, writable=True)
    monkeypatch.undo()
    Ledger.read(path).close()


def test_no_descriptor_is_left(path, tmp_path):
    before = descriptors()
    for _ in range(3):
        Ledger.take(path).close()
        Ledger.read(path).close()
    (tmp_path / "L").write_bytes(b"x" * 5000)
    for open_it in (Ledger.take, Ledger.read):
        with pytest.raises(InvalidInput):
            open_it(path)
    assert not opened_since(before)
