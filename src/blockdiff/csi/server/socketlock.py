"""One server at a unix socket: two that start at once would else both take it for abandoned."""

from __future__ import annotations

import fcntl
import os

from blockdiff.errors import DeviceBusy, InvalidInput


class SocketLock:
    """Holds ``PATH.lock`` beside a socket until it is released; the kernel releases it when the process ends.

    Raises DeviceBusy if another server holds it, InvalidInput if the file cannot be made.
    """

    def __init__(self, path: str) -> None:
        self._path = f"{path}.lock"
        while True:
            self._fd = self._open()
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(self._fd)
                raise DeviceBusy(f"cannot listen on {path}: another server holds {self._path}") from error
            if self._current():
                return
            os.close(self._fd)  # its owner removed it while it was opened here

    def release(self) -> None:
        """Removes the file while it is still held. Safe to call again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.unlink(self._path)
            os.close(fd)

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise InvalidInput(f"cannot listen: {self._path} cannot be made: {error.strerror}") from None

    def _current(self) -> bool:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return False
        held = os.fstat(self._fd)
        return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)
