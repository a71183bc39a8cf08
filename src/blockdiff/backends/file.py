"""Image files and block devices: bare paths and ``file:``."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from blockdiff.backends.filedevice import FileDevice
from blockdiff.backends.opening import (
    check_path,
    create,
    is_read_only,
    open_checked,
    printable,
    refuse_device_directory,
)
from blockdiff.errors import DeviceError, InvalidInput

if TYPE_CHECKING:
    from blockdiff.locator import Locator

__all__ = ["FileDevice", "open_device"]


def open_device(
    target: str | bytes | os.PathLike[str] | Locator,
    *,
    writable: bool = False,
    create_size: int | None = None,
    force: bool = False,
) -> FileDevice:
    """Opens a file or block device, for reading only unless ``writable``.

    A missing target is made with ``create_size`` bytes when that is given. A writable target that is in use is refused
    with DeviceBusy unless ``force``; a block device is then held exclusively.
    """
    path = _path_of(target)
    url = printable(path)
    created = writable and create_size is not None and not os.path.lexists(path)
    if created and create_size is not None:
        refuse_device_directory(path, url)
        create(path, create_size, url)
    fd = _open_target(path, url, force=force) if writable else open_checked(path, os.O_RDONLY, url)
    device = FileDevice(fd, path, writable=writable, created=created)
    if device.size == 0 and not device.is_block and _has_bytes(fd):
        device.close()
        raise InvalidInput(f"{url} does not tell its size: such a file of the kernel is no image")
    if writable and device.is_block and is_read_only(fd):
        device.close()
        raise DeviceError("the device is read-only", url=url, action="write", errno=errno.EROFS)
    return device


def _has_bytes(fd: int) -> bool:
    """Files in /proc say that they are empty, and two of them would be called identical unread."""
    try:
        return bool(os.pread(fd, 1, 0))
    except OSError:
        return False


def _open_target(path: str, url: str, *, force: bool) -> int:
    if force:
        return open_checked(path, os.O_RDWR, url)
    from blockdiff.backends.inuse import busy, refuse_if_in_use

    status = check_path(path, url)
    refuse_if_in_use(path, url)
    # On a block device O_EXCL keeps file systems and RAID away as long as it is open; elsewhere it means nothing.
    exclusive = os.O_EXCL if stat.S_ISBLK(status.st_mode) else 0
    try:
        return open_checked(path, os.O_RDWR | exclusive, url)
    except DeviceError as error:
        if not exclusive or error.errno != errno.EBUSY:
            raise
        raise busy(url, ["somebody holds it exclusively, such as a mount elsewhere, RAID or swap"]) from error


def _path_of(target: str | bytes | os.PathLike[str] | Locator) -> str:
    if isinstance(target, (str, bytes, os.PathLike)):
        return os.fsdecode(target)
    return os.fsdecode(target.rest)
