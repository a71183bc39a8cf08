"""Proves that two devices are identical, or finds every range that is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff._fast import Extents
from blockdiff.engine.compare import Comparison, check_unchanged
from blockdiff.engine.digest import add_facts, choose_digests
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.plan import plan_compare
from blockdiff.engine.progress import RateLimit
from blockdiff.engine.stream import clip, concatenate
from blockdiff.errors import InvalidInput
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from blockdiff.engine.checkpoint.keeper import Keeper
    from blockdiff.engine.checkpoint.keeping import Keeping
    from blockdiff.engine.compare import Watcher
    from blockdiff.engine.device import Device
    from blockdiff.engine.digest import DigestDevice
    from blockdiff.engine.progress import Progress
    from blockdiff.engine.report import VerifyReport

SIZE_POLICIES = ("strict", "min")
IGNORE = "ignore"  # the caller deals with what is beyond the common part


class Verification:
    """One verify. Iterate it for batches of differences as they are found; ``report`` is final afterwards.

    ``strict`` also reports ranges where one side has a hole and the other is allocated; ``size`` is the policy for
    devices of different sizes: ``strict`` reports the part beyond the smaller as different, ``min`` compares the
    common part only. ``only`` limits the work to these ranges. ``method``: ``content`` reads all but holes,
    ``osd-checksum`` compares digests that a storage computes and reads only what they do not prove, ``auto`` does so
    where it can. ``watchers`` are told what was settled. ``checkpoint``: what is settled is kept there, and
    what it has is not read again. Raises InvalidInput, DeviceError, UnsupportedOperation.
    """

    _keeper: Keeper | None = None

    def __init__(
        self,
        source: Device,
        target: Device,
        *,
        options: ReadOptions | None = None,
        strict: bool = False,
        method: str = "content",
        size: str = "strict",
        offset: int = 0,
        length: int | None = None,
        only: Iterable[Extents] | None = None,
        first: bool = False,
        shared: bool = True,
        progress: Progress | None = None,
        command: str = "verify",
        eager: bool = False,
        watchers: Sequence[Watcher] = (),
        checkpoint: Keeping | None = None,
    ) -> None:
        if size not in (*SIZE_POLICIES, IGNORE):
            raise InvalidInput(f"unknown size policy {size!r}: known are {', '.join(SIZE_POLICIES)}")
        self._options = options or ReadOptions()
        self._source, self._target, self._first, self._size = source, target, first, size
        refuse_same(source, target)

        def begin(start: int, end: int, method: str) -> int:
            asked = {"size_policy": size, "strict": strict, "method": method}
            if checkpoint is not None:
                self._keeper = checkpoint.keeper(
                    source, target, start, end, command=command, only=only, options=self._options, asked=asked
                )
            return start if self._keeper is None else self._keeper.start

        sight = outlook(
            source,
            target,
            options=self._options,
            strict=strict,
            method=method,
            offset=offset,
            length=length,
            only=only,
            shared=shared,
            begin=begin,
        )
        digests, plan = sight.digests, sight.plan
        limit = RateLimit(self._options.rate) if self._options.rate else None
        self._digests = None
        if digests is not None:
            self._digests = digests.digest_plan(source, target, plan, options=self._options, limit=limit)
            if self._keeper is not None:
                self._keeper.watch(self._digests)
        self._comparison = Comparison(
            source,
            target,
            plan if self._digests is None else self._digests,
            start=sight.start,
            end=sight.end,
            options=self._options,
            command=command,
            method=sight.method,
            strict=strict,
            eager=eager,
            progress=progress,
            limit=limit,
            watchers=watchers,
            keeper=self._keeper,
        )
        self.report: VerifyReport = self._comparison.report
        self.report.size_policy = size
        if sight.refusal:
            self.report.extra["method_refusal"] = sight.refusal
        self.report.warnings += in_use(source, target)

    def __iter__(self) -> Iterator[Extents]:
        try:
            yield from self._differences()
        finally:
            if self._digests is not None:
                self._digests.close()
                add_facts(self.report, self._digests)
                if self._keeper is not None:
                    self.report.extra.update(self._keeper.facts(self._digests.facts()))

    def _differences(self) -> Iterator[Extents]:
        report = self.report
        stopped = False
        for found in self._comparison:
            if self._first:
                report.recount(found[:1])
                check_unchanged(self._source, self._target, warnings=report.warnings)
                stopped = True
                yield found[:1]
                break
            yield found
        if not stopped:
            yield from self._size_difference()
        if stopped:
            report.complete = False
            report.warnings.append("stopped at the first difference")
        report.identical = report.complete and not report.difference_count and not len(report.unreadable)

    def _size_difference(self) -> Iterator[Extents]:
        for tail in beyond(self._source.size, self._target.size, self._size, self.report.warnings):
            self.report.count(tail)
            yield tail


def beyond(source: int, target: int, policy: str, warnings: list[str]) -> Iterator[Extents]:
    """What only the longer of two sides of these sizes has, where the size policy calls that a difference."""
    small, large = sorted((source, target))
    if small == large or policy == IGNORE:
        return
    if policy == "min":
        warnings.append(f"the sizes differ ({source} and {target} bytes): only the common part was compared")
        return
    yield Extents([(small, large - small, Kind.SIZE)])


class Outlook:
    """How ``[start, end)`` of two devices will be compared: ``plan`` can be walked once, and reads nothing.

    ``refusal`` says why checksums are not used, where somebody could have expected them.
    """

    def __init__(
        self, start: int, end: int, method: str, digests: DigestDevice | None, refusal: str, plan: Iterator[Extents]
    ) -> None:
        self.start, self.end, self.method, self.digests = start, end, method, digests
        self.refusal, self.plan = refusal, plan


def outlook(
    source: Device,
    target: Device,
    *,
    options: ReadOptions,
    strict: bool = False,
    method: str = "content",
    offset: int = 0,
    length: int | None = None,
    only: Iterable[Extents] | None = None,
    shared: bool = True,
    begin: Callable[[int, int, str], int] | None = None,
) -> Outlook:
    """What a Verification with these arguments would do, known from metadata alone. Raises what it would raise.

    ``begin``, asked with start, end and the method of digests or "content", says where the plan begins.
    """
    start, end = span(offset, length, source, target)
    digests, refusal = choose_digests(source, target, method, strict=strict)
    at = start if begin is None else begin(start, end, "content" if digests is None else digests.digest_method)
    granule = max(start, at - at % options.granularity)  # which a list may have cut
    how, ranges = shared_ranges(source, target, granule, end) if shared and not strict else ("content", ())
    plan = plan_compare(
        source,
        target,
        granule,
        end,
        granularity=options.granularity,
        shared=ranges,
        only=only,
        strict=strict,
        digests=digests is not None,
    )
    plan = plan if granule == at else clip(plan, at, end)
    return Outlook(start, end, how if digests is None else digests.digest_method, digests, refusal, plan)


def in_use(*devices: Device) -> list[str]:
    """Warnings about devices that somebody may write to while they are compared."""
    asked = ((device, getattr(device, "in_use", str)()) for device in devices)
    return [f"{device.url} is in use ({who}): what is written meanwhile may be missed" for device, who in asked if who]


def refuse_same(source: Device, target: Device) -> None:
    """A device is always identical with itself: that proves nothing and is somebody's mistake. InvalidInput."""
    one, other = getattr(source, "identity", None), getattr(target, "identity", None)
    if one is not None and one == other:
        raise InvalidInput(
            f"{source.url} and {target.url} are one and the same: comparing it with itself proves nothing"
        )


