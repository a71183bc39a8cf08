"""The commands as functions: they open, run, close and return values; they never print and never exit.

Devices are paths, URLs or open devices; open ones stay open.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from blockdiff._fast import Extents
from blockdiff.engine.audit import Audit, AuditTotals
from blockdiff.engine.copy import Copy
from blockdiff.engine.diff import Diff
from blockdiff.engine.listing import check_listing, open_listing
from blockdiff.engine.manifest import is_manifest
from blockdiff.engine.registry import is_source, open_device
from blockdiff.engine.scan import Map
from blockdiff.engine.stream import concatenate
from blockdiff.engine.verify import verify_devices
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    from blockdiff.engine.device import Device, WritableDevice
    from blockdiff.engine.manifest import Manifest
    from blockdiff.engine.options import ReadOptions
    from blockdiff.engine.progress import Progress
    from blockdiff.engine.report import VerifyReport
    from blockdiff.engine.sampled import Sampling
    from blockdiff.exportdiff.apply import ApplyReport
    from blockdiff.exportdiff.merge import MergeReport
    from blockdiff.record import Record

    Target = str | os.PathLike[str] | Device
    Side = Target | Manifest


def verify(
    source: Side,
    target: Side,
    *,
    options: ReadOptions | None = None,
    strict: bool = False,
    method: str = "auto",
    size: str = "strict",
    offset: int = 0,
    length: int | None = None,
    extents: Extents | Iterable[Extents] | None = None,
    sample: Sampling | None = None,
    ledger: str | os.PathLike[str] | None = None,
    budget: str | None = None,
    first: bool = False,
    max_differences: int | None = None,
    on_differences: Callable[[Extents], None] | None = None,
    progress: Progress | None = None,
) -> VerifyReport:
    """Compares two devices; ``report.identical`` and ``report.differences`` say the result.

    ``extents`` limits the work to these ranges; with ``sample`` they are compared in full, of the rest only a sample,
    and nothing is called identical. ``ledger`` and ``budget`` are those of ``blockdiff verify``, as is ``method``.
    Differences are collected in the report, 24 bytes each, unless ``on_differences`` takes them in batches as they are
    found. Each side may be a manifest. Raises InvalidInput, DeviceError, UnsupportedOperation.
    """
    comparing: dict[str, Any] = {
        "options": options,
        "strict": strict,
        "size": size,
        "method": method,
        "offset": offset,
        "length": length,
        "only": _batches(extents),
        "first": first,
        "progress": progress,
    }
    collecting: dict[str, Any] = {"max_differences": max_differences, "on_differences": on_differences}
    if (budget is not None and ledger is None) or (sample is not None and ledger is not None):
        raise InvalidInput("a budget needs a ledger, and a sample goes with none")
    with ExitStack() as stack:
        one, other = _open_side(stack, source), _open_side(stack, target)
        if _manifests(one, other):
            if ledger is not None:
                raise InvalidInput("a ledger is of two devices, and a manifest is none")
            from blockdiff.engine.manifest import ManifestVerification

            comparing["compare"] = ManifestVerification
            comparing["sample"] = sample
            sample = None
        if ledger is not None:
            return _recorded(os.fspath(ledger), budget, one, other, comparing, collecting)
        if sample is not None:
            stack.callback(sample.close)
            sample.plan(one, other, comparing)
        report = verify_devices(one, other, **collecting, **comparing)
        if sample is not None:
            sample.conclude(report)
        return report


def _recorded(
    ledger: str,
    budget: str | None,
    source: Device,
    target: Device,
    comparing: dict[str, Any],
    collecting: dict[str, Any],
) -> VerifyReport:
    """A verify that is written down in a ledger."""
    from blockdiff import __version__
    from blockdiff.budget import parse_budget
    from blockdiff.engine.ledger.session import Session

    if budget is not None and comparing.pop("first"):
        raise InvalidInput("a budget does not go with first")
    if comparing["only"] is not None:
        comparing["only"] = list(comparing["only"])
    limit = None if budget is None else parse_budget(budget)
    return Session(ledger, limit, version=__version__).run(source, target, comparing, **collecting)


def diff(
    base: Side | None,
    target: Side,
    *,
    method: str = "auto",
    require: str | None = None,
    options: ReadOptions | None = None,
    offset: int = 0,
    length: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Record]:
    """Yields records of the extents of ``target`` that changed against ``base``, in bounded memory.

    ``method`` and ``require`` as in ``blockdiff diff``. The devices are open as long as the iterator is used; an error,
    or leaving the loop early, closes them. Two URLs of snapshots that hold no data (``csi:``) are asked for what they
    list. ``base`` None is for a URL that says by itself since when it lists changes (``nbd:`` with ``bitmap=``).
    """
    with ExitStack() as stack:
        if _lists(base) or _lists(target):
            check_listing(str(target), method=method, require=require)
            listing = open_listing(base, target, offset=offset, length=length, changed=True)  # type: ignore[arg-type]
            yield from stack.enter_context(listing).records()
            return
        if base is None:
            raise InvalidInput("a base is needed to say what changed in a device")
        sides = _open_side(stack, base), _open_side(stack, target)
        compare: Any = Diff
        if _manifests(*sides):
            from blockdiff.engine.manifest import ManifestDiff

            compare = ManifestDiff
        run = compare(
            *sides,
            method=method,
            require=require,
            options=options,
            offset=offset,
            length=length,
            progress=progress,
        )
        yield from run.records()


def map(  # noqa: A001 - the command's name
    image: Target,
    *,
    zeroes: bool = False,
    holes: bool = True,
    options: ReadOptions | None = None,
    offset: int = 0,
    length: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Record]:
    """Yields records of an image's extents: data, zero and (with ``holes``) hole. ``zeroes`` scans the data for
    zeroes.
    """
    with ExitStack() as stack:
        if _lists(image):
            check_listing(str(image), zeroes=zeroes)
            listing = open_listing(None, image, offset=offset, length=length, holes=holes, mapped=True)  # type: ignore[arg-type]
            yield from stack.enter_context(listing).records()
            return
        run = Map(
            _open(stack, image),
            zeroes=zeroes,
            holes=holes,
            options=options,
            offset=offset,
            length=length,
            progress=progress,
        )
        yield from run.records()


def copy(
    source: Target,
    target: str | os.PathLike[str] | WritableDevice,
    *,
    changed: bool = False,
    extents: Extents | Iterable[Extents] | None = None,
    sparse: str = "auto",
    verify: bool = False,
    resize: bool = False,
    force: bool = False,
    discard: bool = False,
    base: str | None = None,
    options: ReadOptions | None = None,
    progress: Progress | None = None,
) -> VerifyReport:
    """Writes ``source`` to ``target``: all of it, what differs (``changed``), or listed ranges (``extents``).

    A target given by name is made, checked and sized as ``blockdiff copy`` does it; with ``base`` it is a new qcow2
    image over that one. Raises InvalidInput, DeviceBusy, DeviceError (the target is then incomplete),
    ContentsDoNotMatch (``verify``).
    """
    from blockdiff.engine.target import commit, open_target

    if base is not None and not changed and extents is None:
        raise InvalidInput("an overlay holds what differs: say changed or extents")
    with ExitStack() as stack:
        first = _open(stack, source)
        if _is_name(target):
            second: Any = open_target(target, first, resize=resize, force=force, discard=discard, base=base)  # type: ignore[arg-type]
            stack.callback(second.close)
        else:
            second = target
        report = Copy(
            first,
            second,
            changed=changed,
            only=_batches(extents),
            sparse=sparse,
            verify=verify,
            options=options,
            progress=progress,
        ).run()
        if second is not target:
            commit(second)
        return report


def apply(
    diffs: Iterable[str | os.PathLike[str]],
    target: str | os.PathLike[str] | WritableDevice,
    *,
    verify: bool = False,
    base_size: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> ApplyReport:
    """Applies export-diff streams (files, or ``-`` for standard input) to ``target``, as ``blockdiff apply`` does.

    Nothing is written before all files were found good. Raises InvalidInput, DeviceBusy; SourceError, DeviceError (the
    target is then incomplete: apply the same again), ContentsDoNotMatch (``verify``).
    """
    from blockdiff.exportdiff.apply import Apply
    from blockdiff.exportdiff.opening import open_apply_target

    with ExitStack() as stack:

        def opened(size: int | None) -> Any:
            if not _is_name(target):
                return target
            device = open_apply_target(target, size, open_device, force=force)  # type: ignore[arg-type]
            stack.callback(device.close)
            return device

        names = [os.fspath(name) for name in diffs]
        return Apply(names, verify=verify, base_size=base_size, progress=progress).run(opened)


def merge(
    diffs: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str] | BinaryIO,
    *,
    progress: Progress | None = None,
) -> MergeReport:
    """Joins export-diff streams that follow each other into one, written to a name or a binary file.

    A file of that name appears when it is whole. Raises InvalidInput, OutputError.
    """
    from blockdiff.exportdiff.merge import merge_streams

    place: Any = os.fspath(out) if _is_name(out) else out  # type: ignore[arg-type]
    return merge_streams([os.fspath(name) for name in diffs], place, progress=progress)


def open_chain(*names: str | os.PathLike[str]) -> Device:
    """Opens an image (a device, or a whole stream) with the diffs that follow laid over it, as one read-only device.

    All diffs are read through first; InvalidInput names what is wrong with one. Give it to ``verify``, and close it.
    """
    from blockdiff.exportdiff.opening import open_chain as opened

    return opened(list(names), open_device)


class AuditReport:
    """The result of ``audit``: ``correct``, ``totals``, the ``under_reported`` Extents (kind: class) and the
    ``report``.
    """

    def __init__(self, correct: bool, totals: AuditTotals, under_reported: Extents, report: VerifyReport) -> None:
        self.correct, self.totals, self.under_reported, self.report = correct, totals, under_reported, report

    def __repr__(self) -> str:
        return f"AuditReport(correct={self.correct}, totals={self.totals})"


def audit(
    base: Target | None,
    target: Target,
    extents: Extents | Iterable[Extents],
    *,
    options: ReadOptions | None = None,
    progress: Progress | None = None,
) -> AuditReport:
    """Judges a list of changed blocks; ``base`` None judges a list of allocated blocks against zeroes.

    Raises InvalidInput where the list leaves the target, DeviceError where something cannot be read.
    """
    from blockdiff.extent import Kind

    batches = list(_batches(extents) or ())
    with ExitStack() as stack:
        opened = None if base is None else _open(stack, base)
        volume = _open(stack, target)
        if batches and batches[-1].end > volume.size:
            raise InvalidInput(f"the list ends at {batches[-1].end}, past the end of the target, {volume.size}")
        grains = [g for batch in batches if (g := batch.granularity(limit=volume.size))]
        run = Audit(
            opened,
            volume,
            lambda: iter(batches),
            list_granularity=min(grains, default=0),
            options=options,
            progress=progress,
        )
        under = [found.only(*(kind for kind in found.totals() if kind != Kind.OVER)) for found in run]
        return AuditReport(run.correct, run.totals, concatenate([part for part in under if len(part)]), run.report)


def _open(stack: ExitStack, target: Any) -> Device:
    if not _is_name(target):
        device: Device = target
        return device
    opened = open_device(target)
    stack.callback(opened.close)
    return opened


def _open_side(stack: ExitStack, target: Any) -> Any:
    """The same where a manifest may be named, too."""
    if not _is_name(target) or not is_manifest(target):
        return _open(stack, target)
    from blockdiff.engine.manifest import open_manifest

    return stack.enter_context(open_manifest(target))


def _manifests(*sides: Any) -> bool:
    return any(hasattr(side, "stored_blocks") for side in sides)


def _lists(target: object) -> bool:
    """Whether it is the name of something that lists blocks and holds none."""
    return _is_name(target) and is_source(target)  # type: ignore[arg-type]


def _is_name(target: object) -> bool:
    return isinstance(target, str) or hasattr(target, "__fspath__")


def _batches(extents: Extents | Iterable[Extents] | None) -> Iterator[Extents] | None:
    if extents is None:
        return None
    return iter((extents,)) if isinstance(extents, Extents) else iter(extents)
