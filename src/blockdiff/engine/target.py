"""Opens the target of a copy, so that nothing is written before everything is known to be right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.engine.registry import backend, locate, open_device
from blockdiff.errors import InvalidInput
from blockdiff.locator import parse_locator

if TYPE_CHECKING:
    import os

    from blockdiff.engine.device import Device
    from blockdiff.locator import Locator


_OVERLAY = "qcow2"  # whose backend makes overlays


def open_target(
    name: str | os.PathLike[str] | Locator,
    source: Device,
    *,
    resize: bool = False,
    force: bool = False,
    discard: bool = False,
    base: str | None = None,
) -> Any:
    """A writable device of the source's size: a file is made or extended, and cut only with ``resize``.

    Refused (DeviceBusy) when it is in use or shares storage with the source; ``force`` overrides the former. With
    ``base`` it is a new overlay over that image, which ``commit`` names when all is written.
    """
    if base is not None:
        return _overlay(name, base, source.size)
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


def commit(target: Any) -> None:
    """Called when all is written: an overlay gets its name. DeviceError."""
    finish = getattr(target, "commit", None)
    if finish is not None:
        finish()


def _overlay(name: str | os.PathLike[str] | Locator, base: str, size: int) -> Any:
    locator = parse_locator(name)
    if locator.scheme not in ("file", _OVERLAY):
        raise InvalidInput(f"{locator.text} is no file: an overlay is a new qcow2 file")
    path = locator.rest
    return backend(_OVERLAY).open_overlay(path, locate(base), size)


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
