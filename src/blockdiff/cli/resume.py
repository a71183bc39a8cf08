"""The options of checkpoints, for all commands that have them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.options import Name
from blockdiff.cli.streams import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.engine.checkpoint.store import Checkpoint
    from blockdiff.engine.report import VerifyReport

EVERY = 5.0
OPTIONS = (
    click.option(
        "--checkpoint",
        "checkpoint_file",
        type=Name(),
        metavar="FILE",
        help="Keep in FILE what is done, and go on from there when FILE is there: after a kill, Ctrl-C or an error.",
    ),
    click.option(
        "--checkpoint-every",
        type=click.FloatRange(0, 86400),
        default=None,
        metavar="SECONDS",
        help="With --checkpoint: how often it is saved.  [default: 5]",
    ),
    click.option("--keep-checkpoint", is_flag=True, help="With --checkpoint: FILE stays when all is done."),
)


def make_checkpoint(checkpoint_file: str | None, checkpoint_every: float | None, keep_checkpoint: bool) -> Any:
    """The checkpoint that was asked for, or None. UsageError for what goes with one only."""
    if checkpoint_file is None:
        for name, value in (
            ("--checkpoint-every", checkpoint_every is not None),
            ("--keep-checkpoint", keep_checkpoint),
        ):
            if value:
                raise click.UsageError(f"{name} goes with --checkpoint FILE")
        return None
    if not checkpoint_file or checkpoint_file == "-":
        raise click.UsageError("--checkpoint needs the name of a file")
    from blockdiff.engine.checkpoint.store import Checkpoint

    return Checkpoint(
        checkpoint_file, every=EVERY if checkpoint_every is None else checkpoint_every, keep=keep_checkpoint
    )


def take(given: dict[str, Any]) -> Checkpoint | None:
    """The same, from the values of options."""
    names = ("checkpoint_file", "checkpoint_every", "keep_checkpoint")
    found: Checkpoint | None = make_checkpoint(*(given.pop(name) for name in names))
    return found


def refuse_side(checkpoint: Checkpoint | None, *sides: str) -> None:
    """UsageError where the checkpoint would be one of the devices; a target is not even made then."""
    import os

    from blockdiff.locator import parse_locator

    if checkpoint is None:
        return
    file = os.path.realpath(checkpoint.path)
    for locator in map(parse_locator, sides):
        if locator.scheme == "file" and os.path.realpath(locator.rest) == file:
            raise click.UsageError(f"--checkpoint {checkpoint.name} is one of the devices: name another file")


def resumed(report: VerifyReport) -> list[str]:
    """What is said of the earlier runs."""
    return went_on(report.extra.get("checkpoint"))


def went_on(told: dict[str, Any] | None) -> list[str]:
    """The same, of the key ``checkpoint``."""
    if not told or told["runs"] < 2:
        return []
    text = (
        f"went on from the checkpoint {told['file']}: run {told['runs']}, {told['bytes_not_read_again']:,} bytes were "
        f"read before, since {told['parts'][0]['began']}, and not again"
    )
    return [text]


def with_checkpoint(command: Any) -> Any:
    """Gives a command the options."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@contextmanager
def finishing(checkpoint: Checkpoint | None, *, shown: bool) -> Iterator[Any]:
    """Gives what a comparison is given; the checkpoint is removed when all went well, and kept when not."""
    if checkpoint is None:
        yield None
        return
    from blockdiff.engine.checkpoint.keeping import Whole

    try:
        yield Whole(checkpoint)
        checkpoint.done = True
    except BaseException:
        if shown:
            say_saved(checkpoint)
        raise
    finally:
        checkpoint.close()


def say_saved(checkpoint: Checkpoint) -> None:
    """After an error or Ctrl-C: how to go on."""
    if checkpoint.has_more:
        say(f"blockdiff: {checkpoint.name} has what was done: run the same command again to go on")
