"""``blockdiff snapshot-metadata list``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.base import CONTEXT
from blockdiff.cli.lists import make_list
from blockdiff.cli.options import output_options
from blockdiff.cli.progress import make_progress
from blockdiff.cli.snapshot_metadata import request
from blockdiff.cli.snapshot_metadata.flags import ORIGINAL, OURS
from blockdiff.cli.snapshot_metadata.goclick import GoCommand, go_options
from blockdiff.cli.snapshot_metadata.telling import Telling
from blockdiff.units import format_size

if TYPE_CHECKING:
    from blockdiff.record import Record

FORMATS = ("table", "json", "jsonl", "human", "rbd", "qemu", "nbd", "summary")


@click.command("list", cls=GoCommand, context_settings=CONTEXT, short_help="List changed or allocated blocks")
@go_options(ORIGINAL, required=("namespace", "snapshot"))
@go_options(OURS)
@output_options(FORMATS, default="table", names=("--output-format",))
def command(output: str, quiet: bool, verbose: bool, progress_mode: str, **values: Any) -> int:
    """List the allocated blocks of a VolumeSnapshot, or what changed since a previous one.

    Stands in for snapshot-metadata-lister: its flags are known in all their spellings, and table and json are, byte for
    byte, what it prints. A broken stream is taken up where it broke. Only a list with exit code 0 is complete.

    With --address, --ca-cert-file and --token-file no Kubernetes is needed; name the previous snapshot by its handle
    then.

    \b
    Examples:
      blockdiff snapshot-metadata list -n app -s today
      blockdiff snapshot-metadata list -n app -s today -p yesterday -o json > changed.json
      blockdiff snapshot-metadata list -n=app -snapshot=today -P=7bdd0de3 -o=jsonl
    """
    from blockdiff.csi import get_snapshot_metadata

    delta = request.is_delta(values)
    request.need_libraries()
    progress = make_progress(progress_mode, quiet=quiet)
    telling = Telling(output, progress_mode, quiet=quiet)
    listing = Listing(_emitter(output, quiet=quiet), progress)
    args = request.make_args(
        values, emitter=listing, on_resume=request.resumed(telling.resumed), progress=listing.advance
    )
    if request.needs_cluster(args):
        args.clients = request.clients(values, os.environ)
    get_snapshot_metadata(args)
    if verbose or output == "human":
        telling.result(listing.summary(delta=delta))
    return 0


def _emitter(output: str, *, quiet: bool) -> Any:
    from blockdiff.csi import JSONEmitter, TableEmitter

    original = {"json": JSONEmitter, "table": TableEmitter}.get(output)
    return original(sys.stdout.buffer) if original else make_list(output, quiet=quiet)


class Listing:
    """Gives records on to an emitter, counts, and moves the progress."""

    def __init__(self, emitter: Any, progress: Any) -> None:
        self._emitter, self._progress = emitter, progress
        self._started = False
        self.ranges = self.bytes = self.capacity = 0

    def record(self, number: int, record: Record) -> None:
        if number == 1:
            self.capacity = record.capacity
            self._progress.start("list", record.capacity)
            self._started = True
        self.ranges += len(record.extents)
        self.bytes += record.extents.total()
        self._progress.pause()
        self._emitter.record(number, record)

    def advance(self, offset: int, _capacity: int) -> None:
        self._progress.advance(offset)

    def done(self, count: int) -> None:
        if self._started:
            self._progress.finish()
        self._emitter.done(count)

    def summary(self, *, delta: bool) -> str:
        """The sums, for people."""
        what = "changed" if delta else "allocated"
        return (
            f"{what}: {self.bytes:,} bytes ({format_size(self.bytes)}) in {self.ranges:,} ranges of a volume of "
            f"{self.capacity:,} bytes"
        )
