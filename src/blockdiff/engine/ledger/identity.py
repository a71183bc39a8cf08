"""What a ledger knows its two devices by: something that another volume does not have, and a restart does not change.

Numbers that the kernel gives to file systems and disks change with the next start, and may then be another's.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any

from blockdiff.engine.catalog import identity_of

if TYPE_CHECKING:
    from blockdiff.engine.device import Device

_AT_EMPTY_PATH, _STATX_BTIME = 0x1000, 0x800
_SYSFS = "/sys/dev/block"
_NAMES = ("dm/uuid", "wwid", "device/wwid", "uuid", "serial", "device/serial")


def volume_identity(device: Device) -> str:
    """One line; empty where there is nothing. Of a file: its inode and when it was made; of a disk: what it calls
    itself; else the identity of the device.
    """
    identity: Any = getattr(device, "identity", None)
    if isinstance(identity, tuple) and "file" in identity[:2] and (fd := _descriptor(device)) is not None:
        at = identity.index("file")
        made = birth(fd)
        place = (identity[at + 2], made) if made else identity[at + 1 : at + 3]
        return "/".join(map(str, (*identity[: at + 1], *place, *identity[at + 3 :])))
    if isinstance(identity, tuple) and identity[:1] == ("block",) and (name := disk_name(identity[1])):
        return f"block/{name}"
    return identity_of(device)


def is_lasting(identity: str) -> bool:
    """Whether it is still that of the same volume after a restart."""
    kind, _, rest = identity.partition("/")
    return not (kind == "block" and rest.split("/")[0].isdecimal())


def _descriptor(device: Device) -> int | None:
    try:
        return device.fileno()
    except (OSError, AttributeError):
        return None


def birth(fd: int) -> str:
    """When a file was made, in nanoseconds, where its file system tells; struct statx of linux/stat.h."""
    import ctypes

    try:
        statx = ctypes.CDLL(None, use_errno=True).statx
    except (OSError, AttributeError):
        return ""
    buffer = ctypes.create_string_buffer(256)
    if statx(fd, b"", _AT_EMPTY_PATH, _STATX_BTIME, buffer) != 0:
        return ""
    mask = struct.unpack_from("=I", buffer.raw, 0)[0]
    seconds, nanoseconds = struct.unpack_from("=qI", buffer.raw, 0x50)
    return f"{seconds}.{nanoseconds:09}" if mask & _STATX_BTIME else ""


def disk_name(number: int) -> str:
    """What a disk or a part of it is called by itself; empty where nothing tells."""
    place = f"{_SYSFS}/{os.major(number)}:{os.minor(number)}"
    part = _line(f"{place}/partition")
    for name in _NAMES:
        found = _line(f"{place}/{'../' if part else ''}{name}")
        if found:
            return f"{name}/{found}" + (f"/part{part}" if part else "")
    return _loop(f"{place}/{'../' if part else ''}loop/backing_file", part)


def _loop(path: str, part: str) -> str:
    """A loop device is the file under it."""
    backing = _line(path)
    try:
        return f"loop/{os.stat(backing).st_ino}/{backing}" + (f"/part{part}" if part else "") if backing else ""
    except OSError:
        return ""


def _line(path: str) -> str:
    """The text of a file of the kernel; empty where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return " ".join(file.read(4096).split())
    except OSError:
        return ""
