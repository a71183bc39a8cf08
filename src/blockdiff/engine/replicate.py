"""Brings an image of a replica from one snapshot to the next: only what changed is sent, and the result is a snapshot.

Nothing is taken for granted: that the base has the same content on both sides is proved before the first write, and
that nobody else wrote to the replica since is checked. A run that was cut short is taken up by the same command.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from blockdiff.engine.compare import check_unchanged
from blockdiff.engine.copy import Copy
from blockdiff.engine.device import WritableDevice
from blockdiff.engine.plan import whole
from blockdiff.engine.stream import union
from blockdiff.engine.verify import verify_devices
from blockdiff.errors import ContentsDoNotMatch, DeviceBusy, InvalidInput, UnsupportedOperation
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockdiff._fast import Extents
    from blockdiff.engine.device import Device
    from blockdiff.engine.diff import TrackedExtents
    from blockdiff.engine.options import ReadOptions
    from blockdiff.engine.progress import Progress
    from blockdiff.engine.report import VerifyReport

LAST = "last"


class SnapshotDevice(WritableDevice, Protocol):
    """A device of an image that has snapshots: at one of them (``snapshot`` is its name), or at the head (empty).

    ``note`` and ``set_note`` keep a line of text with the image itself.
    """

    snapshot: str

    def snapshots(self) -> list[Any]:
        """The user's snapshots, oldest first; each has a ``name`` and a ``size``."""
        ...

    def at(self, snapshot: str) -> Device:
        """The image at a snapshot, opened for reading."""
        ...

    def create_snapshot(self, name: str) -> None:
        """Makes a snapshot of what is there now."""

    def resize(self, size: int) -> None:
        """Another size."""

    def note(self) -> str | None:
        """The line that ``set_note`` left with the image."""

    def set_note(self, text: str | None) -> None:
        """Leaves a line with the image; None removes it."""


