"""The block map in JSON reports of ``blockdiff verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.cli.verifying.aspect import Aspect
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from blockdiff._fast import Extents
    from blockdiff.cli.verifying.job import Job
    from blockdiff.engine.blockmap import BlockMap
    from blockdiff.engine.report import VerifyReport

OPTIONS: tuple[Any, ...] = ()


def make(_given: dict[str, Any]) -> Aspect | None:
    """Always: which output is written is known later."""
    return MapAspect()


class MapAspect(Aspect):
    """Counts what was settled where, and adds it to the report, also to that of a run that is cut short."""

    pairs = True
    map: BlockMap | None = None

    def prepare(self, job: Job) -> None:
        if job.output not in ("json", "jsonl"):
            return
        from blockdiff.engine.blockmap import BlockMap

        self.map = BlockMap(max(job.source.size, job.target.size), job.comparing["options"].granularity)
        job.comparing["watchers"] = [*job.comparing.get("watchers", ()), self.map]

    def found(self, batch: Extents) -> None:
        if self.map is not None:
            self.map.tail(batch.only(Kind.SIZE))

    def finish(self, job: Job, report: VerifyReport) -> list[str]:
        if self.map is not None and "recheck" in report.extra and job.spool is not None:
            self.map.confirm(job.spool)
        self.cut_short(report)
        return []

    def cut_short(self, report: VerifyReport) -> None:
        if self.map is not None:
            report.extra["map"] = self.map.to_dict()
