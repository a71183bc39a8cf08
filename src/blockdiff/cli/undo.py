"""``blockdiff undo``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from blockdiff.backends.opening import printable
from blockdiff.cli.base import CONTEXT, Command
from blockdiff.cli.options import Name, output_options
from blockdiff.cli.progress import make_progress
from blockdiff.cli.reportwriter import encode, write
from blockdiff.cli.verifying.repair import count_ranges
from blockdiff.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS = ("human", "json")
_SHOWN = 20


@click.command("undo", cls=Command, context_settings=CONTEXT)
@click.argument("journal", type=Name())
@click.option("--show", is_flag=True, help="Say what is in JOURNAL and write nothing; -v lists every range.")
@click.option("--plan", is_flag=True, help="Look at the device, say what would be done, and write nothing.")
@click.option(
    "--device",
    type=Name(),
    metavar="NAME",
    default=None,
    help="The device, where it has another name than at the repair.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Also write when the device is in use, has other marks of identity, or was written to since the repair.",
)
@output_options(FORMATS)
def command(
    journal: str,
    show: bool,
    plan: bool,
    device: str | None,
    force: bool,
    output: str,
    quiet: bool,
    verbose: bool,
    progress_mode: str,
) -> int:
    """Give a device back the bytes that it had before blockdiff verify --repair, from the JOURNAL of that.

    Before anything is written, all of JOURNAL is checked, that the device is the one that was repaired, and that each
    range holds the bytes of the repair or the old ones: bytes that somebody wrote since are not overwritten. Then the
    old bytes are written and read back. It may be killed at any moment and run again. A journal that was undone is
    refused, unless the device needs it again.

    \b
    Examples:
      blockdiff undo --show replica.undo
      blockdiff undo replica.undo
      blockdiff undo --device /dev/vg1/replica replica.undo
    """
    if show:
        if plan or force or device is not None:
            raise click.UsageError("--show looks at the journal only: --plan, --force and --device do not go with it")
        return _show(journal, output, verbose=verbose, quiet=quiet)
    from blockdiff.engine.repair.undoing import undo_journal

    progress = make_progress(progress_mode, quiet=quiet)
    done = undo_journal(journal, device, force=force, plan=plan, progress=progress).to_dict()
    if output == "json":
        write(encode(done) + b"\n")
    elif not quiet:
        for line in _planned(done) if plan else _lines(done):
            write(line.encode(errors="surrogateescape") + b"\n")
    return 0


def _planned(done: dict[str, Any]) -> list[str]:
    line = f"plan: {done['differing_bytes']:,} of {done['bytes']:,} bytes of {done['device']['url']} would be restored"
    return [f"{line}; nothing was written", *_notes(done)]


def _lines(done: dict[str, Any]) -> list[str]:
    url = done["device"]["url"]
    lines = [f"restored: {done['restored_bytes']:,} bytes of {url}, read back"]
    if done["restored_bytes"] < done["bytes"]:
        lines.append(f"{done['bytes'] - done['restored_bytes']:,} bytes had their old content already")
    return lines + _notes(done)


def _notes(done: dict[str, Any]) -> list[str]:
    notes = []
    if done["strange_bytes"]:
        notes.append(f"warning: {done['strange_bytes']:,} bytes of them were neither the repaired nor the old ones")
    if done["lost_bytes"]:
        notes.append(
            f"warning: {done['lost_bytes']:,} bytes stay as they are: they could not be read before the repair"
        )
    return notes


def _show(journal: str, output: str, *, verbose: bool, quiet: bool) -> int:
    from blockdiff.engine.repair.undoing import show_journal

    about, ranges = show_journal(journal)
    if output == "json":
        _show_json(about, ranges)
    elif not quiet:
        _show_text(about, ranges, most=None if verbose else _SHOWN)
    return 0


def _show_json(about: dict[str, Any], ranges: Iterator[dict[str, Any]]) -> None:
    """One object; the list of ranges may be longer than memory."""
    write(encode(about)[:-1] + b',"ranges":[')
    for number, item in enumerate(ranges):
        write((b"," if number else b"") + encode(item))
    write(b"]}\n")


def _show_text(about: dict[str, Any], ranges: Iterator[dict[str, Any]], *, most: int | None) -> None:
    device = about["device"]
    lines = [
        f"journal of {device['url']} ({device['size']:,} bytes), opened as {printable(device['name'])}",
        f"state: {about['state']} since {_when(about['changed'])}; {format_size(about['journal_bytes'])}",
    ]
    lines += [_repair(number, repair) for number, repair in enumerate(about["repairs"])]
    if about["torn_bytes"]:
        lines.append(f"{about['torn_bytes']:,} bytes at its end are of a record that was never applied")
    for line in lines:
        write(line.encode(errors="surrogateescape") + b"\n")
    write(b"          Offset         Length  Old      New   Repair\n")
    count = total = 0
    for item in ranges:
        count, total = count + 1, total + item["length"]
        if most is None or count <= most:
            write(
                f"{item['offset']:16} {item['length']:14}  {item['old']:8} {item['new']:5} {item['repair']}\n".encode()
            )
    rest = f" ({count - most:,} more: -v lists all)" if most is not None and count > most else ""
    write(f"{count_ranges(count)}, {total:,} bytes{rest}\n".encode())


def _repair(number: int, facts: dict[str, Any]) -> str:
    blind = " (without undo)" if facts.get("without_undo") else ""
    return (
        f"repair {number}: {_when(facts.get('started'))}, from {printable(str(facts.get('source')))}, "
        f"{count_ranges(facts.get('ranges', 0))}, {facts.get('bytes')} bytes{blind}"
    )


def _when(seconds: Any) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds)) if isinstance(seconds, int) else "unknown"
