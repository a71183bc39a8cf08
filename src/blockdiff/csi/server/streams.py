"""Streams with a limit: how many at once, how long each, and one end for each, told once."""

from __future__ import annotations

import contextlib
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from blockdiff.csi.server.call import Call
from blockdiff.csi.server.guard import messages
from blockdiff.csi.server.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from blockdiff.csi.rpc import Method
    from blockdiff.record import Record

    Behaviour = Callable[[Any, Call], Iterable[Record]]

_log = logging.getLogger("blockdiff.csi.server")
SPARE = 8  # threads beyond the limit, which only refuse
LAST_WORDS = 5.0  # seconds after the deadline for the status to be sent, before the call is torn down


class Streams:
    """Serves streams of records. ``duration`` (seconds) is the longest that one may take.

    A behaviour takes the request and its Call, checks what it can, and gives the records; whatever it raises becomes
    the status. ``ended`` is told each Call that came to its end.
    """

    def __init__(self, limit: int, duration: float, ended: Callable[[Call], None] | None = None) -> None:
        self.limit = limit
        self._duration = duration
        self._ended = ended
        self._free = threading.BoundedSemaphore(limit)
        self._pool = ThreadPoolExecutor(limit + SPARE, thread_name_prefix="stream")
        self._watchdog = Watchdog()

    def wrap(self, method: Method, behaviour: Behaviour) -> Any:
        """The behaviour as gRPC takes it."""

        def serve(request: Any, context: Any) -> Iterator[bytes]:
            return self._serve(method, behaviour, request, context)

        serve.experimental_thread_pool = self._pool  # type: ignore[attr-defined]
        return serve

    def close(self) -> None:
        """Gives the threads back; those that still serve go on until their call ends."""
        self._pool.shutdown(wait=False)
        self._watchdog.close()

    def _serve(self, method: Method, behaviour: Behaviour, request: Any, context: Any) -> Iterator[bytes]:
        call = Call(method.name, context, self._duration)
        if not self._free.acquire(blocking=False):
            call.code, call.details = "RESOURCE_EXHAUSTED", f"{self.limit} streams are being served: try again later"
            self._end(call, context)
            return
        try:
            yield from self._answer(behaviour, request, call, context)
        finally:
            self._free.release()
            if call.code == "CANCELLED":
                call.code = call.cancelled.reason
            self._end(call, context)

    def _answer(self, behaviour: Behaviour, request: Any, call: Call, context: Any) -> Iterator[bytes]:
        if not context.add_callback(call.cancelled.cancel):
            return
        alarm = self._watchdog.at(call.deadline, lambda: self._too_late(call, context))
        try:
            with contextlib.ExitStack() as stack:
                records = behaviour(request, call)
                close = getattr(records, "close", None)
                if close is not None:
                    stack.callback(close)
                yield from messages(records, call, start=request.starting_offset, limit=request.max_results)
            call.code = "OK"
        except Exception as error:  # noqa: BLE001 - a fault of one call stays in it
            call.failed(error)
            if call.details.startswith("internal error"):
                _log.exception("%s failed", call.method)
        finally:
            self._watchdog.forget(alarm)

    def _too_late(self, call: Call, context: Any) -> None:
        call.cancelled.cancel("DEADLINE_EXCEEDED")
        self._watchdog.at(call.deadline + LAST_WORDS, context.cancel)

    def _end(self, call: Call, context: Any) -> None:
        """Sets the status, and tells of it."""
        import grpc

        if self._ended is not None:
            try:
                self._ended(call)
            except Exception:  # noqa: BLE001 - of a metric or a log line
                _log.exception("the end of a call could not be told")
        if call.code != "OK":
            code = getattr(grpc.StatusCode, call.code, grpc.StatusCode.UNKNOWN)
            context.set_details(call.details)
            context.set_code(code)
