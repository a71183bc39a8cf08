"""Reports from files: JSON or JSON lines, big ones too; of the ranges as many are kept as were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from blockdiff._fast import Extents, ReportParser
from blockdiff.report.consistency import check
from blockdiff.report.facts import Facts, read_facts

if TYPE_CHECKING:
    from collections.abc import Iterable


class Listed:
    """The ranges that a report lists: the first ``limit`` of them are in ``batches``, and all of them in the sums."""

    def __init__(self, limit: int) -> None:
        self.batches: list[Extents] = []
        self.count = self.bytes = self.end = self.kept = 0
        self.sums: dict[int, int] = {}
        self._limit = limit

    def add(self, batch: Extents) -> None:
        """Takes what comes next."""
        self.count += len(batch)
        self.end = batch.end
        for kind, total in batch.totals().items():
            self.bytes += total
            self.sums[kind] = self.sums.get(kind, 0) + total
        part = batch[: max(0, self._limit - self.kept)]
        if len(part):
            self.batches.append(part)
            self.kept += len(part)

    def keep(self, count: int) -> None:
        """Drops all but the first ``count`` ranges."""
        kept: list[Extents] = []
        self.kept = 0
        for batch in self.batches:
            part = batch[: max(0, count - self.kept)]
            if len(part):
                kept.append(part)
                self.kept += len(part)
        self.batches = kept


class Run:
    """One report: its ``facts``, its ranges, and in ``sections`` what else it says, by key (None: too long to show)."""

    def __init__(self, name: str, facts: Facts, listed: Listed, sections: dict[str, Any]) -> None:
        self.name, self.facts, self.listed, self.sections = name, facts, listed, sections

    @property
    def size(self) -> int:
        """Bytes of the larger device."""
        return max(self.facts.source.size, self.facts.target.size)

    @property
    def lists_all(self) -> bool:
        """Whether every difference that was found is listed, and kept."""
        facts, listed = self.facts, self.listed
        if listed.kept < listed.count or facts.command == "copy":
            return False
        return facts.command != "verify" or listed.count == facts.difference_count


def read_report(file: BinaryIO, name: str, *, limit: int) -> Run:
    """Reads a report; at most ``limit`` ranges are kept. Raises InvalidInput with the place of what is wrong."""
    parser = ReportParser(file, name)
    listed = Listed(limit)
    for batch in parser:
        listed.add(batch)
    facts, sections = read_facts(name, parser.values)
    check(name, facts, listed, sections)
    return Run(name, facts, listed, sections)


def in_order(runs: Iterable[Run]) -> list[Run]:
    """The oldest first; those that do not say when they began stay before all others, as they were given."""
    return sorted(runs, key=lambda run: run.facts.started_at)
