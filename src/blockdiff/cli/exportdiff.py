"""What ``-o export-diff`` asks of diff and map."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from blockdiff.cli.options import Decorator

EXPORT_DIFF = "export-diff"


def to_name_option() -> Decorator:
    """--to-name."""
    return click.option(
        "--to-name",
        metavar="NAME",
        default=None,
        help="With -o export-diff: the snapshot that rbd import-diff makes.  [default: the one that is read]",
    )


def check(output: str, offset: int, length: int | None, **names: str | None) -> None:
    """Usage that can be told before anything is opened."""
    if output != EXPORT_DIFF:
        for option, value in names.items():
            if value is not None:
                raise click.UsageError(f"--{option.replace('_', '-')} goes with -o export-diff")
    elif names.get("from_name") == "":  # a variable that was not set: the changes would pass for a whole image
        raise click.UsageError("--from-name is empty: name the snapshot that BASE is")
    elif offset or length is not None:
        raise click.UsageError("an export-diff is of the whole image: leave out --offset and --length")


def make_emitter(target: Any, *, to_name: str | None, from_name: str | None = None) -> Any:
    """The emitter on stdout."""
    from blockdiff.exportdiff.emitter import ExportDiffEmitter

    return ExportDiffEmitter(sys.stdout.buffer, target, from_name=from_name, to_name=to_name)


def name_of_base(base: Any, from_name: str | None) -> str:
    """The snapshot that changes begin from. Without it they would be taken for a whole image."""
    if from_name is not None:
        return from_name
    name: str = getattr(base, "snapshot", "")
    if not name:
        raise InvalidInput(
            f"{base.url} does not say which snapshot it is: name it with --from-name, "
            "or the changes could be taken for a whole image"
        )
    return name
