"""``blockdiff pairs``."""

from __future__ import annotations

import sys
from typing import Any

import click

from blockdiff.cli.base import CONTEXT, Command
from blockdiff.cli.options import Name

GROUPS = ("vm", "tag", "none")
LANGUAGES = ("snapper", "lxd", "snapsentry", "openstorage")


@click.command("pairs", cls=Command, context_settings=CONTEXT)
@click.argument("src", type=Name())
@click.argument("dst", type=Name(), required=False)
@click.option(
    "--for",
    "purpose",
    type=click.Choice(("verify", "diff", "copy")),
    default=None,
    help="What the pairs are for: verify compares both sides, diff and copy go from the base that both have to what is "
    "newer.  [default: verify, with SRC alone diff]",
)
@click.option(
    "--group",
    type=click.Choice(GROUPS),
    default=None,
    help="What belongs together: the disks of a machine, all that have a tag, or nothing.  [default: vm for a pool, "
    "none for an image]",
)
@click.option(
    "--match",
    type=click.Choice(("proven", "name")),
    default="proven",
    show_default=True,
    help="name: snapshots of one name are taken for the same where nothing else is known.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 86400),
    default=0.0,
    metavar="SECONDS",
    help="Dates that differ by no more are the same instant, for a side that states whole seconds.",
)
@click.option(
    "--schedule", metavar="TEXT", default=None, help="Tell at which of its times no snapshot of SRC was taken."
)
@click.option(
    "--language", type=click.Choice(LANGUAGES), default="snapper", show_default=True, help="The language of TEXT."
)
@click.option(
    "--id", metavar="ID", default=None, help="With --language lxd: the object whose schedule it is; spreads aliases."
)
@click.option(
    "--zone",
    metavar="ZONE",
    default=None,
    help="With --schedule: the time zone of a TEXT that names none.  [default: UTC]",
)
@click.option("--at", metavar="TIME", default=None, help="With --schedule: as of this time, UTC.  [default: now]")
@click.option("--json", "listed", is_flag=True, help="SRC and DST are files that list snapshots as JSON (-: stdin).")
@click.option("-o", "--output", type=click.Choice(("table", "json", "jsonl")), default="table", show_default=True)
def command(
    src: str,
    dst: str | None,
    purpose: str | None,
    group: str | None,
    match: str,
    tolerance: float,
    output: str,
    **wishes: Any,
) -> int:
    """Plan which snapshots to compare, copy or list changes of. Reads lists of snapshots only.

    SRC and DST are images (rbd:POOL/IMAGE), pools (rbd:POOL/), or with --json lists of snapshots of any storage.
    Snapshots are the same if their content id is, else if their name and instant are; tags carry their instant in the
    name. A snapshot of the same name and other content is a conflict, and never a base.

    blockdiff verify --pairs and diff --pairs go over the plan.

    \b
    Examples:
      blockdiff pairs "rbd:vms/?conf=a.conf" "rbd:vms/?conf=b.conf"
      blockdiff pairs -o json rbd:vms/disk "rbd:vms/disk?conf=b.conf" | blockdiff verify --pairs -
      blockdiff pairs --for copy --json here.json there.json
      blockdiff pairs --schedule hourly:local=24 rbd:vms/
    """
    from blockdiff.cli.paired.planning import Wish, make_plan

    for name in ("at", "id", "zone"):
        if wishes[name] is not None and wishes["schedule"] is None:
            raise click.UsageError(f"--{name} goes with --schedule")
    wish = Wish(purpose=purpose, group=group, by_name=match == "name", tolerance=tolerance, **wishes)
    _print(make_plan(src, dst, wish), output)
    return 0


def _print(plan: dict[str, Any], output: str) -> None:
    from blockdiff.cli.reportwriter import encode

    write = sys.stdout.buffer.write
    if output == "json":
        write(encode(plan) + b"\n")
    elif output == "jsonl":
        for pair in plan.pop("pairs"):
            write(encode(pair) + b"\n")
        write(encode(plan) + b"\n")
    else:
        from blockdiff.cli.paired.table import plan_lines

        for line in plan_lines(plan):
            write(_printable(line).encode(errors="surrogateescape") + b"\n")


def _printable(line: str) -> str:
    """What a storage calls its snapshots does not reach the terminal raw."""
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
