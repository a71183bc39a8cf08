"""Rules about the content of snapshots, by reading it. Only what is not listed is read: that must be the same."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from blockdiff.engine.registry import open_device
from blockdiff.testing.csi.answer import missing, shown
from blockdiff.testing.csi.judge import judges
from blockdiff.testing.csi.judge_stream import need
from blockdiff.testing.csi.result import Broken, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.testing.csi.answer import Answer
    from blockdiff.testing.csi.subject import Subject

CHUNK = 1 << 20  # bytes


@judges("content-allocated")
def content_allocated(subject: Subject) -> str:
    """What is not allocated is zeroes."""
    answer = subject.whole
    need(answer)
    with ExitStack() as stack:
        image = _open(stack, subject.snapshot_device, "snapshot", answer)
        gaps = _gaps(answer, image.size)
        _all_zero(image, gaps, "is not zero, and not listed as allocated")
    return _read(gaps)


@judges("content-delta")
def content_delta(subject: Subject) -> str:
    """What is not listed as changed is the same in both."""
    answer = subject.changes
    need(answer)
    with ExitStack() as stack:
        image = _open(stack, subject.snapshot_device, "snapshot", answer)
        base = _open(stack, subject.base_device, "base", None)
        gaps = _gaps(answer, image.size)
        beyond = missing(gaps, [(0, base.size)]) if base.size < image.size else []
        if beyond:
            raise Broken(f"beyond the end of the base, and not listed as changed: {shown(beyond)}")
        for offset, ours, theirs in _both(image, base, gaps):
            if ours != theirs:
                at = offset + next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
                raise Broken(f"the byte at {at} differs, and is not listed as changed")
    return _read(gaps)


@judges("content-unallocated")
def content_unallocated(subject: Subject) -> str:
    """A range that was discarded is changed, and gone from what is allocated."""
    need(subject.whole)
    need(subject.changes)
    gone = missing(subject.changes.ranges(), subject.whole.ranges())
    if not gone:
        return "all that changed is allocated"
    if not subject.snapshot_device:
        raise Skipped(f"no device with the content was given; changed and not allocated: {shown(gone)}")
    with ExitStack() as stack:
        image = _open(stack, subject.snapshot_device, "snapshot", subject.whole)
        _all_zero(image, gone, "changed, is not zero, and not listed as allocated")
    return f"zeroes: {shown(gone)}"


def _open(stack: ExitStack, url: str, what: str, answer: Answer | None) -> Any:
    if not url:
        raise Skipped(f"no device with the content of the {what} was given")
    device = open_device(url)
    stack.callback(device.close)
    capacity = answer.messages[0].capacity if answer is not None and answer.messages else 0
    if capacity > device.size:
        raise Broken(f"volume_capacity_bytes is {capacity}, and {url} has {device.size} bytes")
    return device


def _gaps(answer: Answer, size: int) -> list[tuple[int, int]]:
    return missing([(0, size)] if size else [], answer.ranges())


def _read(gaps: list[tuple[int, int]]) -> str:
    return f"{sum(end - begin for begin, end in gaps)} bytes that are not listed were read"


def _all_zero(image: Any, ranges: list[tuple[int, int]], what: str) -> None:
    for offset, data in _chunks(image, ranges):
        if data.count(0) != len(data):
            raise Broken(f"the byte at {offset + next(i for i, byte in enumerate(data) if byte)} {what}")


def _both(image: Any, base: Any, ranges: list[tuple[int, int]]) -> Iterator[tuple[int, bytearray, bytearray]]:
    for (offset, ours), (_, theirs) in zip(_chunks(image, ranges), _chunks(base, ranges), strict=True):
        yield offset, ours, theirs


def _chunks(device: Any, ranges: list[tuple[int, int]]) -> Iterator[tuple[int, bytearray]]:
    for begin, end in ranges:
        for offset in range(begin, end, CHUNK):
            data = bytearray(min(CHUNK, end - offset))
            device.pread_into(data, offset)
            yield offset, data
