"""Opens the target of a copy, so that nothing is written before everything is known to be right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.engine.registry import open_device
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    import os

    from blockdiff.engine.device import Device
    from blockdiff.locator import Locator


def open_target(
    name: str | os.PathLike[str] | Locator,
    source: Device,
    *,
    resize: bool = False,
    force: bool = False,
    discard: bool = False,
) -> Any:
    """A writable device of the source's size: a file is made or extended, and cut only with ``resize``.

    Refused (DeviceBusy) when it is in use or shares storage with the source; ``force`` overrides the former.
    """
    target: Any = open_device(name, writable=True, create_size=source.size, force=force)
    try:
        target.discards = discard
        refuse_same = getattr(target, "refuse_if_same", None)
        if refuse_same is not None:
            refuse_same(source)
        _fit(source, target, resize=resize)
    except BaseException:
        target.close()
        raise
    return target


def _fit(source: Device, target: Any, *, resize: bool) -> None:
    """Makes a file as long as the source; nothing is cut off unless asked for."""
    if target.size == source.size or getattr(target, "is_block", True):
        return
    if target.size > source.size and not resize:
        raise InvalidInput(
            f"{target.url} has {target.size} bytes and {source.url} has {source.size}: "
            "the rest would be cut off; use --resize to allow that"
        )
    target.resize(source.size)
