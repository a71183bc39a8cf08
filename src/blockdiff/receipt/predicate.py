"""What a receipt of a verify says, version 1. docs/receipts.md describes every field.

Unknown fields are ignored, as in-toto demands of readers; a field that changes its meaning is a new version.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from blockdiff.receipt.statement import DIFFERENCES, root_key

Result = Literal["identical", "repaired", "different", "unreadable", "transient", "incomplete", "failed", "interrupted"]
Bytes = Annotated[int, msgspec.Meta(ge=0)]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Moment = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
KNOWN_EQUAL = ("hole", "shared", "osd-checksum")  # reasons to skip what is proved to be equal
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of nothing


class Tool(msgspec.Struct):
    """Which program wrote the receipt."""

    name: str
    version: str


class Host(msgspec.Struct):
    """Where it ran."""

    name: str
    system: str
    release: str
    machine: str


class Root(msgspec.Struct):
    """The root of a manifest of a device (docs/manifest-format.md). ``digest`` is hexadecimal."""

    algorithm: str
    block_size: Annotated[int, msgspec.Meta(ge=1)]
    digest: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{2})+$")]


class Side(msgspec.Struct):
    """A device. ``identity`` tells it from others, empty if nothing does; ``no_root`` is why there is no root."""

    url: str
    size: Bytes
    identity: str
    root: Root | None = None
    no_root: str = ""


class Differences(msgspec.Struct):
    """The differences, together. ``sha256`` is of their lines as ``verify -o jsonl`` prints them."""

    count: Bytes
    bytes: Bytes
    sha256: Sha256


class Signer(msgspec.Struct):
    """The key that the receipt was written for."""

    key_id: Sha256


class SideReport(msgspec.Struct):
    """A side in the report."""

    url: str
    size: Bytes


class Skipped(msgspec.Struct):
    """Bytes that were not read."""

    reason: str
    bytes: Bytes


class Repair(msgspec.Struct):
    """What a repair left different."""

    planned: bool
    remaining_ranges: Bytes

    @property
    def whole(self) -> bool:
        """Whether it was done, and nothing is left."""
        return not self.planned and not self.remaining_ranges


class Recheck(msgspec.Struct):
    """What a recheck found of the differences; nothing to recheck: there were none."""

    verdict: str


class Ledger(msgspec.Struct):
    """What a coverage ledger knows of earlier runs."""

    different_before_bytes: Bytes = 0


class Report(msgspec.Struct):
    """What is relied on of the report that is in the receipt as it is (docs/schemas/summary.schema.json)."""

    command: str
    identical: bool
    complete: bool
    source: SideReport
    target: SideReport
    method: str
    offset: Bytes
    length: Bytes
    size_policy: str
    difference_count: Bytes
    differing_bytes: Bytes
    unreadable_bytes: Bytes
    bytes_compared: Bytes
    skipped: list[Skipped]
    warnings: list[str]
    error: str = ""
    sample: Any = None
    repair: Repair | None = None
    ledger: Ledger | None = None
    recheck: Recheck | None = None

    @property
    def left_out(self) -> int:
        """Bytes of the range of which nothing is known: a list left them out, or it is for a reason unknown here."""
        return sum(item.bytes for item in self.skipped if item.reason not in KNOWN_EQUAL)


class Subject(msgspec.Struct):
    """What a statement is about."""

    name: str
    digest: dict[str, str]


class Predicate(msgspec.Struct):
    """A receipt of a verify. ``started`` and ``finished`` are UTC by the clock of the host."""

    tool: Tool
    host: Host
    started: Moment
    finished: Moment
    result: Result
    options: dict[str, Any]
    source: Side
    target: Side
    differences: Differences
    report: Report
    signer: Signer | None = None

    @property
    def says_identical(self) -> bool:
        """Whether all bytes of both devices are identical, perhaps since a repair."""
        return self.report.identical and self.is_whole

    @property
    def is_whole(self) -> bool:
        """Whether the result is about all bytes of both devices: no range, no list, no sample, sizes that agree."""
        report = self.report
        return (
            report.complete
            and (report.offset, report.left_out, report.sample) == (0, 0, None)
            and report.length == self.source.size == self.target.size
        )

    def contradiction(self, subjects: list[Subject]) -> str:
        """What in it cannot be true together, in words; empty for what holds."""
        return self._of_result() or self._of_proof() or self._of_sides() or self._of_subjects(subjects)

    def _of_result(self) -> str:
        found, report = self.differences, self.report
        if (found.count, found.bytes) != (report.difference_count, report.differing_bytes):
            return "the differences are not those of the report"
        if (found.count == 0) is not (found.sha256 == EMPTY) or (found.count == 0) is not (found.bytes == 0):
            return "the count of differences and their digest do not go together"
        if (self.result in ("identical", "repaired")) is not report.identical:
            return f"the result is {self.result} and the report says identical: {str(report.identical).lower()}"
        if report.identical and (report.unreadable_bytes or report.error or not report.complete):
            return "it calls identical what was unreadable or not finished"
        if report.identical and report.sample is not None:
            return "it calls identical what was a sample"
        if self.result == "identical" and found.count:
            return "it calls identical what was different"
        if self.result == "repaired" and not (found.count and report.repair is not None and report.repair.whole):
            return "it calls repaired what was not"
        return self._of_trouble()

    def _of_trouble(self) -> str:
        found, report = self.differences, self.report
        if (self.result in ("failed", "interrupted")) is not bool(report.error):
            return f"the result is {self.result} and the report's error is {report.error!a}"
        if self.result == "different" and not found.count:
            return "it calls different what has no difference"
        if self.result in ("transient", "incomplete") and (found.count or report.unreadable_bytes):
            return f"the result is {self.result}, and there are differences or unreadable bytes"
        return ""

    def _of_proof(self) -> str:
        """Identical is what was compared or skipped for a reason; sizes may differ only where that was asked for."""
        report = self.report
        if not report.identical:
            return ""
        if report.bytes_compared + sum(item.bytes for item in report.skipped) < report.length:
            return "it calls identical what was not compared"
        if report.source.size != report.target.size and report.size_policy != "min":
            return "it calls identical what has different sizes"
        found = report.recheck is not None and report.recheck.verdict != "nothing-to-recheck"
        if found and self.result != "repaired":
            return "it calls identical what differed before a recheck"
        return ""

    def _of_sides(self) -> str:
        for name in ("source", "target"):
            side, told = getattr(self, name), getattr(self.report, name)
            if (side.url, side.size) != (told.url, told.size):
                return f"the {name} is not that of the report"
            if (side.root is None) is not bool(side.no_root):
                return f"the {name} has a root and a reason why not, or neither"
        one, other = self.source.root, self.target.root
        if self.says_identical and one is not None and other is not None and one != other:
            return "it calls identical what has two different roots"
        return ""

    def _of_subjects(self, subjects: list[Subject]) -> str:
        wanted = {DIFFERENCES: {"sha256": self.differences.sha256}}
        for name in ("source", "target"):
            root = getattr(self, name).root
            if root is not None:
                wanted[name] = {root_key(msgspec.to_builtins(root)): root.digest}
        if len(subjects) != len(wanted) or {item.name: item.digest for item in subjects} != wanted:
            return "the subjects are not what the predicate is about"
        return ""
