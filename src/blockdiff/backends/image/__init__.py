"""Disk images of virtual machines, through a qemu-nbd of our own: qcow2, VMDK, VHDX, VDI and VHD (``vpc:``).

A URL with ``bitmap=`` is a source: it lists what a dirty bitmap of a qcow2 image says, and holds no data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockdiff.backends.image.device import ImageDevice
    from blockdiff.backends.image.overlay import OverlayDevice
    from blockdiff.backends.image.plain import PlainDevice
    from blockdiff.backends.image.source import ImageSource
    from blockdiff.locator import Locator
    from blockdiff.snapshot import SnapshotPair

SHARES = True  # open_device takes force_share


def is_source(locator: Locator) -> bool:
    """Whether the URL names a bitmap. InvalidInput for one that is malformed."""
    from blockdiff.backends.image.address import parse_address

    return bool(parse_address(locator).bitmap)


def open_device(locator: Locator, **options: Any) -> ImageDevice | PlainDevice:
    """A plain file is read by itself; else as ``device.open_device``."""
    if not options.get("writable") and not options.get("force_share"):
        from blockdiff.backends.image.address import parse_address
        from blockdiff.backends.image.plain import open_plain

        plain = open_plain(parse_address(locator))
        if plain is not None:
            return plain
    from blockdiff.backends.image import device

    return device.open_device(locator, **options)


def open_overlay(path: str, base: Locator, size: int) -> OverlayDevice:
    """As ``overlay.open_overlay``."""
    from blockdiff.backends.image import overlay

    return overlay.open_overlay(path, base, size)


def open_source(base: Locator | None, target: Locator) -> tuple[ImageSource, SnapshotPair]:
    """As ``source.open_source``."""
    from blockdiff.backends.image import source

    return source.open_source(base, target)
