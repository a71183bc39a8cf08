"""What every stream passes on its way out: checked, cut to what was asked for, and in messages that clients take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.csi import wire
from blockdiff.csi.errors import StatusError
from blockdiff.csi.stream import after, bounded
from blockdiff.engine.source import ordered
from blockdiff.errors import OutOfOrder, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockdiff.csi.server.call import Call
    from blockdiff.record import Record


def messages(records: Iterable[Record], call: Call, *, start: int, limit: int) -> Iterator[bytes]:
    """The encoded messages of a stream of records.

    Raises StatusError: OUT_OF_RANGE if ``start`` (bytes) lies beyond the volume, INTERNAL for what no driver may send.
    """
    checked = _inside(ordered(_named(records)), start)
    for record in bounded(after(checked, start), limit):
        message = wire.encode(record)
        call.check()
        yield message
        call.messages += 1
        call.tuples += len(record.extents)
        call.bytes += len(message)
    call.check()


def _inside(records: Iterable[Record], start: int) -> Iterator[Record]:
    try:
        for record in records:
            if 0 < record.capacity < start:
                raise StatusError(
                    "OUT_OF_RANGE", f"startingOffset {start} is beyond the capacity of the volume, {record.capacity}"
                )
            yield record
    except OutOfOrder as error:
        raise StatusError("INTERNAL", f"failed to get response from CSI driver: {error}") from None


def _named(records: Iterable[Record]) -> Iterator[Record]:
    """Says which record it was that could not be decoded."""
    number, stream = 0, iter(records)
    while True:
        number += 1
        try:
            record = next(stream)
        except StopIteration:
            return
        except (OutOfOrder, SourceError, ValueError) as error:
            if isinstance(error, StatusError):
                raise
            raise StatusError("INTERNAL", f"failed to get response from CSI driver: record {number}: {error}") from None
        if record.capacity < 0:
            raise StatusError(
                "INTERNAL", f"failed to get response from CSI driver: record {number}: capacity {record.capacity}"
            )
        yield record
