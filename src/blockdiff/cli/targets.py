"""Opens the two ends of a copy and the list."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from blockdiff.cli.devices import check_sharing, open_named, warn_of_other_volume
from blockdiff.engine.registry import backend, open_device
from blockdiff.engine.replicate import LAST, refuse_head
from blockdiff.engine.target import open_target
from blockdiff.errors import UnsupportedOperation
from blockdiff.locator import parse_locator

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def opened_for_copy(src: str, dst: str, list_file: str | None, **options: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Source, the checked list, and last the target, made or resized to fit."""
    check_sharing(src)
    with ExitStack() as stack:
        source = open_named(src)
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


@contextmanager
def opened_for_replication(src: str, dst: str, *, base: str, force: bool) -> Iterator[tuple[Any, Any]]:
    """A snapshot, and the image that is to have it too: made where it is missing, else as it is."""
    check_sharing()
    with ExitStack() as stack:
        for name in (src, dst):
            if not getattr(backend(parse_locator(name).scheme), "SNAPSHOTS", False):
                raise UnsupportedOperation(f"--from-snap needs images with snapshots, such as rbd:, and {name} is none")
        source = open_device(src)
        stack.callback(source.close)
        refuse_head(source)
        size = source.size if base == LAST else None  # a target that must have the base is never made
        target: Any = open_device(dst, writable=True, create_size=size, force=force)
        stack.callback(target.close)
        yield source, target
