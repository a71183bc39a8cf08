"""The options of the commands of ``blockdiff extents``."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.options import Name, Size

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

FORMATS = ("human", "json", "jsonl", "table", "rbd", "qemu", "nbd", "ovirt", "thin-delta")


def input_options(*, only_read: bool = False) -> Decorator:
    """--capacity and --block-size, and where something is made of the lists --as and --partial."""
    options = [
        click.option(
            "--capacity", type=Size(), default=None, help="How large the volume is.  [default: as the lists say]"
        ),
        click.option(
            "--block-size", type=Size(), default=None, help="Of the blocks of thin_delta, where a list does not say it."
        ),
    ]
    if not only_read:
        options += [
            click.option(
                "--as",
                "context",
                type=click.Choice(("changes", "allocation")),
                default=None,
                help="What the result lists: what changed, or what is allocated.  [default: as the lists say]",
            ),
            click.option(
                "--partial",
                is_flag=True,
                help="A map of qemu-img, nbdinfo or ovirt-imageio that leaves bytes out is a list of what it names.",
            ),
        ]
    return _stack(*options)


def list_output_options() -> Decorator:
    """-o, --out, --kinds, -q."""
    return _stack(
        click.option(
            "-o",
            "--output",
            type=click.Choice(FORMATS),
            default="human",
            show_default=True,
            help="The format that is written; json and jsonl also make errors JSON, on stderr.",
        ),
        click.option(
            "--out",
            type=Name(),
            default="-",
            metavar="OUT",
            help="The file to write: it is there only when it is whole.  [default: stdout]",
        ),
        click.option("--kinds", is_flag=True, help="json and jsonl say data, zero or hole of each range too."),
        click.option("-q", "--quiet", is_flag=True, help="Nothing for people on stderr."),
    )


def _stack(*decorators: Any) -> Decorator:
    return lambda function: functools.reduce(lambda f, decorate: decorate(f), reversed(decorators), function)