def span(offset: int, length: int | None, source: Device, target: Device) -> tuple[int, int]:
    """The range to compare, checked against both devices."""
    common, largest = sorted((source.size, target.size))
    if offset < 0 or (length is not None and length < 0):
        raise InvalidInput(f"offset {offset} and length {length} must not be negative")
    if offset > largest or (length is not None and offset + length > largest):
        asked = f"{offset}" if length is None else f"[{offset}, {offset + length})"
        sizes = f"{source.size} and {target.size} bytes"
        raise InvalidInput(f"the range {asked} leaves the devices, which have {sizes}")
    end = common if length is None else min(common, offset + length)
    return min(offset, end), end


def shared_ranges(source: Device, target: Device, start: int, end: int) -> tuple[str, Iterable[Extents]]:
    """The method, and the ranges that provably share physical storage (where a backend can tell)."""
    refusal: Callable[[Device], str | None] | None = getattr(source, "shared_refusal", None)
    if refusal is None or refusal(target) is not None:
        return "content", ()
    return "reflink+content", source.shared_extents(target, start, end - start)  # type: ignore[attr-defined]


def verify_devices(
    source: Device,
    target: Device,
    *,
    on_differences: Callable[[Extents], None] | None = None,
    max_differences: int | None = None,
    compare: Callable[..., Any] | None = None,
    **options: object,
) -> VerifyReport:
    """Compares two open devices and returns the report; ``options`` are those of Verification.

    ``differences`` are collected in the report (24 bytes each), or given to ``on_differences`` in batches as they are
    found and not collected. ``max_differences`` limits the list, never the totals. ``compare`` makes what is run in
    place of a Verification.
    """
    make: Callable[..., Any] = compare or Verification
    run = make(source, target, **options)
    parts: list[Extents] = []
    listed = 0
    for found in run:
        room = len(found) if max_differences is None else max(0, max_differences - listed)
        part = found[:room]
        listed += len(part)
        if on_differences is not None and len(part):
            on_differences(part)
        elif len(part):
            parts.append(part)
    report: VerifyReport = run.report
    report.differences = concatenate(parts)
    return report
