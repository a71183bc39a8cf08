"""One stream that is being served: its time, its end, and what is told of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from blockdiff.csi.driver import Cancelled, check_time
from blockdiff.csi.errors import StatusError
from blockdiff.errors import (
    BlockdiffError,
    InvalidInput,
    OutOfOrder,
    SnapshotNotFound,
    SnapshotNotReady,
    UnsupportedOperation,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST = 2048  # bytes of a status text on the wire: trailers have a limit, and a status that breaks it is lost
_CODES: tuple[tuple[type[BlockdiffError], str], ...] = (
    (SnapshotNotFound, "NOT_FOUND"),
    (SnapshotNotReady, "UNAVAILABLE"),
    (OutOfOrder, "INTERNAL"),
    (InvalidInput, "INVALID_ARGUMENT"),
    (UnsupportedOperation, "FAILED_PRECONDITION"),
)


class Call:
    """What a behaviour knows of its call beside the request.

    ``deadline`` is a time of ``time.monotonic()``; ``cancelled`` is set when the client is gone or the deadline passed.
    ``fields`` are told in the log line. ``messages``, ``tuples`` and ``bytes`` count what was sent.
    """

    def __init__(self, method: str, context: Any, duration: float) -> None:
        self.method = method
        self.started = time.monotonic()
        self.deadline = self.started + min(duration, context.time_remaining())
        self.cancelled = Cancelled()
        self.peer = str(context.peer())
        self.fields: dict[str, str | int] = {}
        self.messages = self.tuples = self.bytes = 0
        self.code, self.details = "CANCELLED", ""
        self._context = context

    @property
    def names(self) -> list[str]:
        """The names in the client's certificate, checked by TLS: of its SAN, then its common name; may be empty."""
        auth: Mapping[str, Any] = self._context.auth_context()
        if auth.get("transport_security_type", [b""])[0] != b"ssl" or "x509_pem_cert" not in auth:
            return []
        found = [*auth.get("x509_subject_alternative_name", ()), *auth.get("x509_common_name", ())]
        return list(dict.fromkeys(name.decode("utf-8", "replace") for name in found if name))

    @property
    def metadata(self) -> list[tuple[str, str | bytes]]:
        """What the client sent beside the request; keys are lower case."""
        return [(str(key), value) for key, value in self._context.invocation_metadata()]

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, at least 0."""
        left: float = self.deadline - time.monotonic()
        return max(left, 0.0)

    def check(self) -> None:
        """Raises StatusError when nobody waits for an answer any more."""
        check_time(self.deadline, self.cancelled)

    def failed(self, error: Exception) -> None:
        """Keeps the status that an error stands for; what went wrong for nobody any more is no fault."""
        self.code, self.details = status_for(error)
        if self.cancelled.is_set():
            self.code = self.cancelled.reason


def status_for(error: Exception) -> tuple[str, str]:
    """Code and text of whatever went wrong."""
    if isinstance(error, StatusError):
        return error.code, shortened(error.details)
    if isinstance(error, BlockdiffError):
        code = next((code for kind, code in _CODES if isinstance(error, kind)), "INTERNAL")
        return code, shortened(str(error))
    return "INTERNAL", f"internal error: {type(error).__name__}: the log of the server says more"


def shortened(text: str) -> str:
    """A text that fits into the trailers: at most so many bytes once escaped."""
    size = 0
    kept: list[str] = []
    for letter in text:
        encoded = letter.encode("utf-8", "replace")
        size += len(encoded) if " " <= letter <= "~" and letter != "%" else 3 * len(encoded)
        if size > _LONGEST:
            return "".join(kept) + "..."
        kept.append(letter if encoded != b"?" else "?")
    return "".join(kept)


def check_window(starting_offset: int, max_results: int) -> None:
    """Raises StatusError for values that no stream can have."""
    if max_results < 0:
        raise StatusError("INVALID_ARGUMENT", f"maxResults cannot be negative: {max_results}")
    if starting_offset < 0:
        raise StatusError("OUT_OF_RANGE", f"startingOffset cannot be negative: {starting_offset}")
