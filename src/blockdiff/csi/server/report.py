"""One log line for each call, without tokens and secrets."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blockdiff.csi.server.call import Call

_log = logging.getLogger("blockdiff.csi.calls")
_LONGEST = 512  # characters of a value that a client chose


def report_call(call: Call) -> None:
    """Says what was asked, by whom, and how it ended."""
    fields: dict[str, str | int | float] = {
        "code": call.code,
        **{key: value[:_LONGEST] if isinstance(value, str) else value for key, value in call.fields.items()},
        "peer": call.peer,
        "messages": call.messages,
        "tuples": call.tuples,
        "bytes": call.bytes,
        "seconds": round(time.monotonic() - call.started, 3),
    }
    if call.details:
        fields["details"] = call.details[:_LONGEST]
    level = logging.ERROR if call.code in ("INTERNAL", "UNKNOWN") else logging.INFO
    _log.log(level, "%s", call.method, extra={"fields": fields})
