"""One server at a unix socket: two that start at once would else both take it for abandoned."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

from blockdiff.errors import DeviceBusy, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 10.0  # seconds; who starts or ends holds it for a moment only


@contextlib.contextmanager
def socket_lock(path: str) -> Iterator[None]:
    """Holds the directory of a socket while one looks who listens there, and begins or ends to listen.

    The directory itself, for CSI forbids plugins to make files beside their socket. Raises DeviceBusy if somebody keeps
    holding it, InvalidInput if there is no such directory.
    """
    try:
        fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidInput(f"cannot listen on {path}: its directory: {error.strerror}") from None
    try:
        _hold(fd, path)
        yield
    finally:
        os.close(fd)


def _hold(fd: int, path: str) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() > until:
                raise DeviceBusy(f"cannot listen on {path}: another process holds its directory") from error
            time.sleep(0.05)
        else:
            return


def inode(path: str) -> tuple[int, int] | None:
    """Tells the socket at a path from a later one there."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def remove(path: str, mine: tuple[int, int] | None) -> None:
    """Removes a socket if it is still the same one."""
    with contextlib.suppress(OSError, DeviceBusy, InvalidInput), socket_lock(path):
        if mine is not None and inode(path) == mine:
            os.unlink(path)
