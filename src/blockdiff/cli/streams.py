"""The standard streams: taken care of before the first device is opened and after the last word is said."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

from blockdiff.errors import OutputError


def say(text: str) -> None:
    """To stderr. Where that cannot be written the exit code has to say it, so it must not change."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)


def hold_streams() -> None:
    """Takes the numbers of standard streams that are closed, so that no device gets one: messages would land there.

    Reading from stdin and writing to stdout then fail, as they should; what nobody can see on stderr is dropped.
    """
    for number, (name, mode, flags) in enumerate((("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY),
                                                  ("stderr", "w", os.O_WRONLY))):  # fmt: skip
        if getattr(sys, name) is None:
            fd = os.open(os.devnull, flags)
            if fd != number:
                os.dup2(fd, number)
                os.close(fd)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - it stays open
    _buffer_stdout()


def _buffer_stdout() -> None:
    """With PYTHONUNBUFFERED a write takes what the system takes, and says nothing of the rest: output would be cut."""
    import io

    raw: object = getattr(sys.stdout, "buffer", None)
    if isinstance(raw, io.RawIOBase):
        out = sys.stdout
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), out.encoding, out.errors)


def silence_stdout() -> None:
    """Keeps the interpreter from complaining about unwritten output when it ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def leave(code: int, *, unwritten: int = OutputError.exit_code) -> NoReturn:
    """Ends at once: everything is flushed, and taking the interpreter apart would cost more than a small verify.

    ``unwritten`` is the exit code when stdout does not take what is left, unless ``code`` tells of worse.
    """
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        code = code if code > 1 else unwritten
        silence_stdout()
    try:
        sys.stderr.flush()
    finally:
        if "coverage" in sys.modules:
            sys.exit(code)
        os._exit(code)
