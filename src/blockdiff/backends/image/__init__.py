"""Disk images of virtual machines, through a qemu-nbd of our own: qcow2, VMDK, VHDX, VDI and VHD (``vpc:``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockdiff.backends.image.device import ImageDevice
    from blockdiff.locator import Locator


def open_device(locator: Locator, **options: Any) -> ImageDevice:
    """As ``device.open_device``."""
    from blockdiff.backends.image import device

    return device.open_device(locator, **options)
