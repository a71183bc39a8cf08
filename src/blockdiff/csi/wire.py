"""Records to and from the bytes of a GetMetadata*Response; its shape is the same on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff import _fast
from blockdiff.errors import SourceError
from blockdiff.record import BlockMetadataType, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Buffer


def encode(record: Record) -> bytes:
    """One message."""
    return _fast.encode_metadata(int(record.type), record.capacity, record.extents)


def decode(message: Buffer) -> Record:
    """One record.

    Raises SourceError (no message, of a type of block metadata that nobody knows, or with a negative capacity) and
    OutOfOrder (ranges that are unsorted, overlap, or are empty).
    """
    kind, capacity, extents = _fast.decode_metadata(message)
    if capacity < 0:  # nothing could be held against it
        raise SourceError(f"{capacity} is no capacity of a volume")
    try:
        known = BlockMetadataType(kind)
    except ValueError:
        raise SourceError(f"{kind} is no known type of block metadata") from None
    return Record(known, capacity, extents)


def decode_all(messages: Iterable[Buffer]) -> Iterator[Record]:
    """A stream of messages as records."""
    return map(decode, messages)
