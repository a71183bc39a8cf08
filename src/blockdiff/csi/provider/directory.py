"""A directory in which each regular file is a snapshot; its id is its path in there. Nothing outside is reachable."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from blockdiff.engine.registry import open_device
from blockdiff.errors import DeviceError, InvalidInput, SnapshotNotFound, SourceError
from blockdiff.locator import Locator

if TYPE_CHECKING:
    from blockdiff.engine.device import Device

_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_SUCH = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL)


class Directory:
    """Regular files below ``root``, walked to without following a symbolic link. InvalidInput if it is no directory."""

    def __init__(self, root: str) -> None:
        self.root = root
        try:
            found = os.stat(root)
        except (OSError, ValueError) as error:
            raise InvalidInput(f"cannot serve {root}: {getattr(error, 'strerror', None) or error}") from None
        if not stat.S_ISDIR(found.st_mode):
            raise InvalidInput(f"cannot serve {root}: it is no directory")

    def open(self, snapshot: str) -> Device:
        parts = snapshot.split("/")
        if not snapshot or "\0" in snapshot or any(part in ("", ".", "..") for part in parts):
            raise _unknown(snapshot)
        held = self._root()
        try:
            for part in parts:
                below = self._step(held, part, snapshot)
                os.close(held)
                held = below
            if not stat.S_ISREG(os.fstat(held).st_mode):
                raise _unknown(snapshot)
            # by the descriptor: what was looked at is what is opened, whatever its name means by now
            device = open_device(Locator("file", f"/proc/self/fd/{held}", snapshot))
        except DeviceError as error:
            error.url = snapshot
            raise
        finally:
            os.close(held)
        device.url = snapshot
        return device

    def volume(self, snapshot: str) -> str:
        return ""

    def ready(self) -> bool:
        return os.access(self.root, os.R_OK | os.X_OK)

    def _root(self) -> int:
        try:
            return os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise SourceUnavailable(f"the directory {self.root} cannot be opened: {error.strerror}") from None

    def _step(self, held: int, part: str, snapshot: str) -> int:
        try:
            return os.open(part, _STEP, dir_fd=held)
        except OSError as error:
            if error.errno in _NO_SUCH:
                raise _unknown(snapshot) from None
            raise DeviceError(url=snapshot, action="open", errno=error.errno) from error
        except ValueError:  # a name that no file can have
            raise _unknown(snapshot) from None


class SourceUnavailable(SourceError):
    """Nothing of the source can be opened now."""

    retryable = True


def _unknown(snapshot: str) -> SnapshotNotFound:
    return SnapshotNotFound(f"there is no snapshot {snapshot!r}")
