"""Runs a server until a signal, or until it ends by itself; and its log."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from blockdiff.errors import BlockdiffError

_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)
_LOOK = 0.5  # seconds
_log = logging.getLogger("blockdiff.csi.server")


class Server(Protocol):
    """``ended`` is set when it ends by itself; ``failed`` says why."""

    failed: BlockdiffError | None
    ended: threading.Event

    def start(self) -> None: ...

    def stop(self, grace: float) -> None: ...


def run(server: Server, *, grace: float) -> int:
    """Serves until SIGINT, SIGHUP, SIGQUIT or SIGTERM; then streams get ``grace`` seconds, or until a second signal.

    The exit code is 0; what ended the server by itself is raised.
    """
    allow_files()
    with _handlers(server):
        try:
            server.start()
            # looked at again and again: a signal just before the wait, or on another thread, does not end it
            while not server.ended.wait(_LOOK):
                pass
        finally:
            server.stop(0 if server.failed else grace)
    if server.failed is not None:
        raise server.failed
    _log.info("ended")
    return 0


def allow_files() -> None:
    """As many open files as the administrator allows: each client is one, and one of a thousand is soon reached."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.contextmanager
def _handlers(server: Server) -> Iterator[None]:
    asked = False

    def told(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked or server.ended.is_set():
            os._exit(128 + number)  # asked twice: at once
        asked = True
        # on a thread: the lock of the event, and of the log, may be held by what was interrupted
        threading.Thread(target=_end, args=(server, number), name="signal").start()

    before = {number: signal.signal(number, told) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(server: Server, number: int) -> None:
    _log.info("%s: no new streams; those that run may finish", signal.Signals(number).name)
    server.ended.set()


def write_log(form: str, verbosity: int) -> None:
    """The log goes to stderr as ``text`` or ``json``; from verbosity 4 on with what is for developers."""
    os.environ.setdefault(
        "GRPC_VERBOSITY", "NONE" if verbosity < 4 else "INFO"
    )  # the core's own words are no lines of ours
    if form not in _FORMATS:
        raise InvalidInput(f"the log can be {' or '.join(_FORMATS)}, not {form!r}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMATS[form]())
    logging.raiseExceptions = False  # a log that cannot be written ends no stream
    logger = logging.getLogger("blockdiff")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbosity >= 4 else logging.INFO)
    logger.propagate = False
    logging.getLogger().handlers[:] = [handler]  # libraries
    if verbosity < 4:
        logging.getLogger("grpc").setLevel(logging.CRITICAL)  # it has a traceback for each request that is no request


def _when(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


class _Text(logging.Formatter):
    """``TIME LEVEL MESSAGE key="value" ...``, one line each."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        words = [
            _when(record),
            record.levelname,
            record.getMessage(),
            *(f"{k}={json.dumps(v)}" for k, v in fields.items()),
        ]
        if record.exc_info:
            words.append(self.formatException(record.exc_info))
        return " ".join(words).replace("\n", "\\n")


class _Json(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        value: dict[str, Any] = {
            "time": _when(record),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        value.update(getattr(record, "fields", {}))
        if record.exc_info:
            value["exception"] = self.formatException(record.exc_info)
        return json.dumps(value, ensure_ascii=False)


_FORMATS: dict[str, type[logging.Formatter]] = {"text": _Text, "json": _Json}
