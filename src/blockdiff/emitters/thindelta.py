"""Changed ranges as thin_delta writes them, for programs that read those."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff._fast import Extents, Template, format_extents
from blockdiff.engine.output import Output
from blockdiff.errors import InvalidInput
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from typing import BinaryIO

    from blockdiff.record import Record

SECTOR = 512


class ThinDeltaEmitter:
    """Writes every extent as ``<different>``, in blocks of ``block_size`` bytes; others are InvalidInput.

    Only the end of the volume may lie inside of a block. What is not known of the pool and its volumes is 0. A hole is
    InvalidInput: it is no change.
    """

    def __init__(self, out: BinaryIO, *, block_size: int) -> None:
        if block_size <= 0 or block_size % SECTOR:
            raise InvalidInput(
                f"blocks of thin_delta are whole sectors of {SECTOR} bytes, which {block_size} bytes are not"
            )
        self._out, self._block = Output(out), block_size
        text = (b'    <different begin="', b'" length="', b'"/>\n')
        self._template = Template({kind: text for kind in Kind if kind is not Kind.HOLE}, unit=block_size)
        self._begun = False

    def record(self, number: int, record: Record) -> None:
        """Writes a record's extents."""
        self._begin()
        extents, capacity = record.extents, record.capacity
        over = capacity % self._block
        if over and len(extents) and extents.end == capacity:
            last = extents[-1]
            format_extents(extents[:-1], self._template, self._out.write)
            extents = Extents([(last.offset, last.length + self._block - over, last.kind)])
        format_extents(extents, self._template, self._out.write)

    def done(self, count: int) -> None:
        """Ends the document."""
        self._begin()
        self._out.write(b"  </diff>\n</superblock>\n")
        self._out.flush()

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        self._out.write(
            b'<superblock uuid="" time="0" transaction="0" data_block_size="%d" nr_data_blocks="0">\n'
            b'  <diff left="0" right="0">\n' % (self._block // SECTOR)
        )
