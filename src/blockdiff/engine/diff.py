"""Which extents of a target changed against its base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from blockdiff._fast import SEG_COMPARE, SEG_DST_HOLE, SEG_SRC_HOLE, Extents, Merge, combine_table
from blockdiff.engine.compare import check_unchanged
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.plan import known_extents, plan_compare
from blockdiff.engine.stream import coalesce
from blockdiff.engine.verify import Verification, in_use, refuse_same, shared_ranges, span
from blockdiff.errors import InvalidInput, UnsupportedOperation
from blockdiff.extent import Kind
from blockdiff.record import BlockMetadataType, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.engine.device import Device
    from blockdiff.engine.progress import Progress

METHODS = ("auto", "reflink", "fast-diff", "byte", "chain", "cbt", "content")
_TRACKED = ("fast-diff", "byte", "chain")

_CHANGED = combine_table(lambda kind, _: Kind.ZERO if kind == Kind.DST_ZERO else Kind.DATA)
_UNSHARED = combine_table(
    lambda seg, _: Kind.ZERO if seg == SEG_DST_HOLE else Kind.DATA if seg in (SEG_COMPARE, SEG_SRC_HOLE) else None
)
_BEYOND = combine_table(lambda kind, _: Kind.DATA if kind == Kind.DATA else Kind.ZERO)


class TrackedExtents(Protocol):
    """What a storage tells about changes: iterate it for ascending batches, kinds data and zero.

    ``method`` says how it knows, ``fallback`` why not by its fastest way, ``warnings`` what else is to be told. Every
    byte that differs lies inside the extents, also those that the target has beyond the end of its base.
    """

    method: str
    fallback: str
    warnings: list[str]

    def __iter__(self) -> Iterator[Extents]: ...


class Diff:
    """The changed extents of ``target`` against ``base`` as a stream of records; ``method`` tells how they are known.

    ``auto`` asks a storage that keeps track of changes (``fast-diff``, ``byte`` or ``chain``, see its backend), else
    skips what shares physical storage and reads the rest: exact. ``reflink`` and those three read no data: they may
    over-report, never under-report. ``content`` reads all that is not a hole on both sides. ``require`` names the
    method that must be usable; UnsupportedOperation says why it is not.
    Bytes of a target that is longer than its base are changed. A kind of zero says that the target reads as zeroes
    there.
    """

    def __init__(
        self,
        base: Device,
        target: Device,
        *,
        method: str = "auto",
        require: str | None = None,
        options: ReadOptions | None = None,
        offset: int = 0,
        length: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        for name in (method, require):
            if name is not None and name not in METHODS:
                raise InvalidInput(f"unknown method {name!r}: known are {', '.join(METHODS)}")
        self._base, self._target, self._options = base, target, options or ReadOptions()
        if self._options.keep_going:
            raise InvalidInput("a list of changes cannot go on after an unreadable range: a change could be left out")
        self._offset, self._length = offset, length
        refuse_same(base, target)
        self._start, self._end = span(offset, length, base, target)
        self._wanted, self._progress = self._resolve(method, require), progress
        self.warnings: list[str] = []
        self.run: Verification | None = None
        self.changed_bytes = 0

    @property
    def method(self) -> str:
        """How the changes are known: ``reflink``, ``reflink+content``, ``content``, or as the storage tells."""
        return self._tracked.method if self._tracked is not None else self._wanted

    def _resolve(self, method: str, require: str | None) -> str:
        wanted = require if require not in (None, "auto") else method
        if require not in (None, "auto", method) and method != "auto":
            raise InvalidInput(f"--method {method} contradicts --require {require}")
        if wanted == "content":
            return "content"
        if wanted == "cbt":
            raise UnsupportedOperation(
                f"the method cbt cannot be used: {self._base.url} and {self._target.url} are devices, not snapshots "
                "of a service that tracks changes (csi:)"
            )
        if wanted in (*_TRACKED, "auto") and self._track(wanted):
            return "tracked"
        refusal = getattr(self._base, "shared_refusal", lambda _: "it is not a file on a file system with reflinks")
        reason = refusal(self._target)
        if reason is None:
            return "reflink" if wanted == "reflink" else "reflink+content"
        if wanted == "reflink":
            raise UnsupportedOperation(f"the method reflink cannot be used: {reason}")
        self.fallback = self.fallback or reason
        return "content"

    def _track(self, wanted: str) -> bool:
        """Asks the storage for the changes, if it keeps track of them and of both devices."""
        refuse = getattr(
            self._target, "changes_refusal", lambda _: "it is not on a storage that keeps track of changes"
        )
        reason = refuse(self._base)
        known = getattr(self._target, "tracked_methods", ("fast-diff", "byte"))
        if reason is None and wanted not in ("auto", *known):
            reason = f"{self._target.url} knows what changed by {' and '.join(known)} only"
        if reason is None:
            self._tracked = self._target.changes_since(self._base, self._start, self._tail_end(), wanted)  # type: ignore[attr-defined]
            self.fallback, self.better = self._tracked.fallback, known[0]
            return True
        if wanted in _TRACKED:
            raise UnsupportedOperation(f"the method {wanted} cannot be used: {reason}")
        if hasattr(self._target, "changes_refusal"):
            self.fallback, self.better = reason, known[0]
        return False

    _tracked: TrackedExtents | None = None
    fallback = ""
    """Why the method that ``better`` names was not used, where it could have been."""
    better = "reflink"

    def records(self) -> Iterator[Record]:
        """The changed extents, one record a batch; capacity is the target's size."""
        ways = {"reflink": self._by_metadata, "tracked": self._by_tracking}
        batches = ways.get(self._wanted, self._by_content)()
        given = False
        for batch in batches:
            if len(batch):
                given = True
                self.changed_bytes += batch.total()
                yield Record(BlockMetadataType.VARIABLE_LENGTH, self._target.size, batch)
        if not given:  # an empty list still says whose it is
            yield Record(BlockMetadataType.VARIABLE_LENGTH, self._target.size, Extents())

    def _by_metadata(self) -> Iterator[Extents]:
        _, shared = shared_ranges(self._base, self._target, self._start, self._end)
        plan = plan_compare(
            self._base, self._target, self._start, self._end, granularity=self._options.granularity, shared=shared
        )
        yield from Merge(plan, (), _UNSHARED)
        check_unchanged(self._base, self._target, warnings=self.warnings)
        yield from self._tail()

    def _by_tracking(self) -> Iterator[Extents]:
        """As the storage tells; the devices must still be there when it has told all."""
        assert self._tracked is not None
        self.warnings += [*in_use(self._base, self._target), *self._tracked.warnings]
        yield from self._tracked
        check_unchanged(self._base, self._target, warnings=self.warnings)

    def _by_content(self) -> Iterator[Extents]:
        self.run = Verification(
            self._base,
            self._target,
            options=self._options,
            size="ignore",
            offset=self._offset,
            length=self._length,
            shared=self._wanted != "content",
            progress=self._progress,
            command="diff",
        )
        # batch by batch: a Merge of them all would keep back what was found first until it has found a lot
        yield from coalesce(part for found in self.run for part in Merge((found,), (), _CHANGED))
        self.warnings += self.run.report.warnings
        yield from self._tail()

    def _tail(self) -> Iterator[Extents]:
        """What the target has beyond its base."""
        start, end = max(self._base.size, self._offset), self._tail_end()
        if end > start:
            yield from Merge(known_extents(self._target, start, end), (), _BEYOND)

    def _tail_end(self) -> int:
        """Where the range that was asked for ends in the target."""
        return self._target.size if self._length is None else min(self._target.size, self._offset + self._length)