class Replication:
    """One replication of the snapshot ``source`` to the head of ``target``, which then gets a snapshot of its name.

    ``base`` is the name of an older snapshot that both have, or "last": the newest that both have; a target that is
    empty gets everything. ``trust_base`` does not compare the bases; ``force`` also overwrites what somebody else has
    written to the target since. ``verify`` compares the two snapshots at the end.

    ``run()`` returns the report of the copy. Raises InvalidInput and DeviceBusy (refused: nothing was written),
    DeviceError (the target's head is incomplete; its snapshots are as they were), ContentsDoNotMatch.
    """

    def __init__(
        self,
        source: SnapshotDevice,
        target: SnapshotDevice,
        *,
        base: str = LAST,
        verify: bool = False,
        trust_base: bool = False,
        force: bool = False,
        options: ReadOptions | None = None,
        progress: Progress | None = None,
    ) -> None:
        for device in (source, target):
            if not hasattr(device, "create_snapshot"):
                raise UnsupportedOperation(f"--from-snap needs images with snapshots, and {device.url} is none")
        refuse_head(source)
        self._source, self._target, self._verify = source, target, verify
        self._trust, self._force, self._options, self._progress = trust_base, force, options, progress
        self._done = any(snap.name == source.snapshot for snap in target.snapshots())
        self.base = None if self._done else self._common(base)
        self.copy: Copy | None = None
        self.notes: list[str] = []

    def run(self) -> VerifyReport:
        """Checks, copies, makes the snapshot, and verifies if asked."""
        if self._done:
            return self._prove_again()
        with ExitStack() as stack:
            ranges, resumed = None, self._target.note() == self._mark()
            if self.base is not None:
                bases = [device.at(self.base) for device in (self._source, self._target)]
                for device in bases:
                    stack.callback(device.close)
                ranges = list(self._ranges(*bases, resumed=resumed))
                check_unchanged(*bases, warnings=self.notes)  # a base that was removed took the truth along
            report = self._write(ranges, resumed=resumed)
        self._target.create_snapshot(self._source.snapshot)
        self._target.set_note(None)
        report.extra.update(from_snapshot=self.base, to_snapshot=self._source.snapshot, resumed=resumed)
        report.warnings += self.notes
        if self._verify:
            self._prove(report)
        return report

    # ---- what is allowed ----

    def _common(self, asked: str) -> str | None:
        """The name of the base; None for a target that was made for this."""
        ours: list[str] = [snap.name for snap in self._source.snapshots()]
        theirs: list[str] = [snap.name for snap in self._target.snapshots()]
        older = ours[: ours.index(self._source.snapshot)] if self._source.snapshot in ours else ours
        both = [name for name in older if name in theirs]
        if asked != LAST and asked in both:
            return asked
        if asked != LAST:
            where = self._source.url if asked not in older else self._target.url
            raise InvalidInput(f"{where} has no snapshot {asked!r} older than @{self._source.snapshot}{_known(both)}")
        if both:
            return both[-1]
        if not theirs and (self._target.note() == self._mark() or self._empty()):
            return None
        raise InvalidInput(
            f"{self._source.url} and {self._target.url} have no older snapshot in common: "
            "name a target that is empty or does not exist, to begin with a full copy"
        )

    def _empty(self) -> bool:
        """Nothing was ever written there, or a run that made it was cut short before it wrote."""
        return all(not batch.total(Kind.DATA) for batch in self._target.extents())

    def _mark(self) -> str:
        """Says whose unfinished work the target's head is."""
        return f"from {'/'.join(map(str, getattr(self._source, 'identity', (self._source.url,))))}"

    def _ranges(self, ours: Device, theirs: Device, *, resumed: bool) -> Iterator[Extents]:
        """All that must be written: what changed at the source, and what is not the base any more at the target."""
        self._compare_bases(ours, theirs)
        changed = list(self._changes(self._target, theirs))
        if not resumed:
            changed = self._really_changed(theirs, changed)
        # what was cut off there will grow as zeroes
        changed = list(union(changed, whole(self._target.size, theirs.size)))
        count = sum(batch.total() for batch in changed)
        if count and not resumed and not self._force:
            raise DeviceBusy(
                f"{self._target.url} was written to since its snapshot {self.base!r} ({count:,} bytes): "
                "roll it back, or overwrite that with --force"
            )
        size = self._source.size
        wanted = union(self._changes(self._source, ours), [batch.clip(0, size) for batch in changed])
        return (batch.with_kind(Kind.DATA).coalesce() for batch in wanted)

    def _really_changed(self, base: Device, listed: list[Extents]) -> list[Extents]:
        """What of it differs: after a rollback all that was brought back is listed, and is the same."""
        if not any(map(len, listed)):
            return []
        found: list[Extents] = []
        verify_devices(
            base, self._target, options=self._options, method="auto", only=listed, on_differences=found.append
        )
        return found

    def _compare_bases(self, ours: Device, theirs: Device) -> None:
        if ours.size != theirs.size:
            raise InvalidInput(
                f"{ours.url} has {ours.size} bytes and {theirs.url} has {theirs.size}: "
                "they have one name, but are not the same snapshot"
            )
        if self._trust:
            self.notes.append(f"the snapshots {self.base!r} of both sides were not compared (--trust-base)")
            return
        report = verify_devices(ours, theirs, options=self._options, method="auto", first=True, progress=self._progress)
        if not report.identical:
            first = report.differences[0].offset if len(report.differences) else 0
            raise InvalidInput(
                f"{ours.url} and {theirs.url} have one name, but other content, first at offset {first}: "
                "what changed since cannot be put on top of that"
            )

    def _changes(self, device: Any, base: Device) -> Iterable[Extents]:
        refusal = device.changes_refusal(base)
        if refusal is not None:
            raise UnsupportedOperation(f"it is not known what changed in {device.url}: {refusal}")
        changes: TrackedExtents = device.changes_since(base, 0, device.size, "auto")
        self.method = changes.method
        return changes

    method = "full"
    """How the changes were known."""

    # ---- doing it ----

    def _write(self, ranges: Iterable[Extents] | None, *, resumed: bool) -> VerifyReport:
        only = None if ranges is None else list(ranges)
        self._target.set_note(self._mark())
        if self._target.size != self._source.size:
            self._target.resize(self._source.size)
        # what an earlier run has written is compared, and not written again
        self.copy = Copy(
            self._source, self._target, changed=resumed, only=only, options=self._options, progress=self._progress
        )
        self.copy.report.method = f"replicate ({self.method})"
        report = self.copy.run()
        report.method = f"replicate ({self.method})"
        return report

    def _prove(self, report: VerifyReport) -> None:
        with ExitStack() as stack:
            copied = self._target.at(self._source.snapshot)
            stack.callback(copied.close)
            proof = verify_devices(self._source, copied, options=self._options, method="auto", progress=self._progress)
        if not proof.identical:
            first = proof.differences[0] if len(proof.differences) else None
            where = f", first at offset {first.offset} (length {first.length})" if first else ""
            raise ContentsDoNotMatch(
                f"{copied.url} differs from {self._source.url} in {proof.differing_bytes} bytes{where}: "
                "do not use that snapshot"
            )
        report.identical = True
        report.extra.update(verified=True, verified_bytes=proof.length, verify_method=proof.method)

    def _prove_again(self) -> VerifyReport:
        """The target has the snapshot already: that is fine when it is the same."""
        name = self._source.snapshot
        if not self._verify:
            raise InvalidInput(
                f"{self._target.url} already has a snapshot {name!r}: --verify proves that it is the same"
            )
        self.copy = Copy(self._source, self._target, only=[], options=self._options)
        report = self.copy.report
        report.extra.update(
            copied_bytes=0, zeroed_bytes=0, from_snapshot=None, to_snapshot=name, resumed=False, verified=None
        )
        report.method, report.complete = "replicate (nothing to do)", True
        self._prove(report)
        return report


def refuse_head(source: Any) -> None:
    """Only what stands still can be replicated. InvalidInput."""
    if not source.snapshot:
        raise InvalidInput(f"{source.url} is no snapshot: name one (@...), for a head may change while it is copied")


def _known(names: list[str]) -> str:
    return f" (both have {', '.join(names)})" if names else ""
