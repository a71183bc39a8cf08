"""Errors of the SnapshotMetadata services."""

from __future__ import annotations

from blockdiff.errors import RemoteError

RETRYABLE = frozenset({"UNAVAILABLE", "ABORTED", "RESOURCE_EXHAUSTED"})


class StatusError(RemoteError):
    """A call that ended with a gRPC status: ``code`` is its name such as "NOT_FOUND", ``details`` its text."""

    msg = "{code}: {details}"

    def __init__(self, code: str, details: str = "") -> None:
        super().__init__(details, code=code, details=details)
        self.code, self.details = code, details
        self.retryable = code in RETRYABLE
