"""Errors of the SnapshotMetadata services.

    InvalidArgs (InvalidInput)          2  ``ErrInvalidArgs``
    NotReady (SnapshotNotReady)         3  a snapshot, or the content that it is bound to, cannot be used yet
    ConfigError (InvalidInput)          2  a kubeconfig that cannot be used
    RemoteError                         5
    ├── StatusError                        a call that ended with a gRPC status
    │   └── CallError                      the same, of the iterator: names the call, explains
    ├── ApiError                           the Kubernetes API server refused or failed; ``status`` is HTTP's
    ├── LookupFailed                       what it gave does not lead to a service or a snapshot
    ├── CACertError                        ``ErrCACert``
    └── Cancelled                          ``ErrCancelled``

Texts begin as those of the original iterator do; what helps is said after them.
"""

from __future__ import annotations

from blockdiff.errors import InvalidInput, RemoteError, SnapshotNotReady

RETRYABLE = frozenset({"UNAVAILABLE", "ABORTED", "RESOURCE_EXHAUSTED"})


class StatusError(RemoteError):
    """A call that ended with a gRPC status: ``code`` is its name such as "NOT_FOUND", ``details`` its text."""

    msg = "{code}: {details}"

    def __init__(self, code: str, details: str = "") -> None:
        super().__init__(details, code=code, details=details)
        self.code, self.details = code, details
        self.retryable = code in RETRYABLE


class CallError(StatusError):
    """A stream of the iterator that failed: ``call`` names it, ``explained`` says why and what to do, if known.

    ``resume_offset`` (bytes) is where it can be taken up again.
    """

    def __init__(
        self, call: str, status: StatusError, *, explained: str = "", resume_offset: int = 0, retryable: bool = False
    ) -> None:
        super().__init__(status.code, status.details)
        self.call, self.explained, self.resume_offset, self.retryable = call, explained, resume_offset, retryable

    def __str__(self) -> str:
        text = f"{self.call}: rpc error: code = {spoken(self.code)} desc = {self.details}"
        return f"{text}: {self.explained}" if self.explained else text


class InvalidArgs(InvalidInput):
    """Arguments of the iterator are wrong."""

    msg = "invalid argument: {reason}"


class ConfigError(InvalidInput):
    """A kubeconfig, or what a pod is given in its place, cannot be used."""


class NotReady(SnapshotNotReady):
    """A snapshot, or the content that it is bound to, is not ready."""


class ApiError(RemoteError):
    """A request to the Kubernetes API server failed: ``request`` names it, ``status`` is HTTP's (0: no answer)."""

    msg = "{request}: {reason}"

    def __init__(self, request: str, reason: str, status: int = 0) -> None:
        super().__init__(reason, request=request, status=status)
        self.request, self.status = request, status
        self.retryable = status in {0, 429} or status >= 500


class LookupFailed(RemoteError):
    """What the API server gave does not lead to a service, a snapshot or a token."""


class CACertError(RemoteError):
    """The CA certificate of the service is no PEM certificate; ``reason`` says more."""

    def __str__(self) -> str:
        text = "failed to add the SnapshotMetadataService CR CA certificate"
        return f"{text}: {self.reason}" if self.reason else text


class Cancelled(RemoteError):
    """For emitters and callers that stop an enumeration."""

    exit_code = 130

    def __str__(self) -> str:
        return self.reason or "enumeration cancelled"


def spoken(code: str) -> str:
    """The name of a status as Go prints it: "NOT_FOUND" is "NotFound", and "CANCELLED" is "Canceled"."""
    return {"CANCELLED": "Canceled", "OK": "OK"}.get(code) or "".join(part.capitalize() for part in code.split("_"))


def shown(text: str) -> str:
    """A server's text without what a terminal would obey: control characters are escaped, but for line ends."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)
