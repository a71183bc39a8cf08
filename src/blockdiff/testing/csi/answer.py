"""What a server answered, decoded without trust: nothing here checks or repairs."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 8_000_000  # tuples of one stream that are kept; the suite wants small snapshots


class Message(NamedTuple):
    """One message: its type, its capacity, its size on the wire in bytes, and its tuples."""

    type: int
    capacity: int
    size: int
    offsets: array[int]
    lengths: array[int]

    def tuples(self) -> Iterator[tuple[int, int]]:
        """(byte_offset, size_bytes) in the order of the wire."""
        return zip(self.offsets, self.lengths, strict=True)


class Answer(NamedTuple):
    """A stream: what was asked, its messages, and how it ended (``code`` is the name of a gRPC status)."""

    question: str
    messages: list[Message]
    code: str
    details: str
    kept: bool = True

    @property
    def ok(self) -> bool:
        """True for a clean end."""
        return self.code == "OK"

    @property
    def end(self) -> str:
        """The end in words."""
        text = f" ({self.details[:200]})" if self.details else ""
        return f"{self.question}: {self.code}{text} after {len(self.messages)} messages, {self.total} tuples"

    @property
    def total(self) -> int:
        """Tuples in all messages."""
        return sum(len(message.offsets) for message in self.messages)

    def tuples(self) -> Iterator[tuple[int, int]]:
        """All tuples in the order of the wire."""
        for message in self.messages:
            yield from message.tuples()

    def ranges(self, start: int = 0) -> list[tuple[int, int]]:
        """What is covered from ``start`` on: (begin, end), ascending, joined; whatever order they came in."""
        joined: list[tuple[int, int]] = []
        for begin, end in sorted((max(at, start), at + length) for at, length in self.tuples() if at + length > start):
            if joined and begin <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], end))
            elif begin < end:
                joined.append((begin, end))
        return joined


def decode(response: Any) -> Message:
    """A message by protobuf's own code."""
    offsets, lengths = array("q"), array("q")
    for item in response.block_metadata:
        offsets.append(item.byte_offset)
        lengths.append(item.size_bytes)
    kind, capacity = response.block_metadata_type, response.volume_capacity_bytes
    return Message(int(kind), int(capacity), response.ByteSize(), offsets, lengths)


def missing(wanted: list[tuple[int, int]], have: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The parts of ``wanted`` that ``have`` does not cover; both ascending and joined."""
    found, index = [], 0
    for begin, end in wanted:
        at = begin
        while index < len(have) and have[index][1] <= at:
            index += 1
        probe = index
        while at < end:
            if probe == len(have) or have[probe][0] >= end:
                found.append((at, end))
                break
            if have[probe][0] > at:
                found.append((at, have[probe][0]))
            at = max(at, have[probe][1])
            probe += 1
    return found


def shown(ranges: list[tuple[int, int]], most: int = 3) -> str:
    """Ranges in words: the first few, and how many there are."""
    text = ", ".join(f"[{begin}, {end})" for begin, end in ranges[:most])
    total = sum(end - begin for begin, end in ranges)
    more = f" and {len(ranges) - most} more" if len(ranges) > most else ""
    return f"{text}{more} ({total} bytes)"
