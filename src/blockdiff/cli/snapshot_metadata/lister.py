"""The program ``snapshot-metadata-lister``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from blockdiff.cli.snapshot_metadata.dropin import Failure, Program, connect, flags_with_home, make_args
from blockdiff.cli.snapshot_metadata.flags import HELP, ORIGINAL, OURS, OUTPUT_FORMAT

if TYPE_CHECKING:
    from typing import NoReturn

ABOUT = """\
Lists the allocated blocks of a VolumeSnapshot, or what changed since a previous one of the same volume. The previous
one is known by its name or by its CSI handle; the handle goes before the name."""


def main() -> NoReturn:
    """The entry point."""
    flags = flags_with_home((*ORIGINAL, OUTPUT_FORMAT, *OURS, HELP))
    Program("snapshot-metadata-lister", ABOUT, flags, _list).main()


def _list(values: dict[str, Any]) -> None:
    from blockdiff.csi import JSONEmitter, TableEmitter, get_snapshot_metadata

    form = {"json": JSONEmitter, "table": TableEmitter}.get(values["output_format"])
    if form is None:
        raise Failure(f"Unknown output format: {values['output_format']}", usage=True)
    args = make_args(values, emitter=form(sys.stdout.buffer))
    connect(args, values)
    get_snapshot_metadata(args)


if __name__ == "__main__":
    main()
