"""Verification without moving the data: the OSDs digest their objects, and only what does not match is read.

A chunk is called equal only when both digests (XXH64 by two random seeds) of both sides are of the same bytes and
agree, or when both sides are zeroes there. Whatever is not certain is left to be read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections import deque
from typing import TYPE_CHECKING, Any

from blockdiff._fast import (
    MAX_SUM_CHUNK,
    SEG_COMPARE,
    SEG_DST_HOLE,
    SEG_MARK,
    SEG_SKIP_DIGEST,
    SEG_SRC_HOLE,
    SUM_EQUAL,
    SUM_UNKNOWN,
    Extents,
    FileSums,
    Sums,
    combine,
    combine_table,
    judge_sums,
    split_plan,
)
from blockdiff.backends.rbd.device import RbdDevice
from blockdiff.backends.rbd.imagesums import ImageSums, image_refusal, layout_of
from blockdiff.backends.rbd.readsums import ReadSums
from blockdiff.units import format_size

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from concurrent.futures import Future

    from blockdiff.engine.device import Device
    from blockdiff.engine.options import ReadOptions
    from blockdiff.engine.progress import RateLimit

TASK = 64 << 20  # bytes of a plan that a thread deals with at a time
THREADS, DEPTH = 4, 16  # of each thread: as many operations are in flight on one cluster
SOURCE, TARGET = 1, 2  # bits of the kinds of wanted ranges

_READS = {SOURCE: (SEG_COMPARE, SEG_DST_HOLE), TARGET: (SEG_COMPARE, SEG_SRC_HOLE)}
_CHECKED = {kind | mark for kind in (SEG_COMPARE, SEG_SRC_HOLE, SEG_DST_HOLE) for mark in (0, SEG_MARK)}
_WANTED = combine_table(lambda a, b: (a or 0) | (b or 0), (SOURCE,), (TARGET,))
_PROVED = combine_table(
    lambda kind, unsure: kind if unsure is not None else None if kind is None else SEG_SKIP_DIGEST | kind & SEG_MARK,
    sorted(_CHECKED),
)


def refusal(device: RbdDevice, other: Any) -> str | None:
    """Why these two cannot be compared by digests of the OSDs; None when they can."""
    for image in (device, other):
        if isinstance(image, RbdDevice):
            reason = image_refusal(image)
            if reason:
                return f"{image.url} {reason}"
    if isinstance(other, RbdDevice) or getattr(other, "digest_by_reading", False):
        return None
    if other.fileno() is None:
        return f"{other.url} is neither an RBD image nor a file or block device"
    return None


class _File:
    """The digests of a file or block device, computed here."""

    parents: set[int] = set()  # noqa: RUF012 - it has none, ever
    failed: dict[int, int] = {}  # noqa: RUF012
    objects = operations = 0

    def __init__(self, device: Any, chunk: int, seeds: tuple[int, int], mode: str) -> None:
        direct = device.direct_fileno() if mode in ("auto", "direct") else None
        if direct is not None and getattr(device, "is_block", False):
            mode = "direct"  # as the reader does: the device's own page cache may be stale
        side = (device.fileno(), -1 if direct is None else direct, device.size, device.offset_align, mode)
        self._chunk, self._seeds, self._sums = chunk, seeds, FileSums(side)

    def sums(self, want: Extents, bit: int, other: Sums | None) -> Sums:
        """The digests of the wanted ranges, as far as the other side can be compared."""
        sums = Sums(want, bit, self._chunk)
        self._sums.run(sums, self._seeds, other)
        return sums

    def check(self) -> None:
        pass

    def close(self) -> None:
        pass

    def cancel(self) -> None:
        self._sums.cancel()

    def bytes_read(self) -> dict[str, int]:
        return self._sums.bytes_read()


class ChecksumPlan:
    """A plan, with what the OSDs' digests prove to be equal left out (SEG_SKIP_DIGEST)."""

    def __init__(
        self,
        source: Device,
        target: Device,
        plan: Iterable[Extents],
        *,
        options: ReadOptions,
        limit: RateLimit | None = None,
    ) -> None:
        self._plan, self._options, self._limit = plan, options, limit
        images = [device for device in (source, target) if isinstance(device, RbdDevice)]
        self._chunk = min(MAX_SUM_CHUNK, *(layout_of(image).stripe_unit for image in images))
        # a chunk that only one side has whole is read
        self._end = min(source.size, target.size) // self._chunk * self._chunk
        self._seeds = (secrets.randbits(64), secrets.randbits(64))
        self._threads = min(options.workers or THREADS, THREADS)
        past_cache = "direct" if options.target_past_cache else options.read
        self._sides = (self._side(source, options.read), self._side(target, past_cache))
        self._totals: dict[int, int] = {}
        self._running: Generator[Extents, None, None] | None = None

    def _side(self, device: Any, mode: str) -> ImageSums | _File | ReadSums:
        if isinstance(device, RbdDevice):
            return ImageSums(device, self._chunk, self._seeds, DEPTH)
        if device.fileno() is None:
            return ReadSums(device, self._chunk, self._seeds)
        return _File(device, self._chunk, self._seeds, mode)

    def __iter__(self) -> Iterator[Extents]:
        self._running = self._answers()
        return self._running

    def _answers(self) -> Generator[Extents, None, None]:
        from concurrent.futures import ThreadPoolExecutor

        waiting: deque[tuple[Extents, Future[Extents]]] = deque()
        with contextlib.ExitStack() as stack:
            for side in self._sides:
                stack.callback(side.close)
            pool = stack.enter_context(ThreadPoolExecutor(self._threads, "checksum"))
            stack.callback(self._cancel)
            for number, task in enumerate(self._tasks()):
                if task.totals().keys().isdisjoint(_CHECKED):
                    yield task
                    continue
                if self._limit is not None:
                    self._limit.spend(task.total())
                waiting.append((task, pool.submit(self._verdicts, task, number)))
                while waiting and (len(waiting) > 2 * self._threads or waiting[0][1].done()):
                    yield self._proved(*waiting.popleft())
            while waiting:
                yield self._proved(*waiting.popleft())
            for side in self._sides:
                side.check()

    def _tasks(self) -> Iterator[Extents]:
        """What nothing is asked about, as it is; the rest in pieces."""
        size = TASK
        if self._options.rate:
            size = min(size, max(1 << 20, 1 << (self._options.rate // 8).bit_length() - 1))
        for batch in self._plan:
            rest = batch.only(*(kind for kind in batch.totals() if kind not in _CHECKED))
            if len(rest):
                yield rest
            yield from split_plan(batch, size)

    def _verdicts(self, task: Extents, number: int) -> Extents:
        """What the digests say about every chunk that the task touches."""
        want = combine(self._wanted(task, SOURCE), self._wanted(task, TARGET), _WANTED)
        found: dict[int, Sums] = {}
        order = [0, 1] if number % 2 else [1, 0]  # so that both clusters have work all the time
        for index in sorted(order, key=lambda index: not isinstance(self._sides[index], ImageSums)):
            found[index] = self._sides[index].sums(want, index + 1, found.get(1 - index))
        verdicts = judge_sums(found[0], found[1], self._seeds)
        if verdicts.totals().get(SUM_UNKNOWN) and self._made_even(found[0], found[1]):
            verdicts = judge_sums(found[0], found[1], self._seeds)
        return verdicts

    def _made_even(self, one: Sums, other: Sums) -> bool:
        """Objects of two images that end at different places in a chunk: what one has more may be zeroes."""
        pieces: tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]] = ([], [])
        index = 0
        for extent in one.want:
            for at in range(extent.offset, extent.end, self._chunk):
                a, b = one.lengths[index], other.lengths[index]
                if 0 < a != b > 0:
                    pieces[0 if a > b else 1].append((at, index, min(a, b)))
                index += 1
        for side, sums, uneven in zip(self._sides, (one, other), pieces, strict=True):
            if uneven and isinstance(side, ImageSums):
                side.shorten(sums, uneven)
        return bool(pieces[0] or pieces[1])

    def _wanted(self, task: Extents, bit: int) -> Extents:
        kinds = [kind | mark for kind in _READS[bit] for mark in (0, SEG_MARK)]
        return task.only(*kinds).with_kind(bit).align(self._chunk).coalesce().clip(0, self._end)

    def _proved(self, task: Extents, future: Future[Extents]) -> Extents:
        verdicts = future.result()
        for kind, count in verdicts.totals().items():
            self._totals[kind] = self._totals.get(kind, 0) + count
        touched = task.with_kind(0).align(self._chunk)
        unsure = touched.subtract(verdicts.only(SUM_EQUAL)).align(max(self._chunk, self._options.granularity))
        return combine(task, unsure, _PROVED)

    def _cancel(self) -> None:
        for side in self._sides:
            side.cancel()

    def close(self) -> None:
        """Ends what is under way."""
        self._cancel()
        if self._running is not None:
            self._running.close()

    def bytes_read(self, side: int) -> dict[str, int]:
        """Bytes of a file that were digested here, by path."""
        return self._sides[side].bytes_read()

    def facts(self) -> dict[str, Any]:
        """The keys that the report has besides."""
        unknown = self._totals.get(SUM_UNKNOWN, 0)
        return {
            "checksummed_bytes": sum(self._totals.values()) - unknown,
            "checksum_objects": sum(side.objects for side in self._sides),
            "checksum_operations": sum(side.operations for side in self._sides),
            "fallback_bytes": unknown,
            "fallback_reasons": list(self._reasons(unknown)),
        }

    def _reasons(self, unknown: int) -> Iterator[str]:
        parents = sum(len(side.parents) for side in self._sides)
        if parents:
            yield f"{parents:,} objects of a parent were read" if parents > 1 else "1 object of a parent was read"
        failed: dict[int, int] = {}
        for side in self._sides:
            for code, count in side.failed.items():
                failed[code] = failed.get(code, 0) + count
        for code, count in sorted(failed.items()):
            text = os.strerror(code) if code != errno.EOPNOTSUPP else "the pool has no checksums"
            yield f"{format_size(count)} gave no checksum ({text}) and were read"
        if unknown and not parents and not failed:
            yield f"{format_size(unknown)} in objects of different lengths were read"
