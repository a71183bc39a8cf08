"""Tells what passes from what stays: of a status, whether the same call may do better a little later."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blockdiff.csi.errors import StatusError

# what sidecars report as UNAVAILABLE although waiting does not help
_PERMANENT = re.compile(
    r"no default VolumeSnapshotClass is set"
    r"|multiple default VolumeSnapshotClasses are set"
    r"|invalid snapshotter secret parameters"
    r"|Failed to create security handshaker"
    r"|^failed to (get|list) .*(not found|forbidden|could not find the requested resource|Unauthorized)",
    re.DOTALL,
)
# INTERNAL and UNKNOWN are final, except where the connection below failed: the server's, or its own to the API server
_BROKEN = re.compile(
    r"RST_STREAM|GOAWAY|stream (removed|terminated|closed)|connection (reset|refused|closed|error)|broken pipe"
    r"|socket closed|i/o timeout|handshake timeout|context deadline exceeded|client rate limiter|unexpected EOF"
    r"|transport is closing",
    re.IGNORECASE,
)
# what a sidecar reports as FAILED_PRECONDITION although the driver was not even asked
_TO_BE_MENDED = re.compile(r"VolumeSnapshotClass|VolumeSnapshotContent|^failed to (get|list) ")
_TOO_LARGE = re.compile(r"larger than max|message length|too large", re.IGNORECASE)


def is_transient(status: StatusError, *, progressed: bool) -> bool:
    """True when a new attempt makes sense; ``progressed`` when this one brought something new."""
    code, details = status.code, status.details
    if code == "UNAVAILABLE":
        return not _PERMANENT.search(details)
    if code == "RESOURCE_EXHAUSTED":
        return not _TOO_LARGE.search(details)
    if code in {"ABORTED", "CANCELLED"}:  # not by us: then nobody asks
        return True
    if code in {"INTERNAL", "UNKNOWN"}:
        return bool(_BROKEN.search(details))
    # the whole time was not enough for one more tuple: it would not be the next time either
    return code == "DEADLINE_EXCEEDED" and progressed


def advice(status: StatusError, call: str) -> str:
    """What to do about a status that stays, where that is not plain from its text; ``call`` is what was asked."""
    code, details = status.code, status.details
    if code == "RESOURCE_EXHAUSTED" and _TOO_LARGE.search(details):
        return "ask for smaller messages with max-results"
    if "create security handshaker" in details:
        return "the client certificate and its key cannot be used: do they belong together?"
    if code == "UNAUTHENTICATED":
        return "is the token for the audience that the server expects, and not expired?"
    if code == "FAILED_PRECONDITION" and _TO_BE_MENDED.search(details):
        return "an administrator has to mend that; it says nothing about the volume"
    if code == "FAILED_PRECONDITION" and call.startswith("GetMetadataDelta"):
        return "changes are not tracked for this volume: make a full backup"
    if code == "UNIMPLEMENTED":
        return "the server, or the CSI driver behind it, does not know this call"
    if code == "DEADLINE_EXCEEDED":
        return "nothing new came in the whole time: give it more with timeout"
    return ""
