"""Refuses images of VMDK, VHDX, VDI and VHD that are not whole in one file: without its parent such a one reads as
something else, and its parent would be found by a name in it.

Sources: the header layouts of these formats as their makers publish them (VMware Virtual Disk Format 5.0, VHD 1.0).
"""

from __future__ import annotations

import re
import struct
import sys
from array import array
from typing import TYPE_CHECKING

from blockdiff.errors import InvalidInput, UnsupportedOperation

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[int, int], bytes]

_SECTOR = 512
_MAX_DESCRIPTOR = 1 << 20
_WHOLE_VMDK = ("monolithicSparse", "streamOptimized")
_NO_PARENT = "ffffffff"
_AT_THE_END = (1 << 64) - 1
_MAX_GRAIN, _MAX_ENTRIES, _MAX_SECTORS = 1 << 16, 512, 1 << 41  # QEMU's limits, and 1 PiB
_VDI_WHOLE = (1, 2)  # dynamic, fixed
_VHD_DIFFERENCING = 4


def refuse_other_files(image_format: str, read: Read, file_size: int, url: str) -> None:
    """UnsupportedOperation where the disk is in more files than this one; InvalidInput where it is of another format.

    One that was cut off is InvalidInput too: QEMU reads what is missing as zeroes. It refuses by itself a VHDX that has
    a parent, and VHDX and VHD that were cut off.
    """
    check = {"vmdk": _vmdk, "vdi": _vdi, "vpc": _vpc, "vhdx": _vhdx}[image_format]
    check(read, file_size, url)


def _vmdk(read: Read, file_size: int, url: str) -> None:
    head = read(0, _SECTOR)
    if head[:4] == b"COWD" or head.startswith(b"# Disk DescriptorFile"):
        raise UnsupportedOperation(
            f"{url} describes a VMDK of several files; known are those of one (monolithicSparse, streamOptimized): "
            "convert it with qemu-img convert, or name its flat file"
        )
    if head[:4] != b"KDMV" or len(head) < _SECTOR:
        raise InvalidInput(f"{url} is no VMDK image: its first bytes are others")
    offset, sectors = struct.unpack_from("<QQ", head, 28)
    text = read(offset * _SECTOR, min(sectors * _SECTOR, _MAX_DESCRIPTOR)) if offset < file_size else b""
    kind, parent = _value(text, b"createType"), _value(text, b"parentCID")
    if kind not in _WHOLE_VMDK:
        raise UnsupportedOperation(
            f"{url} is a VMDK of the type {kind or 'unknown'}; known are {', '.join(_WHOLE_VMDK)}"
        )
    if parent.lower() != _NO_PARENT or b"parentFileNameHint" in text:
        raise UnsupportedOperation(f"{url} holds the changes against a parent only: convert both with qemu-img convert")
    _refuse_cut_off_vmdk(head, read, file_size, url)


def _refuse_cut_off_vmdk(head: bytes, read: Read, file_size: int, url: str) -> None:
    """The tables name where each grain begins. Of a stream they are behind the data: QEMU misses them by itself."""
    capacity, grain, _, _, entries, _, directory = struct.unpack_from("<QQQQIQQ", head, 12)
    if directory == _AT_THE_END:
        return
    if not 0 < grain <= _MAX_GRAIN or not 0 < entries <= _MAX_ENTRIES or capacity > _MAX_SECTORS:
        raise InvalidInput(f"{url} is broken: its header makes no sense")
    count = -(-capacity // (grain * entries))
    tables = _numbers(read(directory * _SECTOR, count * 4))
    last = max(tables, default=0)
    for table in sorted(set(tables) - {0, 1}):
        last = max(last, *_numbers(read(table * _SECTOR, entries * 4)), 0)
    if len(tables) < count or (last > 1 and last * _SECTOR >= file_size):
        raise _cut_off(url, file_size)


def _numbers(data: bytes) -> array[int]:
    found = array("I", data[: len(data) // 4 * 4])
    if sys.byteorder == "big":
        found.byteswap()
    return found


def _cut_off(url: str, file_size: int) -> InvalidInput:
    return InvalidInput(f"{url} is cut off: it has {file_size} bytes, and some of its data lies behind them")


def _value(descriptor: bytes, key: bytes) -> str:
    found = re.search(rb"(?m)^\s*" + key + rb"\s*=\s*\"?([^\"\r\n]*)", descriptor)
    return found.group(1).decode("ascii", "replace").strip() if found else ""


def _vdi(read: Read, file_size: int, url: str) -> None:
    head = read(0, _SECTOR)
    if head[64:68] != b"\x7f\x10\xda\xbe":
        raise InvalidInput(f"{url} is no VDI image: its first bytes are others")
    (kind,) = struct.unpack_from("<I", head, 76)
    if kind not in _VDI_WHOLE:
        raise UnsupportedOperation(f"{url} holds the changes against a parent only (VDI type {kind})")
    data, block, allocated = (struct.unpack_from("<I", head, at)[0] for at in (344, 376, 388))
    if data + block * allocated > file_size:
        raise _cut_off(url, file_size)


def _vpc(read: Read, file_size: int, url: str) -> None:
    footer = read(0, _SECTOR)
    if footer[:8] != b"conectix":
        footer = read(max(0, file_size - _SECTOR), _SECTOR)
    if footer[:8] != b"conectix" or len(footer) < 64:
        raise InvalidInput(f"{url} is no VHD image: neither its first nor its last bytes are of one")
    (kind,) = struct.unpack_from(">I", footer, 60)
    if kind == _VHD_DIFFERENCING:
        raise UnsupportedOperation(f"{url} holds the changes against a parent only: convert both with qemu-img convert")


def _vhdx(read: Read, _: int, url: str) -> None:
    if read(0, 8) != b"vhdxfile":
        raise InvalidInput(f"{url} is no VHDX image: its first bytes are others")
