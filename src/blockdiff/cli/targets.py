"""Opens the two ends of a copy, so that nothing is written before everything is known to be right."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from blockdiff.engine.registry import open_device
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def opened_for_copy(
    src: str, dst: str, list_file: str | None, *, resize: bool, force: bool, discard: bool
) -> Iterator[tuple[Any, Any, Any]]:
    """Source, target (made or resized to fit) and the checked list."""
    with ExitStack() as stack:
        source = open_device(src)
        stack.callback(source.close)
        listed = None
        if list_file is not None:
            from blockdiff.engine.extentlist import open_list

            listed = open_list(list_file, capacity=source.size)
            stack.callback(listed.close)
        target: Any = open_device(dst, writable=True, create_size=source.size, force=force)
        stack.callback(target.close)
        target.discards = discard
        refuse_same = getattr(target, "refuse_if_same", None)
        if refuse_same is not None:
            refuse_same(source)
        _fit(source, target, resize=resize)
        yield source, target, listed


def _fit(source: Any, target: Any, *, resize: bool) -> None:
    """Makes a file as long as the source; nothing is cut off unless asked for."""
    if target.size == source.size or getattr(target, "is_block", True):
        return
    if target.size > source.size and not resize:
        raise InvalidInput(
            f"{target.url} has {target.size} bytes and {source.url} has {source.size}: "
            "the rest would be cut off; use --resize to allow that"
        )
    target.resize(source.size)
