"""Opens what the command line names, and closes it again."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from blockdiff.cli.streams import say
from blockdiff.engine.registry import open_device

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def opened(
    source: str | None, target: str, list_file: str | None, *, list_capacity: str = "larger"
) -> Iterator[tuple[Any, Any, Any]]:
    """The two devices (source None where there is none) and the list of extents, checked against the larger or the
    target.
    """
    with ExitStack() as stack:
        first = None
        if source is not None:
            first = open_device(source)
            stack.callback(first.close)
        second = open_device(target)
        stack.callback(second.close)
        listed = None
        if list_file is not None:
            from blockdiff.engine.extentlist import read_extents

            sizes = [second.size] if list_capacity == "target" or first is None else [first.size, second.size]
            listed = read_extents(list_file, capacity=max(sizes), checked=True)
            stack.callback(listed.close)
            warn_of_other_volume(listed, sizes)
        yield first, second, listed


def warn_of_other_volume(listed: Any, sizes: list[int]) -> None:
    """A list that says it is of a volume of another size is perhaps of another volume."""
    capacity = listed.capacity
    if capacity and capacity not in sizes:
        known = " and ".join(f"{size:,}" for size in sorted(set(sizes)))
        say(f"warning: the list is of a volume of {capacity:,} bytes, not of {known}: is it the right list?")
