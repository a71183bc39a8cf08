"""Runs an operation on lists and writes what comes out."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.streams import say
from blockdiff.engine.algebra import Algebra
from blockdiff.engine.extentlist import read_extents
from blockdiff.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from blockdiff.engine.extentlist import ExtentList


@contextmanager
def opened_lists(files: Sequence[str], *, capacity: int | None, block_size: int | None) -> Iterator[list[ExtentList]]:
    """The lists, each read as far as its first extents."""
    if files.count("-") > 1:
        raise click.UsageError("stdin (-) can be read as one list only.")
    with ExitStack() as stack:
        lists = []
        for name in files:
            listed = read_extents(name, capacity=capacity, holes=True, block_size=block_size)
            stack.callback(listed.close)
            for text in listed.warnings:
                say(f"warning: {text}")
            lists.append(listed)
        yield lists


def run(
    operation: str,
    *,
    files: tuple[str, ...],
    output: str,
    out: str,
    kinds: bool,
    quiet: bool,
    capacity: int | None,
    block_size: int | None,
    context: str | None,
    partial: bool,
    granularity: int = 0,
) -> int:
    """The exit code; what was left out is told on stderr."""
    from blockdiff.cli.extents.writing import Writing

    if kinds and output not in ("json", "jsonl"):
        raise click.UsageError("--kinds goes with -o json and -o jsonl: the other formats have words of their own")
    with opened_lists(files, capacity=capacity, block_size=block_size) as lists:
        algebra = Algebra(
            operation, lists, context=context, capacity=capacity, granularity=granularity, partial=partial
        )
        writing = Writing(algebra, output, kinds=kinds, block_size=block_size)
        writing.write(out)
    if not quiet:
        say(_told(writing, algebra))
    return 0


def _told(writing: Any, algebra: Algebra) -> str:
    """What was written, and what of the lists was not."""
    noun = "extent" if writing.extents == 1 else "extents"
    parts = [f"{writing.extents:,} {noun}, {format_size(writing.bytes)}"]
    for word, what in (("hole", "holes"), ("unchanged", "what did not change")):
        if (count := algebra.left_out.get(word)) and not writing.tells_all:
            parts.append(f"left out: {what}, {format_size(count)}")
    return "; ".join(parts)
