"""Opens what the command line names, and closes it again."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.options import is_sharing
from blockdiff.cli.streams import say
from blockdiff.engine.manifest import is_manifest
from blockdiff.engine.registry import backend, locate, open_device
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def opened(
    source: str | list[str] | None,
    target: str,
    list_file: str | None,
    *,
    list_capacity: str = "larger",
    manifests: bool = False,
) -> Iterator[tuple[Any, Any, Any]]:
    """The two devices (source None where there is none, several names: diffs laid over the first) and the list of
    extents, checked against the larger or the target. ``manifests``: these may be named in place of devices.
    """
    check_sharing(*([source] if isinstance(source, str) else source or []), target)
    with ExitStack() as stack:
        first = None
        if source is not None:
            first = open_side(source) if manifests and isinstance(source, str) else open_source(source)
            stack.callback(first.close)
        second = open_side(target) if manifests else open_named(target)
        stack.callback(second.close)
        listed = None
        if list_file is not None:
            from blockdiff.engine.extentlist import read_extents

            sizes = [second.size] if list_capacity == "target" or first is None else [first.size, second.size]
            listed = read_extents(list_file, capacity=max(sizes), checked=True)
            stack.callback(listed.close)
            warn_of_other_volume(listed, sizes)
        yield first, second, listed


def open_side(name: str) -> Any:
    """A device, or a manifest in its place."""
    if not is_manifest(name):
        return open_named(name)
    from blockdiff.engine.manifest import open_manifest

    return open_manifest(name)


def open_named(name: str) -> Any:
    """A device; with --force-share also an image that a virtual machine writes to. InvalidInput for a manifest."""
    if is_manifest(name):
        raise InvalidInput(
            f"{name} is a manifest, which holds digests and no data: blockdiff verify and diff compare it with an "
            f"image (file:{name} means the file itself)"
        )
    return open_device(name, **({"force_share": True} if is_sharing() and _shares(name) else {}))


def check_sharing(*names: str) -> None:
    """UsageError where --force-share was given and there is nothing that it could be about."""
    if is_sharing() and not any(_shares(name) for name in names):
        raise click.UsageError("--force-share is about images of virtual machines, and none is named.")


def _shares(name: str) -> bool:
    return name != "-" and getattr(backend(locate(name).scheme), "SHARES", False)


def split(names: tuple[str, ...]) -> tuple[str | list[str], str]:
    """What to compare and with what, of names on the command line: more than two, or a stream, make a chain."""
    if len(names) < 2:
        raise click.UsageError(f"Missing argument '{'DST' if names else 'SRC'}'.")
    *sources, target = names
    if may_be_stream(target):
        raise click.UsageError(f"{target} is an export-diff: it comes first (file:{target} compares its own bytes)")
    if len(sources) > 1 or sources[0] == "-" or may_be_stream(sources[0]):
        return sources, target
    return sources[0], target


def open_source(source: str | list[str]) -> Any:
    """A device, or a chain of diffs over one."""
    if isinstance(source, str):
        return open_named(source)
    from blockdiff.exportdiff.opening import open_chain

    return open_chain([*source], open_named)


def may_be_stream(name: str) -> bool:
    """A look at the first bytes, without importing anything."""
    try:
        if not os.path.isfile(name):
            return False
        with open(name, "rb", buffering=0) as file:
            return file.read(11).startswith((b"rbd diff v", b"rbd image v"))
    except OSError:
        return False


def warn_of_other_volume(listed: Any, sizes: list[int]) -> None:
    """A list that says it is of a volume of another size is perhaps of another volume; and what its source told."""
    for text in listed.warnings:
        say(f"warning: {text}")
    capacity = listed.capacity
    if capacity and capacity not in sizes:
        known = " and ".join(f"{size:,}" for size in sorted(set(sizes)))
        say(f"warning: the list is of a volume of {capacity:,} bytes, not of {known}: is it the right list?")
