"""The block map of ``blockdiff verify``: in JSON reports, and drawn by ``--plot``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.verifying.aspect import Aspect
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from blockdiff._fast import Extents
    from blockdiff.cli.verifying.job import Job
    from blockdiff.engine.blockmap import BlockMap
    from blockdiff.engine.report import VerifyReport

OPTIONS = (
    click.option("--plot", "plotted", is_flag=True, help="Also draw what was found where: a mark for each part."),
)


def make(given: dict[str, Any]) -> Aspect | None:
    """Always: which output is written is known later."""
    return MapAspect(plotted=given.pop("plotted"))


class MapAspect(Aspect):
    """Counts what was settled where, and adds it to the report, also to that of a run that is cut short."""

    option = "--plot"
    manifests = True
    map: BlockMap | None = None

    def __init__(self, *, plotted: bool) -> None:
        self._plotted = plotted
        self.pairs = not plotted

    def prepare(self, job: Job) -> None:
        if self._plotted and (job.quiet or job.output != "human"):
            other = "--quiet" if job.quiet else f"-o {job.output}"
            raise click.UsageError(f"--plot is for people: it does not go with {other}")
        if not self._plotted and job.output not in ("json", "jsonl"):
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
        return self._drawn(report.extra["map"]) if self._plotted else []

    def _drawn(self, value: dict[str, Any]) -> list[str]:
        from blockdiff.cli.plot import FOUND, plot, style_of_stdout

        cells = ((run["cells"], [run.get(state.name, 0) for state in FOUND]) for run in value["runs"])
        return list(plot(cells, value["size"], value["cell_bytes"], FOUND, style_of_stdout()))

    def cut_short(self, report: VerifyReport) -> None:
        if self.map is not None:
            report.extra["map"] = self.map.to_dict()
