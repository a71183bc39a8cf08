"""Small files that are there only when they are whole: written beside their name, synced, and then given it."""

from __future__ import annotations

import contextlib
import os
import stat

from blockdiff.errors import InvalidInput, OutputError


def check_place(path: str, *, replace: bool = False) -> None:
    """Refuses, before any work is done for it, a file that could not be placed. Raises InvalidInput, OutputError.

    ``replace``: a regular file of this name may be there.
    """
    there = _mode(path)
    if there is not None and not replace:
        raise InvalidInput(f"{path} exists already, and is not overwritten")
    if there is not None and not stat.S_ISREG(there):
        raise InvalidInput(f"{path} is no regular file, and is not replaced")
    if not os.path.basename(path):  # empty, or with a slash at its end
        why = f"there is no directory {path}" if path else "the name of a file is needed"
        raise InvalidInput(f"cannot write '{path}': {why}")
    directory = _directory(path)
    if not os.path.isdir(directory):
        raise InvalidInput(f"cannot write {path}: there is no directory {directory}")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: no permission to make files in {directory}")


def place_file(path: str, data: bytes, *, mode: int | None = None, replace: bool = False) -> None:
    """Writes a file of these bytes; at every moment there is the whole new one, the old one, or none.

    ``mode``: permissions; None: what the umask leaves. Without ``replace`` a file of this name is never touched, also
    when it appears meanwhile. Raises InvalidInput, OutputError.
    """
    check_place(path, replace=replace)
    try:
        _place(path, data, _permissions() if mode is None else mode, replace)
    except FileExistsError:
        raise InvalidInput(f"{path} exists already, and is not overwritten") from None
    except OSError as error:
        raise OutputError(f"cannot write {path}: {os.strerror(error.errno or 0)}", errno=error.errno) from error


def _place(path: str, data: bytes, mode: int, replace: bool) -> None:
    import tempfile

    number, beside = tempfile.mkstemp(prefix=f".{os.path.basename(path)[:200]}-", dir=_directory(path))
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(number, mode)
            os.fsync(number)
        if replace:
            os.replace(beside, path)
        else:
            _link(beside, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(beside)
    _sync(_directory(path))


def _link(beside: str, path: str) -> None:
    """Gives the file its name only if nothing has it."""
    try:
        os.link(beside, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if _mode(path) is not None:
            raise FileExistsError(path) from None
        os.rename(beside, path)


def _sync(directory: str) -> None:
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _directory(path: str) -> str:
    return os.path.dirname(os.path.abspath(path))


def _mode(path: str) -> int | None:
    """Type and permissions of what has this name, links not followed; None: nothing has it."""
    try:
        return os.lstat(path).st_mode
    except OSError:
        return None


def _permissions() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
