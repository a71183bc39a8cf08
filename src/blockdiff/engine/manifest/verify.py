"""Verifies a device by a manifest, or a manifest by another: the differences are whole blocks."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from blockdiff._fast import SEG_COMPARE, SEG_SKIP_HOLE, Aligner, Extents, diff_digests
from blockdiff.engine.compare import MAX_UNREADABLE
from blockdiff.engine.manifest.manifest import Manifest
from blockdiff.engine.manifest.manifests import ManifestRun, refuse_other_kind, refuse_same_file
from blockdiff.engine.manifest.run import DigestRun
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.report import Side, VerifyReport
from blockdiff.engine.verify import IGNORE, SIZE_POLICIES, beyond, in_use
from blockdiff.errors import InvalidInput, UnsupportedOperation
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from blockdiff.engine.compare import Watcher
    from blockdiff.engine.device import Device
    from blockdiff.engine.manifest.run import Piece
    from blockdiff.engine.progress import Progress

METHOD = "manifest"
_PART = "part-of-block"
_STEP = 4096  # digests that are compared at a time


class ManifestVerification:
    """One verify in which one side, or both, is a manifest; used like a Verification.

    The first and the last block of the range that is asked for must be whole ones. Where the sizes differ, the last
    block of the smaller side is compared only if both end it there: else it counts as different. Raises InvalidInput
    (two manifests that cannot be compared, a damaged one), DeviceError, UnsupportedOperation.
    """

    def __init__(
        self,
        source: Device | Manifest,
        target: Device | Manifest,
        *,
        options: ReadOptions | None = None,
        strict: bool = False,
        method: str = "auto",
        size: str = "strict",
        offset: int = 0,
        length: int | None = None,
        only: Iterable[Extents] | None = None,
        first: bool = False,
        progress: Progress | None = None,
        command: str = "verify",
        watchers: Sequence[Watcher] = (),
        **refused: Any,
    ) -> None:
        if size not in (*SIZE_POLICIES, IGNORE):
            raise InvalidInput(f"unknown size policy {size!r}: known are {', '.join(SIZE_POLICIES)}")
        _refuse(method, strict=strict, **refused)
        manifests = [side for side in (source, target) if isinstance(side, Manifest)]
        self._manifest = manifests[-1]
        if len(manifests) > 1:
            refuse_same_file(*manifests)
            refuse_other_kind(*manifests)
        self._options = options or ReadOptions()
        self._source, self._target, self._size, self._first = source, target, size, first
        self._block, self._hasher = self._manifest.block_size, self._manifest.hasher
        start, end = self._span(offset, length)
        self._whole_end = self._comparable(start, end)
        self._watchers = watchers
        self._listed_to = None if only is None else start
        self._unreadable: list[Extents] = []
        self._run: DigestRun | ManifestRun
        asked = None if only is None else self._wanted(only, start, end)
        if len(manifests) > 1:
            self._run = ManifestRun(manifests[0], start=start, end=self._whole_end, only=asked, command=command)
        else:
            device: Any = target if source is self._manifest else source
            self._run = DigestRun(
                device,
                self._hasher,
                start=start,
                end=self._whole_end,
                only=asked,
                options=self._options,
                progress=progress,
                command=command,
            )
        self._mine_first = source is not self._manifest
        self.report = self._make_report(command, start, end)

    def _span(self, offset: int, length: int | None) -> tuple[int, int]:
        """The range to compare: of whole blocks, in both."""
        common, largest = sorted((self._source.size, self._target.size))
        asked = largest if length is None else offset + length
        if offset < 0 or (length is not None and length < 0) or offset > largest or asked > largest:
            raise InvalidInput(f"the range [{offset}, {asked}) leaves what is compared, which has {largest} bytes")
        block = self._block
        if offset % block or (asked % block and asked != largest):
            raise InvalidInput(
                f"the manifest knows blocks of {block} bytes: --offset and --length must be multiples of that"
            )
        end = min(common, asked)
        return min(offset, end), end

    def _comparable(self, start: int, end: int) -> int:
        """Where the last block ends that both sides have the same bytes of."""
        sizes = self._source.size, self._target.size
        if end % self._block == 0 or sizes[0] == sizes[1] or start == end:
            return end
        # a manifest that ends inside a block knows the digest of what it has of it, and a device can be asked for that
        other: Any = self._target if self._source is self._manifest else self._source
        if not isinstance(other, Manifest) and self._manifest.size == end:
            return end
        return end - end % self._block

    def _wanted(self, only: Iterable[Extents], start: int, end: int) -> Iterator[Extents]:
        """The ranges that are asked for and can be compared; how far they reach is noted."""
        for batch in only:
            if len(part := batch.clip(start, end)):
                self._listed_to = part.end
            if len(part := batch.clip(start, self._whole_end)):
                yield part

    def _make_report(self, command: str, start: int, end: int) -> VerifyReport:
        one, other = _side(self._source), _side(self._target)
        if isinstance(self._run, DigestRun):
            one, other = (self._run.side, other) if self._mine_first else (one, self._run.side)
        report = VerifyReport(command, one, other, METHOD, self._block, offset=start, length=end - start)
        report.size_policy, report.workers = self._size, self._run.workers
        report.extra["manifests"] = {
            name: side.to_dict()
            for name, side in (("source", self._source), ("target", self._target))
            if isinstance(side, Manifest)
        }
        report.warnings += in_use(*(side for side in (self._source, self._target) if not isinstance(side, Manifest)))
        return report

    def __iter__(self) -> Iterator[Extents]:
        for side in (self._source, self._target):
            if isinstance(side, Manifest):
                side.check()
        report, stopped = self.report, False
        joiner = Aligner(1)
        try:
            tail = beyond(self._source.size, self._target.size, self._size, self.report.warnings)
            for found in chain(self._joined(joiner), tail):
                if self._first:
                    report.recount(found[:1])
                    stopped = True
                    yield found[:1]
                    break
                report.count(found)
                yield found
        finally:
            self._book()
        if stopped:
            report.warnings.append("stopped at the first difference")
        report.complete = not stopped
        report.identical = report.complete and not report.difference_count and not len(report.unreadable)

    def _joined(self, joiner: Aligner) -> Iterator[Extents]:
        """Batches of differences, neighbours joined."""
        for piece in self._run:
            found = self._compare(piece)
            if len(piece.unreadable):
                found = found.subtract(piece.unreadable)
                self.report.unreadable_bytes += piece.unreadable.total()
                if len(self._unreadable) < MAX_UNREADABLE:
                    self._unreadable.append(piece.unreadable.with_kind(1 if self._mine_first else 2))
            self._tell(piece, found)
            if len(found) and len(part := joiner.feed(found)):
                yield part
            if joiner.end and joiner.end < piece.offset + piece.length and len(part := joiner.finish()):
                yield part
        torn = self._torn()
        for part in (joiner.feed(torn), joiner.finish()):
            if len(part):
                yield part

    def _compare(self, piece: Piece) -> Extents:
        """The blocks of a piece that differ from the manifest's."""
        first, count = piece.offset // self._block, -(-piece.length // self._block)
        if piece.digests is not None:
            return self._differing(first, piece.digests)
        parts = [
            self._differing(at, self._hasher.zero * n)
            for start, total in self._manifest.stored(first, count)
            for at, n in ((at, min(_STEP, start + total - at)) for at in range(start, start + total, _STEP))
        ]
        return Extents(extent for part in parts for extent in part)

    def _differing(self, first: int, mine: bytes) -> Extents:
        theirs = self._manifest.digests(first, len(mine) // self._hasher.size)
        if mine == theirs:
            return Extents()
        pair = (mine, theirs) if self._mine_first else (theirs, mine)
        return diff_digests(*pair, self._hasher.zero, first * self._block, self._block, self._whole_end)

    def _tell(self, piece: Piece, found: Extents) -> None:
        """Tells the watchers what was settled."""
        if not self._watchers:
            return
        hole = piece.digests is None and not len(found)
        task = Extents([(piece.offset, piece.length, SEG_SKIP_HOLE if hole else SEG_COMPARE)])
        for watcher in self._watchers:
            watcher.known(task)
            if not hole:
                watcher.settle(task, found, piece.unreadable)

    def _torn(self) -> Extents:
        """A block of which the sides have other parts, at the end of the smaller: nothing says that it is equal."""
        report, at = self.report, self._whole_end
        end = report.offset + report.length
        if at == end or (self._listed_to is not None and self._listed_to <= at):
            return Extents()
        report.skipped[_PART] = end - at
        report.warnings.append(
            f"the last {end - at} bytes that both have are a part of a block, which cannot be compared: "
            "they count as different"
        )
        return Extents([(at, end - at, Kind.DIFF_DATA)])

    def _book(self) -> None:
        """What was read, and what was left out for which reason."""
        report, run = self.report, self._run
        report.elapsed_seconds = run.elapsed_seconds
        report.bytes_compared = run.bytes_digested
        report.skipped = {**run.skipped, **report.skipped}
        report.unreadable = Extents(extent for part in self._unreadable for extent in part)
        report.warnings += [text for text in run.warnings if text not in report.warnings]
        left = report.length - report.bytes_compared - sum(report.skipped.values()) - report.unreadable_bytes
        if self._listed_to is not None and left > 0:
            report.skipped["not-listed"] = left


def _side(side: Device | Manifest) -> Side:
    return Side(side.name, side.size) if isinstance(side, Manifest) else Side.of(side)


def _refuse(method: str, *, strict: bool, **others: Any) -> None:
    """What a manifest cannot tell."""
    if strict:
        raise InvalidInput("a manifest does not tell holes from zeroes: --strict needs the device itself")
    if method not in ("auto", "content"):
        raise UnsupportedOperation(f"the method {method} compares two devices, and one of these is a manifest")
    for name, value in others.items():
        if value:
            raise InvalidInput(f"{name} does not go with a manifest")
