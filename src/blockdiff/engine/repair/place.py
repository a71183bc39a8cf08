"""Where journals are kept when nobody says where."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import time
from typing import Any

from blockdiff.engine.repair.contents import is_stub
from blockdiff.engine.repair.identity import check_device, refuse_on_device
from blockdiff.engine.repair.journal import Journal
from blockdiff.engine.repair.layout import UNDOING
from blockdiff.engine.repair.storage import FileStorage
from blockdiff.errors import DeviceBusy, DeviceError, InvalidInput

VARIABLE = "BLOCKDIFF_JOURNALS"
_SYSTEM = "/var/lib/blockdiff/journals"


def journal_directory() -> str:
    """``$BLOCKDIFF_JOURNALS``; else /var/lib/blockdiff/journals for root, and for others below ``$XDG_STATE_HOME``."""
    asked = os.environ.get(VARIABLE)
    if asked:
        return asked
    if os.geteuid() == 0:
        return _SYSTEM
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(home, "blockdiff", "journals")


def default_journal(device: Any) -> str:
    """A name that no journal has yet: of the device, the time in UTC, and something random.

    The directory is made where it is missing. DeviceError.
    """
    directory = journal_directory()
    try:
        _make(os.path.abspath(directory))
    except OSError as error:
        raise DeviceError(url=directory, action="make the directory of journals", errno=error.errno) from error
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", os.path.basename(device.url.partition("?")[0].rstrip("/"))).strip("-.")
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return os.path.join(directory, f"{name[:80] or 'device'}-{stamp}-{os.urandom(3).hex()}.undo")


def _make(directory: str, mode: int = 0o700) -> None:
    """A directory with those above it, durably: a journal in one that a loss of power takes away is lost. OSError."""
    if os.path.isdir(directory):
        return
    above = os.path.dirname(directory)
    if above != directory:
        _make(above, 0o777)
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, mode)
    fd = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def hold(device: Any, *, force: bool = False) -> None:
    """Keeps other repairs and undos away from an image file, as long as it is open; a block device is held anyway.

    DeviceBusy where one is at work (``force`` overrides).
    """
    if getattr(device, "path", None) is None or getattr(device, "is_block", False):
        return
    try:
        fcntl.flock(device.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        if not force:
            why = "another repair or undo is at work on it"
            raise DeviceBusy(f"refusing to write to {device.url}: {why} (--force overrides)", reasons=(why,)) from error
    except OSError:  # a file system without locks
        return


def check_place(name: str | None, device: Any, description: dict[str, Any]) -> None:
    """Refuses early what would fail after a long comparison: a place where no journal can be, or a file in its way.

    InvalidInput, DeviceError.
    """
    directory = _nearest(journal_directory()) if name is None else os.path.dirname(name) or "."
    if not os.access(directory, os.W_OK | os.X_OK) or not os.path.isdir(directory):
        number = errno.EACCES if os.path.isdir(directory) else errno.ENOENT
        raise DeviceError(url=directory, action="make a journal in", errno=number)
    refuse_on_device(directory if name is None else os.path.dirname(os.path.realpath(name)), device)
    if name is not None and os.path.lexists(name):
        _check_existing(name, description)


def _check_existing(name: str, description: dict[str, Any]) -> None:
    storage = FileStorage.open(name, writable=True)
    try:
        if is_stub(storage):
            return
        contents = Journal.open(storage).contents
        assert contents is not None
        check_device(contents.device, description, name)
        if contents.slot.state >= UNDOING:
            raise InvalidInput(f"the journal {name} was undone, at least in part, and cannot go on: name a new one")
    finally:
        storage.close()


def _nearest(directory: str) -> str:
    """The directory, or the one above it that exists."""
    path = os.path.abspath(directory)
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path
