"""The table that the Kubernetes snapshot-metadata lister prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff._fast import Template, format_extents
from blockdiff.engine.output import Output
from blockdiff.record import BlockMetadataType

if TYPE_CHECKING:
    from typing import BinaryIO

    from blockdiff.record import Record

_HEADER = b"""\
Record#   VolCapBytes  BlockMetadataType   ByteOffset     SizeBytes
------- -------------- ----------------- -------------- --------------
"""


class TableEmitter:
    """Writes a header above the first record and a row for every extent; nothing when there are no records."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = Output(out)

    def record(self, number: int, record: Record) -> None:
        """Writes a record's rows."""
        if number == 1:
            self._out.write(_HEADER)
        start = b"%7d %14d %17s " % (number, record.capacity, BlockMetadataType(record.type).name.encode())
        template = Template((start, b" ", b"\n"), widths=(14, 14))
        format_extents(record.extents, template, self._out.write)

    def done(self, count: int) -> None:  # the protocol
        """Hands the rows to the system."""
        self._out.flush()
