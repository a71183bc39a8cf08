"""A repair as part of a verify: what is refused before, what is done after, and what the report then says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff._fast import Extents
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.registry import open_device
from blockdiff.engine.repair.identity import describe
from blockdiff.engine.repair.journal import open_journal
from blockdiff.engine.repair.place import check_place, default_journal, hold
from blockdiff.engine.repair.repair import Plan, Repair
from blockdiff.engine.verify import Verification
from blockdiff.errors import DeviceBusy, DeviceError, InvalidInput
from blockdiff.extent import Kind

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    from blockdiff.engine.device import Device
    from blockdiff.engine.progress import Progress
    from blockdiff.engine.report import VerifyReport

METHOD = "journal, write, flush, read back"
_TARGET_ONLY = 2  # of a report's unreadable ranges


def open_repair_target(name: str | os.PathLike[str], source: Device, *, force: bool = False) -> Any:
    """An existing device, open for writing. DeviceBusy where it is in use (``force`` overrides) or is the source."""
    target: Any = open_device(name, writable=True, force=force)
    try:
        refuse_same = getattr(target, "refuse_if_same", None)
        if refuse_same is not None:
            refuse_same(source)
    except BaseException:
        target.close()
        raise
    return target


class Session:
    """Repairs ``target``, which is open for writing, after a verify that found where it differs from ``source``.

    ``name``: what to open the target by. ``journal``: a file, new or of an earlier repair of this target; None for a
    new one in the default place. With ``plan`` nothing is written. ``unreadable``: ranges of the target that cannot be
    read are written, too, without undo. ``compared``: the handle of the target that was read before, which knows
    whether others wrote meanwhile; ``writing`` is called before the first byte is written. ``facts`` is what the
    report says.
    """

    def __init__(
        self,
        source: Device,
        target: Any,
        *,
        name: str | os.PathLike[str] | None = None,
        journal: str | None = None,
        plan: bool = False,
        unreadable: bool = False,
        force: bool = False,
        compared: Device | None = None,
        writing: Callable[[], None] = lambda: None,
        options: ReadOptions | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._writing = writing
        self._compared: Device = target if compared is None else compared
        self._source, self._target, self._force = source, target, force
        self._options, self._progress = options or ReadOptions(), progress
        self._journal, self._plan, self._blind = journal, plan, unreadable
        self._about = describe(target, name)
        self._repair: Repair | None = None
        self.facts: dict[str, Any] = {}

    def refuse(self, size: str = "strict") -> None:
        """Raises what speaks against it before anything was read: InvalidInput, DeviceBusy, DeviceError."""
        source, target = self._source, self._target
        if size == "strict" and source.size != target.size:
            raise InvalidInput(
                f"{source.url} has {source.size} bytes and {target.url} has {target.size}, and a repair changes no "
                "size: blockdiff copy --changed --resize makes them equal, without undo; --size min repairs what "
                "both have"
            )
        who = getattr(source, "in_use", str)()
        if who and not self._force:
            raise DeviceBusy(
                f"refusing to repair from {source.url}, which is in use ({who}) and may change: repair from a "
                "snapshot of it (--force overrides)",
                reasons=(who,),
            )
        check_place(self._journal, target, self._about)
        hold(target, force=self._force)

    def finish(self, report: VerifyReport, differences: Iterable[Extents]) -> None:
        """Repairs what was found, proves it, and puts the result into the report."""
        blind = Extents(e for e in report.unreadable if e.kind == _TARGET_ONLY) if self._blind else Extents()
        repair = Repair(
            self._source,
            self._target,
            differences,
            unreadable=blind,
            rate=self._options.rate,
            progress=self._progress,
        )
        plan = repair.plan()
        self.facts = {"planned": self._plan, "method": METHOD, "ranges": plan.ranges, "bytes": plan.bytes}
        self.facts |= {"journal": None, "journal_bytes": plan.journal_bytes}
        report.extra["repair"] = self.facts
        if self._plan or not plan.ranges:
            self.facts["journal"] = self._journal if self._plan and plan.ranges else None
            self._count(repair)
            return
        self._refuse_changed()
        self._repair = repair
        self._write(repair, plan)
        self._prove(report, repair, differences)

    def cut_short(self, report: VerifyReport) -> None:
        """Notes how far it came."""
        if self._repair is not None:
            self._count(self._repair)
            report.extra["repair"] = self.facts

    @property
    def begun(self) -> str | None:
        """The name of the journal, once there is one."""
        name: str | None = self.facts.get("journal")
        return name if self._repair is not None else None

    # ---- inside ----

    def _count(self, repair: Repair) -> None:
        self.facts |= {
            "written_bytes": repair.written,
            "zeroed_bytes": repair.zeroed,
            "without_undo_bytes": repair.lost,
            "verified_bytes": self.facts.get("verified_bytes", 0),
            "remaining_ranges": self.facts.get("remaining_ranges", self.facts["ranges"]),
            "remaining_bytes": self.facts.get("remaining_bytes", self.facts["bytes"]),
        }

    def _refuse_changed(self) -> None:
        for device, action in ((self._source, "repair from"), (self._compared, "repair")):
            what = getattr(device, "changes", str)()
            if what:
                raise DeviceError(
                    f"{what}, so nothing was written: repair what stands still, such as a snapshot, and repeat",
                    url=device.url,
                    action=action,
                )

    def _write(self, repair: Repair, plan: Plan) -> None:
        name = self._journal or default_journal(self._target)
        journal = open_journal(name, self._about)
        self.facts["journal"] = name
        self._writing()
        try:
            repair.run(journal, granularity=self._options.granularity)
        finally:
            kept = journal.settle()
            self.facts |= {"journal": name if kept else None, "journal_bytes": journal.end if kept else 0}
        self._count(repair)

    def _prove(self, report: VerifyReport, repair: Repair, differences: Iterable[Extents]) -> None:
        """Compares what was written with what the storage says now."""
        self.facts |= {"remaining_ranges": 0, "remaining_bytes": 0}
        self._read_back(_as_data(differences))
        if len(repair.unreadable):
            self._read_back([repair.unreadable])
            report.unreadable = report.unreadable.subtract(repair.unreadable)
            report.unreadable_bytes -= repair.unreadable.total()
        changed = getattr(self._source, "changes", str)()
        if changed:
            report.warnings.append(f"{self._source.url}: {changed}, so the repair may be of several moments: repeat it")
        remains = self.facts["remaining_ranges"] or report.unreadable_bytes or changed
        moving = report.extra.get("recheck", {}).get("transient_ranges", 0)  # then nothing is proved
        report.identical = report.complete and not remains and not moving

    def _read_back(self, only: Iterable[Extents]) -> None:
        getattr(self._target, "drop_cache", lambda: None)()
        asked = self._options
        options = ReadOptions(
            granularity=asked.granularity,
            read=asked.read,
            workers=asked.workers,
            rate=asked.rate,
            target_past_cache=True,
        )
        run = Verification(
            self._source,
            self._target,
            options=options,
            size="ignore",
            method="auto",
            only=only,
            shared=False,
            progress=self._progress,
        )
        for _ in run:
            pass
        report = run.report
        proved = sum(report.skipped.get(reason, 0) for reason in ("hole", "osd-checksum"))
        self.facts["verified_bytes"] += report.bytes_compared + proved
        self.facts["remaining_ranges"] += report.difference_count
        self.facts["remaining_bytes"] += report.differing_bytes


def _as_data(differences: Iterable[Extents]) -> Iterator[Extents]:
    return (part for batch in differences if len(part := batch.with_kind(Kind.DATA)))
