"""Opens the two ends of a copy and the list."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from blockdiff.cli.devices import warn_of_other_volume
from blockdiff.engine.registry import open_device
from blockdiff.engine.target import open_target

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def opened_for_copy(src: str, dst: str, list_file: str | None, **options: bool) -> Iterator[tuple[Any, Any, Any]]:
    """Source, the checked list, and last the target, made or resized to fit."""
    with ExitStack() as stack:
        source = open_device(src)
        stack.callback(source.close)
        listed = None
        if list_file is not None:
            from blockdiff.engine.extentlist import read_extents

            listed = read_extents(list_file, capacity=source.size, checked=True)
            stack.callback(listed.close)
            warn_of_other_volume(listed, [source.size])
        target = open_target(dst, source, **options)
        stack.callback(target.close)
        yield source, target, listed
