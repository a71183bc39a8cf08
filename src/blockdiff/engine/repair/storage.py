"""The file that a journal is in."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from typing import NoReturn, Protocol

from blockdiff import _fast
from blockdiff.errors import DeviceBusy, DeviceError, InvalidInput

_CANNOT = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


class Storage(Protocol):
    """What a journal asks of the place that it is in. Units are bytes."""

    name: str

    def size(self) -> int:
        """How many bytes there are."""

    def read(self, offset: int, length: int) -> bytes:
        """So many bytes, or fewer where it ends."""

    def write(self, data: bytes, offset: int) -> None:
        """All of ``data``, or DeviceError."""

    def sync(self) -> None:
        """Returns when what was written is on stable storage."""

    def cut(self, size: int) -> None:
        """Forgets what is beyond ``size``."""

    def reserve(self, offset: int, length: int) -> None:
        """Makes sure that so much can be written there, as far as that can be known. DeviceError (ENOSPC)."""

    def close(self) -> None:
        """Gives it back."""


class FileStorage:
    """A regular file, locked as long as it is open. Raises DeviceError."""

    def __init__(self, fd: int, name: str, *, nameless: bool = False) -> None:
        self._fd, self.name, self._nameless = fd, name, nameless

    @classmethod
    def create(cls, name: str) -> FileStorage:
        """A new file that only its owner can read; ``publish`` gives it its name, where the file system can do that.

        InvalidInput where there is a file of that name.
        """
        if os.path.lexists(name):
            raise _taken(name)
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY
        with contextlib.suppress(OSError):
            directory = os.path.dirname(name) or "."
            return cls(os.open(directory, flags | os.O_TMPFILE, 0o600), name, nameless=True).lock()
        try:
            fd = os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise _taken(name) from error
        except OSError as error:
            raise DeviceError(url=name, action="make the journal", errno=error.errno) from error
        return cls(fd, name).lock()

    @classmethod
    def open(cls, name: str, *, writable: bool) -> FileStorage:
        """An existing file. DeviceBusy where another process works with it; InvalidInput where it is no file."""
        try:
            flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
            if not stat.S_ISREG(os.stat(name).st_mode):
                raise InvalidInput(f"{name} is no regular file, and a journal is one")
            fd = os.open(name, flags)
        except OSError as error:
            raise DeviceError(url=name, action="open the journal", errno=error.errno) from error
        except ValueError as error:  # a zero byte in the name
            raise InvalidInput(f"{name!r}: {error}") from error
        storage = cls(fd, name)
        return storage.lock() if writable else storage

    def lock(self) -> FileStorage:
        """Keeps other repairs and undos away. DeviceBusy where one is at work."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise DeviceError(url=self.name, action="lock the journal", errno=error.errno) from error
            raise DeviceBusy(f"the journal {self.name} is in use by another repair or undo") from error
        return self

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def read(self, offset: int, length: int) -> bytes:
        parts = []
        try:
            while length > 0 and (part := os.pread(self._fd, length, offset)):
                parts.append(part)
                offset, length = offset + len(part), length - len(part)
        except OSError as error:
            self._failed(error, "read the journal", offset, length)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, data: bytes, offset: int) -> None:
        with memoryview(data) as view:
            done = 0
            while done < len(view):
                try:
                    count = os.pwrite(self._fd, view[done:], offset + done)
                    if not count:
                        raise OSError(errno.EIO, os.strerror(errno.EIO))
                except OSError as error:
                    self._failed(error, "write the journal", offset + done, len(view) - done)
                done += count

    def sync(self) -> None:
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            self._failed(error, "write the journal")

    def publish(self) -> None:
        """Gives a new file its name, durably: a journal of that name is a whole one. InvalidInput where it is taken."""
        try:
            if self._nameless:
                self._name()
            fd = os.open(os.path.dirname(os.path.abspath(self.name)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except FileExistsError as error:
            raise _taken(self.name) from error
        except OSError as error:
            self._failed(error, "name the journal")

    def _name(self) -> None:
        self._nameless = False
        try:
            os.link(f"/proc/self/fd/{self._fd}", self.name, follow_symlinks=True)
        except FileExistsError:
            raise
        except OSError:  # a file system that makes nameless files and cannot name them
            nameless, data = self._fd, self.read(0, self.size())
            self._fd = os.open(self.name, os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY | os.O_CREAT | os.O_EXCL, 0o600)
            os.close(nameless)
            self.lock()
            self.write(data, 0)
            self.sync()

    def cut(self, size: int) -> None:
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            self._failed(error, "cut the journal", size)

    def reserve(self, offset: int, length: int) -> None:
        try:
            _fast.fallocate(self._fd, _fast.FALLOC_KEEP_SIZE, offset, length)
        except OSError as error:
            if error.errno not in _CANNOT:
                self._failed(error, "reserve space for the journal", offset, length)
            free = os.fstatvfs(self._fd)
            if free.f_bavail * free.f_frsize < length:
                no_space = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                self._failed(no_space, "reserve space for the journal", offset, length)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _failed(self, error: OSError, action: str, offset: int | None = None, length: int | None = None) -> NoReturn:
        raise DeviceError(url=self.name, action=action, offset=offset, length=length, errno=error.errno) from error


def _taken(name: str) -> InvalidInput:
    return InvalidInput(f"{name} is there already, and a journal never overwrites anything")
