"""Digests a device, in order and in bounded memory: several workers read, holes are not read."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from blockdiff._fast import SEG_SKIP_HOLE, SET_TABLES, Extents, Merge, ReadFailed
from blockdiff.engine.compare import check_unchanged, note_path
from blockdiff.engine.manifest.reading import make_digest_reader
from blockdiff.engine.options import ReadOptions, default_workers
from blockdiff.engine.plan import plan_against_zero
from blockdiff.engine.progress import NoProgress, RateLimit
from blockdiff.engine.reader import REMOTE_TASK, REMOTE_WORKERS, affordable, has_driver, translate
from blockdiff.engine.report import Side
from blockdiff.engine.stream import align
from blockdiff.engine.workers import INLINE, Finding, run_plan, task_size
from blockdiff.errors import SourceError, UnsupportedOperation
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockdiff.engine.device import Device
    from blockdiff.engine.manifest.algorithm import Hasher
    from blockdiff.engine.progress import Progress


class Piece(NamedTuple):
    """Blocks that follow each other. ``digests`` None: whole blocks of zeroes; else ``kinds`` (data and zero) covers
    them and there is a digest for each. ``unreadable`` ones have none: theirs means nothing.
    """

    offset: int
    length: int
    digests: bytes | None
    kinds: Extents
    unreadable: Extents


_NOTHING = Extents()


class DigestRun:
    """Digests ``[start, end)`` of a device, or only listed ranges grown to whole blocks. Iterate it for Pieces.

    ``start`` is a multiple of the block size, and nothing past ``end`` is digested: the last block may be shorter.
    ``side``, ``skipped``, ``workers``, ``warnings`` and ``elapsed_seconds`` are final when it has ended. Raises
    DeviceError where something cannot be read (with the options' ``keep_going`` the piece says it),
    UnsupportedOperation.
    """

    def __init__(
        self,
        device: Device,
        hasher: Hasher,
        *,
        start: int = 0,
        end: int | None = None,
        only: Iterable[Extents] | None = None,
        options: ReadOptions | None = None,
        progress: Progress | None = None,
        command: str = "digest",
    ) -> None:
        self._device, self._hasher = device, hasher
        self._start, self._end = start, device.size if end is None else end
        self._only = only
        self._options = (options or ReadOptions()).copy(granularity=hasher.block_size)
        self._progress, self._command = progress or NoProgress(), command
        self._holes: deque[tuple[int, int]] = deque()
        self._planned = self._unread = 0
        self.side = Side.of(device)
        self.skipped: dict[str, int] = {}
        self.warnings: list[str] = []
        self.elapsed_seconds = 0.0
        self.bytes_digested = 0
        self.readers: list[Any] = []
        self.workers = self._count_workers()

    def _count_workers(self) -> int:
        total = self._end - self._start
        tasks = -(-total // self._task_size) if total > 0 else 1
        asked = self._options.workers or (REMOTE_WORKERS if has_driver(self._device) else default_workers())
        return max(1, min(affordable(asked, self._hasher.block_size), tasks))

    @property
    def _task_size(self) -> int:
        least = REMOTE_TASK if has_driver(self._device) else 0
        return max(task_size(self._end - self._start, self._options.rate, least), self._hasher.block_size)

    def __iter__(self) -> Iterator[Piece]:
        began = time.monotonic()
        self._progress.start(self._command, self._end - self._start)
        readers = self.readers
        try:
            while len(readers) < self.workers:  # those that were made are closed when one cannot be
                readers.append(make_digest_reader(self._device, self._hasher, self._options, self.workers, self._end))
            yield from self._pieces(readers)
            self._check_path(readers)
            check_unchanged(self._device, warnings=self.warnings)
        except ReadFailed as error:
            raise translate(error, self._device, None) from error
        finally:
            self._collect(readers)
            self.elapsed_seconds = time.monotonic() - began
            self._progress.finish()

    def _pieces(self, readers: list[Any]) -> Iterator[Piece]:
        limit = RateLimit(self._options.rate) if self._options.rate else None
        inline = self._end - self._start <= INLINE
        for finding in run_plan(
            self._plan(), readers, size=self._task_size, inline=inline, limit=limit, note=self._note
        ):
            yield from self._of_task(finding)
            self._progress.advance(finding.task.end - self._start)
        yield from self._zeroes(self._end)
        whole = self._end - self._start
        if self._planned != whole and self._only is None:
            raise SourceError(f"the plan for {self._device.url} is of {self._planned} bytes, not {whole}")
        self._progress.advance(whole)

    def _plan(self) -> Iterable[Extents]:
        plan = plan_against_zero(self._device, self._start, self._end, granularity=self._hasher.block_size)
        if self._only is None:
            return plan
        blocks = align(self._only, self._hasher.block_size, limit=self._end)
        return Merge(plan, blocks, SET_TABLES["intersect"])

    def _note(self, batch: Extents) -> None:
        """Sees the plan before it is carried out."""
        holes = batch.only(SEG_SKIP_HOLE)
        self._planned += batch.total()
        self._unread += batch.total() - holes.total()
        if len(holes):
            self.skipped["hole"] = self.skipped.get("hole", 0) + holes.total()
            self._holes.extend((e.offset, e.length) for e in holes)

    def _of_task(self, finding: Finding) -> Iterator[Piece]:
        kinds, digests = cast("tuple[Extents, bytes]", finding.found)
        size, block, at = self._hasher.size, self._hasher.block_size, 0
        for offset, length, _ in finding.task:
            yield from self._zeroes(offset)
            stop = at + -(-length // block) * size
            bad = finding.unreadable.clip(offset, offset + length) if len(finding.unreadable) else _NOTHING
            self.bytes_digested += length - bad.total()
            yield Piece(offset, length, digests[at:stop], kinds.clip(offset, offset + length), bad)
            at = stop

    def _zeroes(self, before: int) -> Iterator[Piece]:
        """What was not read before an offset."""
        block = self._hasher.block_size
        while self._holes and self._holes[0][0] < before:
            offset, length = self._holes.popleft()
            tail = length % block
            if length - tail:
                yield Piece(offset, length - tail, None, _NOTHING, _NOTHING)
            if tail:  # the last block is shorter, and so its digest is another one
                at = offset + length - tail
                yield Piece(at, tail, self._hasher.hash_blocks(bytes(tail)), Extents([(at, tail, Kind.ZERO)]), _NOTHING)

    def _check_path(self, readers: list[Any]) -> None:
        """A read path asked for by name is a demand."""
        refused = max(reader.direct_errno(0) for reader in readers)
        if refused and self._options.read == "direct":
            raise UnsupportedOperation(
                f"{self._device.url} cannot be read with --read direct: its O_DIRECT reads fail: {os.strerror(refused)}"
            )

    def _collect(self, readers: list[Any]) -> None:
        for reader in readers:
            for path, count in reader.bytes_read(0).items():
                self.side.bytes_by_path[path] = self.side.bytes_by_path.get(path, 0) + count
        refused = max((reader.direct_errno(0) for reader in readers), default=0)
        self.side.note = note_path(self._device, self.side, refused)
        for reader in readers:
            reader.close()
