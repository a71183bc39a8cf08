"""Opens an image and the diffs over it as one device."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from blockdiff.errors import InvalidInput
from blockdiff.exportdiff.chain import STDIN, Chain
from blockdiff.exportdiff.form import begins_like_stream
from blockdiff.exportdiff.overlay import OverlayDevice, lay_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdiff.engine.device import Device

    Name = str | os.PathLike[str]


def is_stream(name: Name) -> bool:
    """Whether a name means a stream: ``-``, or a file that begins like one. ``file:NAME`` always means an image."""
    return name == STDIN or begins_like_stream(name)


def open_chain(names: list[Name], open_device: Callable[[Any], Device]) -> OverlayDevice:
    """The image that the first name means, whole stream or device, with the diffs that follow laid over it.

    All diffs are read through before this returns, so that a broken one is refused before anything is compared.
    """
    first, *rest = (os.fspath(name) for name in names)
    if is_stream(first):
        return _laid_over(None, [first, *rest])
    if not rest:
        raise InvalidInput(f"{first} is no export-diff, and there are no diffs to lay over it")
    return _laid_over(open_device(first), rest)


def _laid_over(base: Device | None, names: list[str]) -> OverlayDevice:
    chain = None
    try:
        chain = Chain(names)
        _same_snapshot(base, chain)
        return lay_over(base, chain)
    except BaseException:
        if chain is not None:
            chain.close()
        if base is not None:
            base.close()
        raise


def _same_snapshot(base: Device | None, chain: Chain) -> None:
    """Where the image knows which snapshot it is, it must be the one that the chain begins with."""
    snapshot, base_url = getattr(base, "snapshot", ""), getattr(base, "url", "")
    if snapshot and chain.from_name not in (None, snapshot):
        raise InvalidInput(
            f"{chain.files[0].name} begins with snapshot {chain.from_name!r}, but the image before it is {base_url}"
        )


def open_apply_target(name: Name, size: int | None, open_device: Callable[..., Any], *, force: bool) -> Any:
    """The device to apply to, writable; ``size`` (None: it must exist) is what it is made with."""
    if not force and begins_like_stream(name):
        raise InvalidInput(
            f"{os.fspath(name)} is an export-diff itself: the image to change comes last (--force writes over it)"
        )
    return open_device(name, writable=True, create_size=size, force=force)
