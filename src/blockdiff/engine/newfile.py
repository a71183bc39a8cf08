"""A file that is there only when it is whole."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from typing import TYPE_CHECKING

from blockdiff.errors import InvalidInput, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO


@contextlib.contextmanager
def new_file(name: str, *, instead: str = "name a file") -> Iterator[BinaryIO]:
    """A binary file to write. It stands beside its name and gets it when all is on stable storage, and not after an
    error. ``-`` is standard output; pipes are written directly. Raises OutputError; InvalidInput for a block device,
    which says what to do ``instead``.
    """
    path = os.path.realpath(name)
    if name != "-" and _is_block(path):
        raise InvalidInput(f"{name} is a block device, which would be overwritten: {instead}")
    if name == "-":
        yield sys.stdout.buffer
    elif _is_special(name):  # not by its real path: /dev/stdout of a pipe has none
        with _told(name):
            special: BinaryIO = open(name, "wb")  # noqa: SIM115 - closed below
        with _closed(special, name):
            yield special
    else:
        with _beside(path, name) as file:
            yield file


@contextlib.contextmanager
def _beside(path: str, name: str) -> Iterator[BinaryIO]:
    with _told(name):
        number, beside = tempfile.mkstemp(prefix=f".{os.path.basename(path)[:200]}-", dir=os.path.dirname(path))
    try:
        with _closed(os.fdopen(number, "wb"), name) as file:
            yield file
            with _told(name):
                file.flush()
                os.fsync(number)
        with _told(name):
            os.chmod(beside, _mode(path))
            os.replace(beside, path)
            _sync_directory(os.path.dirname(path))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def _sync_directory(path: str) -> None:
    """The new name is on stable storage too."""
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextlib.contextmanager
def _closed(file: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """Closes the file; what cannot be written then is told, unless an error is on its way already."""
    try:
        yield file
    except BaseException:
        with contextlib.suppress(OSError):
            file.close()
        raise
    with _told(name):
        file.close()


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {name}: {os.strerror(error.errno or 0)}", errno=error.errno) from error


def _is_special(path: str) -> bool:
    """Whether there is something of this name that cannot be replaced; a directory fails when it is opened."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _is_block(path: str) -> bool:
    try:
        return stat.S_ISBLK(os.stat(path).st_mode)
    except OSError:
        return False


def _mode(path: str) -> int:
    """The permissions that the file has, or that a new one gets."""
    with contextlib.suppress(OSError):
        return stat.S_IMODE(os.stat(path).st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
