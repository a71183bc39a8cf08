"""The tables of a ledger, and the rules by which a file is believed to be one."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

APPLICATION_ID = 0x62644C31  # "bdL1"
MAGIC = b"SQLite format 3\0"

EQUAL, DIFFERENT, CHANGED, KNOWN = range(4)
STATES = ("equal", "different", "changed", "known")
OUTCOMES = ("running", "done", "budget", "interrupted", "failed")

_TABLES = (
    """CREATE TABLE volume (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    source_url TEXT NOT NULL, source_identity TEXT NOT NULL, source_size INTEGER NOT NULL,
    target_url TEXT NOT NULL, target_identity TEXT NOT NULL, target_size INTEGER NOT NULL,
    unit INTEGER NOT NULL, created INTEGER NOT NULL
)""",
    """CREATE TABLE run (
    number INTEGER PRIMARY KEY,
    started INTEGER NOT NULL, ended INTEGER NOT NULL, outcome TEXT NOT NULL, version TEXT NOT NULL,
    budget TEXT NOT NULL, to_read INTEGER NOT NULL, equal INTEGER NOT NULL, different INTEGER NOT NULL,
    changed INTEGER NOT NULL, rotated INTEGER NOT NULL
)""",
    """CREATE TABLE coverage (
    start INTEGER PRIMARY KEY, "end" INTEGER NOT NULL,
    state INTEGER NOT NULL, run INTEGER NOT NULL, verified INTEGER NOT NULL
)""",
    "CREATE INDEX coverage_by_run ON coverage (state, run, start)",
    """CREATE TABLE seal (
    one INTEGER PRIMARY KEY CHECK (one = 1), rows INTEGER NOT NULL, total INTEGER NOT NULL
)""",
)

MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = ()
"""The first one makes version 2 of version 1, and so on."""


def version() -> int:
    """The version of the schema that this program writes."""
    return 1 + len(MIGRATIONS)


def make_tables(connection: sqlite3.Connection) -> None:
    """Version 1 in an empty database, brought to the newest."""
    for statement in _TABLES:
        connection.execute(statement)
    for migrate in MIGRATIONS:
        migrate(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version()}")


def check_header(head: bytes, name: str) -> int:
    """The version of the schema, from the first 100 bytes of a file. InvalidInput where it is no ledger of ours."""
    if not head:
        raise InvalidInput(f"{name} is empty, and no ledger: remove it, and a new one is begun")
    number = int.from_bytes(head[60:64], "big", signed=True)
    if len(head) < 100 or not head.startswith(MAGIC) or int.from_bytes(head[68:72], "big") != APPLICATION_ID:
        raise InvalidInput(f"{name} is no coverage ledger: name another file, or one that does not exist")
    if head[18:20] != b"\1\1":
        raise InvalidInput(f"{name} is in a mode that blockdiff does not use (WAL): something else has changed it")
    if not 1 <= number <= version():
        raise InvalidInput(f"{name} is a ledger of version {number}; known are versions 1 to {version()}")
    return number


def check_schema(connection: sqlite3.Connection, name: str) -> None:
    """InvalidInput unless the tables are exactly those of this version: nothing else may run when it is used."""
    wanted = sqlite3.connect(":memory:")
    try:
        make_tables(wanted)
        if _tables(connection) != _tables(wanted):
            raise InvalidInput(f"{name} is damaged: its tables are not those of a ledger")
    finally:
        wanted.close()


def _tables(connection: sqlite3.Connection) -> list[Any]:
    return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
