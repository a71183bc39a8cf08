"""Keeps a checkpoint in its file: always a whole one, the old one or the new one, whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdiff.engine.checkpoint.form import State
    from blockdiff.engine.checkpoint.log import Log

EVERY = 5.0
COST = 20  # a save may take this part of the time, at most


class Checkpoint:
    """A checkpoint in ``path``, saved ``every`` so many seconds. With ``keep`` it stays when all is done.

    ``begin`` takes up what is there; ``save`` writes a state; ``close`` ends its use. Beside it, where there is much to
    keep, is ``path``.data. Only one run at a time can have it. Raises InvalidInput.
    """

    def __init__(self, path: str | os.PathLike[str], *, every: float = EVERY, keep: bool = False) -> None:
        self.path, self.keep, self._every = os.fspath(path), keep, every
        self.trouble = ""
        self.state: State | None = None
        self.id, self.run = "", 1
        self.done = False
        self.at_close: Callable[[], None] | None = None
        self._lock = -1
        self._cost = 0.0
        self._next = 0.0
        self._log: Log | None = None

    @property
    def name(self) -> str:
        """The path as text."""
        return os.fsdecode(self.path)

    @property
    def log(self) -> Log:
        """The file beside it; after ``begin``."""
        assert self._log is not None, "begin() makes it"
        return self._log

    def begin(self, job: dict[str, Any]) -> State | None:
        """The state to go on from, None where there is none yet. InvalidInput: it is of another job, or damaged."""
        try:
            return self._begin(job)
        except BaseException:
            self._unlock()
            raise

    def _begin(self, job: dict[str, Any]) -> State | None:
        from blockdiff.engine.checkpoint.boot import this_boot
        from blockdiff.engine.checkpoint.form import decode
        from blockdiff.engine.checkpoint.job import refuse_other, refuse_unsure
        from blockdiff.engine.checkpoint.log import Log

        data = self._locked()
        self._refuse_other_part()
        self._schedule()
        state = None if data is None else decode(data, self.name)
        if state is not None:
            then = {"blockdiff": state.program, "byte_order": state.byte_order}
            refuse_other(self.name, then | state.job, _here() | job)
            if state.ended:
                refuse_unsure(self.name, job, state.parts[-1].saved, restarted=state.boot != this_boot())
        number = state.id if state is not None else os.urandom(8).hex()
        log = Log(self.name + ".data", number)
        log.refuse_other()
        if state is not None:
            log.take_up(state.log)
        self._log, self.id, self.state = log, number, state
        self.run = 1 if state is None else state.parts[-1].run + 1
        return state

    @property
    def has_more(self) -> bool:
        """Whether another run can go on from it."""
        return self.state is not None and not self.trouble and not (self.done and not self.keep)

    def discard(self) -> None:
        """What was done is worth nothing: it will be gone."""
        self.done, self.keep = True, False

    @property
    def usable(self) -> bool:
        """Whether it can be saved: nothing went wrong, and it was not closed."""
        return not self.trouble and self._log is not None

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return self.usable and time.monotonic() >= self._next

    def save(self, state: State) -> None:
        """Makes it the state in the file, on stable storage; where that fails, ``trouble`` says why from then on."""
        self.state = state
        if not self.usable:
            return
        began = time.monotonic()
        try:
            self._write(state)
        except OSError as error:
            self.trouble = os.strerror(error.errno or 0)
        self._cost = time.monotonic() - began
        self._schedule()

    def _schedule(self) -> None:
        self._next = time.monotonic() + max(self._every, COST * self._cost if self._every else 0)

    def _write(self, state: State) -> None:
        from blockdiff.engine.checkpoint.form import encode

        self.log.sync()
        self._refuse_replaced()
        part = self.name + ".part"
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            _lock(fd)
            data = memoryview(encode(state))
            while data:
                data = data[os.write(fd, data) :]
            os.fsync(fd)
            os.rename(part, self.path)
        except BaseException:
            os.close(fd)
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise
        old, self._lock = self._lock, fd
        if old >= 0:
            os.close(old)
        _sync_directory(self.path)

    def _refuse_replaced(self) -> None:
        """FileExistsError where another file has one of the names by now, such as an output of this very run."""
        if os.path.exists(self.path) and not (self._lock >= 0 and _is_still(self._lock, self.path)):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        try:
            self._refuse_other_part()
        except InvalidInput as error:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error

    def _locked(self) -> bytes | None:
        """What is in the file, which is ours alone from now on; None where there is none."""
        for _ in range(100):
            try:
                fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            except FileNotFoundError:
                self._new()
                return None
            except OSError as error:
                raise InvalidInput(
                    f"cannot open the checkpoint {self.name}: {os.strerror(error.errno or 0)}"
                ) from error
            if not _lock(fd):
                os.close(fd)
                break
            if _is_still(fd, self.path):
                self._lock = fd
                return self._read(fd)
            os.close(fd)  # it was replaced meanwhile
        raise InvalidInput(
            f"the checkpoint {self.name} is in use by another run: wait until that has ended, or name another file"
        )

    def _read(self, fd: int) -> bytes:
        import stat

        from blockdiff.engine.checkpoint.form import MAX_SIZE, damaged

        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidInput(f"{self.name} is no file: a checkpoint is one; name another")
        if status.st_size > MAX_SIZE:
            raise damaged(self.name, f"it has {status.st_size} bytes")
        with open(fd, "rb", closefd=False) as file:
            return file.read()

    def _new(self) -> None:
        """A checkpoint that cannot be written is told now, not after hours."""
        try:
            self._refuse_other_part()
            os.close(os.open(self.name + ".part", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))
            os.unlink(self.name + ".part")
            _sync_directory(self.path)
        except OSError as error:
            raise InvalidInput(f"cannot make the checkpoint {self.name}: {os.strerror(error.errno or 0)}") from error

    def _refuse_other_part(self) -> None:
        """The name under which a new state is written must not be somebody else's."""
        from blockdiff.engine.checkpoint.form import MAGIC

        part = self.name + ".part"
        try:
            with open(part, "rb", buffering=0) as file:
                start = file.read(len(MAGIC))
        except FileNotFoundError:
            return
        except OSError as error:
            raise InvalidInput(f"cannot open {part}: {os.strerror(error.errno or 0)}") from error
        if not MAGIC.startswith(start):
            raise InvalidInput(f"{part} is there and not blockdiff's: name another checkpoint")

    def close(self) -> None:
        """Ends its use, saved once more. When ``done`` it is removed, unless it is to be kept."""
        if self.at_close is not None and not self.done:
            self.at_close()
        self.at_close = None
        if self.done and self.keep and self.state is not None:
            from msgspec.structs import replace

            self.save(replace(self.state, ended=True))
        remove = self.done and not self.keep
        if remove and self._lock >= 0 and _is_still(self._lock, self.path):
            with contextlib.suppress(OSError):
                os.unlink(self.path)
                _sync_directory(self.path)
        if self._log is not None:
            self._log.close(remove=remove)
            self._log = None
        self._unlock()

    def _unlock(self) -> None:
        fd, self._lock = self._lock, -1
        if fd >= 0:
            os.close(fd)


def program() -> str:
    """The version of blockdiff."""
    return str(sys.modules["blockdiff"].__version__)  # looking it up by importlib.metadata takes 20 ms


def _here() -> dict[str, Any]:
    return {"blockdiff": program(), "byte_order": sys.byteorder}


def _lock(fd: int) -> bool:
    """Whether the file is ours alone; a file system without locks cannot tell."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _is_still(fd: int, path: str) -> bool:
    try:
        now = os.stat(path)
    except OSError:
        return False
    then = os.fstat(fd)
    return (now.st_dev, now.st_ino) == (then.st_dev, then.st_ino)


def _sync_directory(path: str) -> None:
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems have nothing to do
            raise
    finally:
        os.close(fd)
