"""``blockdiff extents``."""

from __future__ import annotations

from typing import Any

import click

from blockdiff.cli.base import CONTEXT, Command, Group
from blockdiff.cli.extents.options import input_options, list_output_options
from blockdiff.cli.options import Name, Size

_FILES = click.argument("files", nargs=-1, required=True, type=Name(), metavar="FILE...")
_FILE = click.argument("files", nargs=1, type=Name(), metavar="FILE", callback=lambda _c, _p, value: (value,))


@click.group("extents", cls=Group, context_settings=CONTEXT, short_help="Combine, convert and measure lists of extents")
def command() -> None:
    """Combine, convert and measure lists of changed or allocated ranges.

    A FILE is what blockdiff itself, the Kubernetes snapshot-metadata lister, rbd diff, qemu-img map, nbdinfo --map,
    ovirt-imageio or thin_delta printed, told apart by its content; - is stdin, and csi: URLs are asked. A set is what a
    list names as changed or as allocated: data and zeroes; holes and what did not change are no part of it.

    \b
    Examples:
      blockdiff extents union monday.json tuesday.json
      qemu-img map --output json disk.qcow2 | blockdiff extents convert -o json -
      blockdiff extents stat changed.json
    """


@command.command("union", cls=Command, context_settings=CONTEXT)
@_FILES
@list_output_options()
@input_options()
def union(**given: Any) -> int:
    """List what any of the FILEs lists: what changed on any day.

    Where one list says zero and another says data, the result says data.

    \b
    Examples:
      blockdiff extents union monday.json tuesday.json
      blockdiff extents union -o json --out week.json monday.json tuesday.json
    """
    return _run("union", given)


@command.command("intersect", cls=Command, context_settings=CONTEXT)
@_FILES
@list_output_options()
@input_options()
def intersect(**given: Any) -> int:
    """List what all FILEs list, as the first one has it.

    \b
    Examples:
      blockdiff extents intersect changed.json allocated.json
    """
    return _run("intersect", given, at_least=2)


@command.command("subtract", cls=Command, context_settings=CONTEXT)
@_FILES
@list_output_options()
@input_options()
def subtract(**given: Any) -> int:
    """List what the first FILE lists and none of the others does.

    \b
    Examples:
      blockdiff extents subtract tuesday.json monday.json
    """
    return _run("subtract", given, at_least=2)


@command.command("complement", cls=Command, context_settings=CONTEXT)
@_FILE
@list_output_options()
@input_options()
def complement(**given: Any) -> int:
    """List what FILE does not list, up to the end of the volume.

    How large the volume is: as FILE says it, where a map ends, or --capacity.

    \b
    Examples:
      blockdiff extents complement changed.json
      blockdiff extents complement --capacity 10G changes.json
    """
    return _run("complement", given)


@command.command("align", cls=Command, context_settings=CONTEXT)
@_FILE
@click.option("--granularity", type=Size(), required=True, help="Grow each range outwards to multiples of this.")
@list_output_options()
@input_options()
def align(**given: Any) -> int:
    """Grow what FILE lists outwards to whole blocks, but not past the end of the volume, and join what touches.

    A block that is zero in part only is data.

    \b
    Examples:
      blockdiff extents align --granularity 64K changed.json
    """
    return _run("align", given)


@command.command("convert", cls=Command, context_settings=CONTEXT)
@_FILE
@list_output_options()
@input_options()
def convert(**given: Any) -> int:
    """Write FILE in another format, one extent for each of its own.

    What a format cannot say is never made up: where FILE does not say whether it lists changes or what is allocated,
    how large the volume or a block is, and the format needs it, an option has to.

    \b
    Examples:
      blockdiff extents convert -o rbd changed.json
      qemu-img map --output json disk.qcow2 | blockdiff extents convert -o json -
      blockdiff extents convert -o ovirt --as changes changed.json
    """
    return _run("convert", given)


@command.command("stat", cls=Command, context_settings=CONTEXT)
@_FILES
@click.option(
    "-o",
    "--output",
    type=click.Choice(("human", "json")),
    default="human",
    show_default=True,
    help="What is written to stdout; json also makes errors JSON, on stderr.",
)
@input_options(only_read=True)
def stat(files: tuple[str, ...], output: str, capacity: int | None, block_size: int | None) -> int:
    """Count the extents and bytes of each FILE, by kind and by length.

    \b
    Examples:
      blockdiff extents stat changed.json
      blockdiff extents stat -o json changed.json allocated.json
    """
    from blockdiff.cli.extents.measuring import stat_lists

    return stat_lists(files, output, capacity=capacity, block_size=block_size)


def _run(operation: str, given: dict[str, Any], *, at_least: int = 1) -> int:
    from blockdiff.cli.extents.running import run

    if len(given["files"]) < at_least:
        raise click.UsageError(f"{operation} needs {at_least} lists at least")
    return run(operation, **given)
