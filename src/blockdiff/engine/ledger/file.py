"""Ledger files: made whole or not at all, held by one run at a time, and checked whole before they are used."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import stat
import struct
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote

from blockdiff.engine.ledger import schema
from blockdiff.errors import DeviceBusy, InvalidInput, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOCK_AT = 1 << 62  # a byte that is in no file, and far from those that SQLite locks
_BUSY_SECONDS = 60
SYNCHRONOUS = "FULL"  # what is said to be verified survives a loss of power
_JOURNAL = bytes.fromhex("d9d505f920a163d7")  # a rollback journal begins so (SQLite's file format, section 3)
_SECTOR = 512  # bytes; what a loss of power leaves of a journal may be zeroes
_DAMAGED = "restore it from a copy, or remove it to begin again with nothing verified"


def hold(path: str) -> int:
    """Opens a ledger for a run, and keeps all other runs away until the descriptor is closed. DeviceBusy, InvalidInput.

    The lock is of the open file, not of the process: it must be closed after SQLite's own descriptors, as closing any
    of them gives up SQLite's locks.
    """
    check_path(path)
    fd = _opened(path, os.O_RDWR)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _LOCK_AT, 1, 0))
    except OSError as error:
        os.close(fd)
        raise DeviceBusy(f"{path} is in use by another run: wait for it, or name another ledger") from error
    return fd


def check_path(path: str) -> None:
    """InvalidInput where the name is of something that cannot be a ledger."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise InvalidInput(f"cannot open {path}: {os.strerror(error.errno or 0)}") from error
    if not stat.S_ISREG(status.st_mode):
        raise InvalidInput(f"{path} is no regular file, and no ledger")


def _opened(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidInput(f"cannot open {path}: {os.strerror(error.errno or 0)}") from error


def connect(path: str, *, writable: bool) -> sqlite3.Connection:
    """The database in a file, after header, tables and pages were found good. InvalidInput, OutputError."""
    check_path(path)
    fd = _opened(path, os.O_RDONLY)
    try:
        found = schema.check_header(os.pread(fd, 100, 0), path)
    finally:
        os.close(fd)  # this would give up SQLite's locks on the file: there are none yet
    _refuse_other_journal(path)
    with translated(path):
        # also who only looks may have to take back what a killed run left half done
        mode = "rw" if writable or os.access(path, os.W_OK) else "ro"
        connection = sqlite3.connect(
            f"file:{quote(os.path.abspath(path))}?mode={mode}", uri=True, timeout=_BUSY_SECONDS, isolation_level=None
        )
    try:
        with translated(path):
            _prepare(connection, path, found, writable=writable)
    except BaseException:
        connection.close()
        raise
    return connection


def journal_of(path: str) -> str:
    """The file in which SQLite keeps what a transaction may have to take back; at the end it removes it."""
    return f"{os.path.realpath(path)}-journal"


def _refuse_other_journal(path: str) -> None:
    """InvalidInput where a file of this name is not SQLite's, such as the journal of a repair: it would be lost."""
    name = journal_of(path)
    try:
        with open(name, "rb") as file:
            begin = file.read(_SECTOR)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InvalidInput(f"cannot open {name}: {os.strerror(error.errno or 0)}") from error
    if any(begin) and not begin.startswith(_JOURNAL):
        raise InvalidInput(
            f"{name} is not of the ledger {path}, whose own file of this name would overwrite it: rename one of them"
        )


def _prepare(connection: sqlite3.Connection, path: str, found: int, *, writable: bool) -> None:
    for pragma in (
        "trusted_schema = OFF",
        "cell_size_check = ON",
        f"synchronous = {SYNCHRONOUS}",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")
    if found < schema.version():
        _migrate(connection, path, found, writable=writable)
    if not writable:
        connection.execute("PRAGMA query_only = ON")
    connection.execute("BEGIN")
    try:
        schema.check_schema(connection, path)
        answer = connection.execute("PRAGMA integrity_check(1)").fetchone()
    finally:
        connection.execute("ROLLBACK")
    if answer != ("ok",):
        damaged(path, str(answer[0]) if answer else "no answer")


def _migrate(connection: sqlite3.Connection, path: str, found: int, *, writable: bool) -> None:
    """Brings an older ledger to this version, in one transaction."""
    if not writable:
        raise InvalidInput(f"{path} is a ledger of version {found}: the next verify with it brings it to this version")
    connection.execute("BEGIN IMMEDIATE")
    for migrate in schema.MIGRATIONS[found - 1 :]:
        migrate(connection)
    connection.execute(f"PRAGMA user_version = {schema.version()}")
    connection.execute("COMMIT")


def create(path: str, fill: Callable[[sqlite3.Connection], None]) -> None:
    """Makes a ledger that appears whole, and only where there is nothing of that name. OutputError, InvalidInput."""
    temporary = f"{path}.new-{os.urandom(6).hex()}"
    try:
        with translated(path):
            connection = sqlite3.connect(temporary, isolation_level=None)
            try:
                connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
                connection.execute("BEGIN IMMEDIATE")
                schema.make_tables(connection)
                fill(connection)
                connection.execute("COMMIT")
            finally:
                connection.close()
        _publish(temporary, path)
    finally:
        for name in (temporary, f"{temporary}-journal"):
            with contextlib.suppress(OSError):
                os.unlink(name)


def _publish(temporary: str, path: str) -> None:
    try:
        os.link(temporary, path)
        fd = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except FileExistsError as error:
        raise DeviceBusy(f"{path} was made by somebody else just now: run this again") from error
    except OSError as error:
        raise OutputError(f"cannot make the ledger {path}: {os.strerror(error.errno or 0)}") from error


def damaged(path: str, why: str) -> NoReturn:
    """Raises the error of a ledger that cannot be believed."""
    raise InvalidInput(f"{path} is damaged ({' '.join(why.split())[:200]}): {_DAMAGED}")


@contextlib.contextmanager
def translated(path: str) -> Iterator[None]:
    """SQLite's errors in our words: a full disk is trouble with output, what is no database is bad input."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorname", "") or ""
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise DeviceBusy(f"{path} is in use: {error}") from error
        if code.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            raise OutputError(f"cannot write the ledger {path}: {error}; what it held before is kept") from error
        damaged(path, str(error))
    except (sqlite3.DatabaseError, OverflowError, UnicodeError) as error:
        damaged(path, str(error))
