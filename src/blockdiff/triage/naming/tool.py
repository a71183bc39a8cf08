"""Runs a program on an image that nobody vouches for: read-only, in bounded time, memory and output."""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS = 60.0
MEMORY = 4 << 30  # bytes of address space
OUTPUT = 64 << 20
_PATH = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
PACKAGES = {"debugfs": "e2fsprogs", "xfs_db": "xfsprogs"}


class ToolFailed(Exception):
    """Why there is no answer, in words."""


def run_tool(words: Sequence[str], fd: int, commands: bytes = b"", *, seconds: float = SECONDS) -> bytes:
    """What the program prints. It gets the descriptor ``fd``, and ``commands`` on its standard input.

    Raises ToolFailed where it is missing, takes too long, prints too much or ends badly.
    """
    program = shutil.which(words[0], path=_PATH)
    if program is None:
        raise ToolFailed(f"{words[0]} is not installed (package {PACKAGES[words[0]]})")
    process = subprocess.Popen(
        [program, *words[1:]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(fd,),
        cwd="/",
        env={"PATH": _PATH, "LC_ALL": "C", "PAGER": "cat", "HOME": "/"},
        start_new_session=True,  # Ctrl-C is for us, and we end it
    )
    try:
        _confine(process.pid, seconds)
        output = _talk(process, commands, time.monotonic() + seconds, words[0])
    finally:
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        code = process.wait()
    if code and not output:
        raise ToolFailed(f"{words[0]} ended with {code}")
    return output


def _confine(pid: int, seconds: float) -> None:
    """Limits on what it may use; it can write no file."""
    cpu = int(seconds) + 1
    for what, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(OSError, ValueError):
            resource.prlimit(pid, what, (most, most))


def _talk(process: subprocess.Popen[bytes], commands: bytes, end: float, name: str) -> bytes:
    """Writes the commands and reads the answers, whichever goes."""
    assert process.stdin is not None
    assert process.stdout is not None
    parts: list[bytes] = []
    total, left = 0, memoryview(commands)
    with selectors.DefaultSelector() as selector:
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdout, selectors.EVENT_READ)
        if left:
            selector.register(process.stdin, selectors.EVENT_WRITE)
        else:
            process.stdin.close()
        while True:
            if time.monotonic() > end:
                raise ToolFailed(f"{name} took too long")
            for key, _ in selector.select(min(1.0, max(0.0, end - time.monotonic()))):
                if key.fileobj is process.stdin:
                    left = _feed(process, left)
                    if not left:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                    continue
                data = os.read(process.stdout.fileno(), 1 << 16)
                total += len(data)
                if not data:
                    try:
                        process.wait(max(0.1, end - time.monotonic()))
                    except subprocess.TimeoutExpired:
                        raise ToolFailed(f"{name} took too long") from None
                    return b"".join(parts)
                if total > OUTPUT:
                    raise ToolFailed(f"{name} says too much")
                parts.append(data)


def _feed(process: subprocess.Popen[bytes], left: memoryview) -> memoryview:
    assert process.stdin is not None
    try:
        return left[os.write(process.stdin.fileno(), left[: 1 << 16]) :]
    except BlockingIOError:
        return left
    except BrokenPipeError:
        return memoryview(b"")
