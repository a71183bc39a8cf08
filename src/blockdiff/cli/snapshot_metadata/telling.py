"""What is said beside the output proper."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.streams import say

if TYPE_CHECKING:
    from blockdiff.csi.args import Args
    from blockdiff.engine.report import VerifyReport


class Telling:
    """Remarks on stderr: none with ``-o json`` and ``jsonl``, where errors are JSON; JSON with ``--progress json``."""

    def __init__(self, output: str, progress_mode: str, *, quiet: bool) -> None:
        self._output, self._json = output, progress_mode == "json"
        self._quiet = quiet or (output in ("json", "jsonl") and not self._json)

    def resumed(self, text: str) -> None:
        """A stream broke and is taken up again."""
        if self._json:
            say(json.dumps({"event": "resumed", "message": text}))
        elif not self._quiet:
            say(f"blockdiff: {text}")

    def result(self, text: str) -> None:
        """The sums: below a list for people, beside one for programs."""
        if not self._quiet:
            click.echo(text, err=self._output != "human")


def list_facts(args: Args, listed: Any, mode: str, applied: int = 0) -> dict[str, Any]:
    """The report's part about the list; ``listed`` has counted it."""
    return {
        "snapshot": f"{args.namespace}/{args.snapshot_name}",
        "previous_snapshot": args.prev_snapshot_id or args.prev_snapshot_name or None,
        "mode": mode,
        "volume_capacity_bytes": listed.capacity,
        "records": listed.records,
        "listed_extents": listed.ranges,
        "listed_bytes": listed.bytes,
        "applied_bytes": applied,
    }


def warn_of_sizes(report: VerifyReport, args: Args, capacity: int) -> None:
    """Adds to a report what the sizes of the volumes mean for the check."""
    if args.starting_offset:
        report.warnings.append(
            f"the list begins at byte {args.starting_offset}, and the whole volumes were compared: "
            "what differs before it was not asked for"
        )
    for side in (report.source, report.target):
        if side.size > capacity > 0:
            report.warnings.append(
                f"{side.url} has {side.size} bytes and the volume has {capacity}: the list says nothing about the rest"
            )
        elif side.size < capacity and not any(text.startswith(f"{side.url} has") for text in report.warnings):
            report.warnings.append(
                f"{side.url} has {side.size} bytes and the volume has {capacity}: the rest was not compared"
            )
