"""``blockdiff diff --pairs``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.cli.paired.output import make_sink
from blockdiff.cli.paired.running import Done, Opener, go_over, load_plan
from blockdiff.cli.progress import make_progress
from blockdiff.engine.diff import Diff
from blockdiff.engine.scan import Map
from blockdiff.errors import UnsupportedOperation
from blockdiff.units import format_size

if TYPE_CHECKING:
    from blockdiff.cli.paired.running import OnRanges
    from blockdiff.engine.planfile import FilePair


class Diffing:
    """Lists what changed from base to source of each pair; without a base, what is allocated."""

    command, good, found = "diff", "unchanged", "changed"

    def __init__(self, progress: Any, options: dict[str, Any]) -> None:
        self._progress, self._options = progress, options
        self.opener = Opener()

    def run(self, pair: FilePair, on_ranges: OnRanges) -> Done:
        self._progress.differing = 0
        snapshots = list(pair.named.values())
        with self.opener.opened(*snapshots) as devices:
            run = self._run(devices)
            total = 0
            for record in run.records():
                total += record.extents.total()
                if len(record.extents):
                    on_ranges(record.extents)
            size = devices[-1].size
        facts = {"method": run.method, "changed_bytes": total, "size": size, "warnings": list(run.warnings)}
        warnings = "".join(f"; warning: {text}" for text in run.warnings)
        since = f"since @{pair.base.name}" if pair.base else "since nothing"
        line = f"{since}: {total:,} bytes ({format_size(total)}), method {run.method}{warnings}"
        return Done("changed" if total else "unchanged", facts, line)

    def _run(self, devices: Any) -> Diff | Map:
        reading = {"options": self._options["options"], "progress": self._progress}
        if len(devices) == 2:
            return Diff(*devices, method=self._options["method"], require=self._options["require"], **reading)
        if self._options["method"] not in ("auto", "content") or self._options["require"]:
            wanted = self._options["require"] or self._options["method"]
            if wanted not in ("fast-diff", "byte"):
                raise UnsupportedOperation(f"the method {wanted} cannot be used: there is no base")
        return Map(devices[0], **reading)


def diff_pairs(
    name: str,
    *,
    allow_empty: bool,
    exit_code: bool,
    output: str,
    quiet: bool,
    progress_mode: str,
    options: dict[str, Any],
) -> int:
    """Goes over the plan in this file; the exit code: that something changed is none without ``exit_code``."""
    plan = load_plan(name, "diff", allow_empty=allow_empty)
    progress = make_progress(progress_mode, quiet=quiet)
    sink = make_sink(output, "diff", progress, quiet=quiet, key="extents", label="kind")
    result = go_over(plan, Diffing(progress, options), sink)
    return result.code if result.code != 1 or exit_code else 0
