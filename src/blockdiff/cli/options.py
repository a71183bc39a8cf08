"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from blockdiff.engine.options import READ_MODES, ReadOptions
from blockdiff.errors import BlockdiffError
from blockdiff.units import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Size(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """Bytes, with K, M, G, T."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return parse_size(value, param.opts[0] if param else "size")
        except BlockdiffError as error:
            self.fail(str(error), param, ctx)


class Name(click.ParamType):  # type: ignore[type-arg]  # as above
    """A file or device; shells complete the names of files."""

    name = "file"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


_SHARING = "blockdiff.force_share"
REPORT_FORMATS = ("human", "json", "jsonl", "table")
LIST_FORMATS = ("human", "json", "jsonl", "table", "rbd", "qemu", "nbd", "export-diff")


def output_options(formats: tuple[str, ...], *, default: str = "human", names: tuple[str, ...] = ()) -> Decorator:
    """-o (with further names), -q, -v, --progress."""
    return _stack(
        click.option(
            "-o",
            "--output",
            *names,
            "output",
            type=click.Choice(formats),
            default=default,
            show_default=True,
            help="What is written to stdout; json and jsonl also make errors JSON, on stderr.",
        ),
        click.option("-q", "--quiet", is_flag=True, help="Nothing for people: the exit code says it."),
        click.option("-v", "--verbose", is_flag=True, help="Say more about how each side was read."),
        click.option(
            "--progress",
            "progress_mode",
            type=click.Choice(("auto", "bar", "json", "none")),
            default="auto",
            show_default=True,
            help="Progress on stderr: auto is a bar on a terminal, json a line a second.",
        ),
    )


def read_options(
    *, keep_going: bool = False, window: bool = True, sharing: bool = True, granularity: bool = True
) -> Decorator:
    """--read, --workers, --rate, and where they fit --granularity, --offset, --length, --keep-going."""
    unit = click.option(
        "--granularity",
        type=Size(),
        default="4K",
        show_default=True,
        help="Unit of reporting: a power of two from 512 to 1M.",
    )
    options = [
        *([unit] if granularity else []),
        click.option(
            "--read",
            "read_mode",
            type=click.Choice(READ_MODES),
            default="auto",
            show_default=True,
            help="How to read: auto chooses for each 8 MiB; the others are demands.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(0, 64),
            default=0,
            metavar="N",
            help="Threads that read, at most 64.  [default: one a processor, at most 4]",
        ),
        click.option(
            "--rate", type=Size(), default=0, help="Read at most so many bytes a second of each device, such as 200M."
        ),
    ]
    if sharing:
        options.append(
            click.option(
                "--force-share",
                is_flag=True,
                expose_value=False,
                callback=_note_sharing,
                help="Read an image also while a virtual machine writes to it: the result is of no one moment.",
            )
        )
    if window:
        options += [
            click.option("--offset", type=Size(), default=0, help="Begin at this byte, such as 1G."),
            click.option("--length", type=Size(), default=None, help="Look at so many bytes only."),
        ]
    if keep_going:
        options.append(
            click.option(
                "--keep-going",
                is_flag=True,
                help="Go on after a read error; what is unreadable is listed, and the exit code is 3.",
            )
        )
    return _stack(*options)


def _note_sharing(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.meta[_SHARING] = value


def is_sharing() -> bool:
    """Whether the command was given --force-share."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_SHARING))


def gather(read_mode: str, granularity: int, workers: int, rate: int, keep_going: bool = False) -> ReadOptions:
    """The reading options as the engine takes them."""
    return ReadOptions(granularity=granularity, read=read_mode, workers=workers, rate=rate, keep_going=keep_going)


def _stack(*decorators: Any) -> Decorator:
    return lambda function: functools.reduce(lambda f, decorate: decorate(f), reversed(decorators), function)
