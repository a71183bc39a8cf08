"""The array of records that the Kubernetes snapshot-metadata lister prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff._fast import Template, format_extents
from blockdiff.engine.output import Output
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from typing import BinaryIO

    from blockdiff.record import Record

_TUPLE = Template((b'{"byte_offset":', b',"size_bytes":', b"}"), separator=b",")
_TUPLE_OF_KIND = Template(
    {kind: (b'{"byte_offset":', b',"size_bytes":', b',"kind":"%s"}' % kind.label.encode()) for kind in Kind},
    separator=b",",
)


class JsonEmitter:
    """Writes one array of records. Both keys of an extent are always there, and no records make ``[]``.

    ``kinds`` adds a key ``kind`` to every extent (``data``, ``zero``, ``hole``, ...).
    """

    def __init__(self, out: BinaryIO, *, kinds: bool = False) -> None:
        self._out = Output(out)
        self._template = _TUPLE_OF_KIND if kinds else _TUPLE

    def record(self, number: int, record: Record) -> None:
        """Writes one element of the array."""
        self._out.write(b"[" if number == 1 else b",")
        write_record(self._out, record, self._template)

    def done(self, count: int) -> None:
        """Ends the array."""
        self._out.write(b"]\n" if count else b"[]\n")
        self._out.flush()


class JsonlEmitter(JsonEmitter):
    """Writes one record object a line."""

    def record(self, number: int, record: Record) -> None:  # the protocol
        """Writes one line."""
        write_record(self._out, record, self._template)
        self._out.write(b"\n")

    def done(self, count: int) -> None:  # the protocol
        """Hands the lines to the system."""
        self._out.flush()


def write_record(out: Output, record: Record, template: Template) -> None:
    """Writes one record object."""
    facts = (int(record.type), record.capacity)
    out.write(b'{"block_metadata_type":%d,"volume_capacity_bytes":%d,"block_metadata":[' % facts)
    format_extents(record.extents, template, out.write)
    out.write(b"]}")
