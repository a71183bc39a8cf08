"""Why a target must not be written: somebody else uses it, or it is the source itself."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from typing import TYPE_CHECKING, NamedTuple

from blockdiff.backends import sysfs
from blockdiff.backends.opening import printable
from blockdiff.errors import DeviceBusy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdiff.backends.filedevice import FileDevice

_LOOP_GET_STATUS64 = 0x4C05  # the same number on every architecture
_LOOP_INFO = struct.Struct("=5Q")  # the head of struct loop_info64: device, inode, rdevice, offset, sizelimit
_LOOP_INFO_SIZE = 232
_FLOCK = struct.Struct("hhqqi4x")
_MAX_PLACES = 64
_EVERYTHING = 1 << 63
_SECTOR = 512  # the unit of /sys, whatever the device's sectors are


class Place(NamedTuple):
    """A range of a file or device, where another device's bytes really are, or (not ``certain``) somewhere in it."""

    key: tuple[str, int, int]
    start: int
    end: int
    certain: bool = True

    def overlaps(self, other: Place) -> bool:
        """True when the two have bytes in common, or may have.

        Two devices that are both somewhere on a third, such as two logical volumes of a disk, have not: that is what
        device-mapper is for.
        """
        known = self.certain or other.certain
        return known and self.key == other.key and self.start < other.end and other.start < self.end


class Loop(NamedTuple):
    """What a loop device is made of."""

    backing: tuple[str, int, int]
    offset: int
    limit: int


def identity(status: os.stat_result) -> tuple[str, int, int]:
    """Equal for two names of one file or block device."""
    if stat.S_ISBLK(status.st_mode):
        return ("block", status.st_rdev, 0)
    return ("file", status.st_dev, status.st_ino)


def reasons(path: str) -> list[str]:
    """Who uses the file or block device, one sentence each; empty when nobody is seen."""
    status = os.stat(path)
    found = _block_reasons(status.st_rdev) if stat.S_ISBLK(status.st_mode) else _locks(path)
    found += [f"it is swap space ({printable(swap)})" for swap in sysfs.swaps() if _uses(swap, status)]
    key = identity(status)
    for loop in sysfs.loops():
        info = loop_info(loop)
        if info and info.backing == key and not _keeps_volume(loop):
            found.append(f"{loop} is made of it")
    return found


def refuse_if_in_use(path: str, url: str) -> None:
    """Raises DeviceBusy with all the reasons."""
    found = reasons(path)
    if found:
        raise busy(url, found)


def busy(url: str, found: Sequence[str]) -> DeviceBusy:
    """The refusal, in words."""
    return DeviceBusy(f"{_refusing(url, found)} (--force overrides)", reasons=tuple(found))


def busy_for_ever(url: str, reason: str) -> DeviceBusy:
    """The refusal that nothing overrides."""
    return DeviceBusy(_refusing(url, [reason]), reasons=(reason,))


def _refusing(url: str, found: Sequence[str]) -> str:
    return f"refusing to write to {url}: {'; '.join(found)}"


def same_device(a: FileDevice, b: FileDevice) -> str:
    """How the two devices have storage in common, in words; empty when they do not, as far as the kernel tells.

    Sees links of any kind, loop devices on one of the two (or on one and the same file), partitions and their disk.
    """
    if a.identity == b.identity:
        return "it is the source itself" if a.path == b.path else f"{b.url} and {a.url} are two names of one device"
    places_a, places_b = places(a), places(b)
    if any(p.overlaps(q) for p in places_a for q in places_b):
        return f"{b.url} has storage in common with {a.url}"
    return ""


def refuse_if_same(source: FileDevice, target: FileDevice) -> None:
    """Raises DeviceBusy when writing the target would change the source. Nothing overrides that."""
    reason = same_device(source, target)
    if reason:
        raise busy_for_ever(target.url, reason)


def places(device: FileDevice) -> list[Place]:
    """Where the device's bytes are: itself, and below it the disk of a partition, the backing of a loop device, ..."""
    found = [Place(device.identity, 0, device.size)]
    for place in found:  # grows as it goes
        if place.key[0] == "block" and len(found) < _MAX_PLACES:
            found += _below(place)
    return found


def loop_info(loop: str) -> Loop | None:
    """What a loop device is made of; None when it is no loop device or is free."""
    try:
        fd = os.open(loop, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return _loop_info_of_anybody(loop)
    try:
        raw = fcntl.ioctl(fd, _LOOP_GET_STATUS64, bytes(_LOOP_INFO_SIZE))
    except OSError:
        return None
    finally:
        os.close(fd)
    device, inode, rdevice, offset, limit = _LOOP_INFO.unpack_from(raw)
    key = ("block", rdevice, 0) if rdevice else ("file", device, inode)
    return Loop(key, offset, limit)


def _loop_info_of_anybody(loop: str) -> Loop | None:
    """The same by name, for users who may not open the loop device."""
    directory = f"{sysfs.SYS}/block/{os.path.basename(loop)}/loop"
    try:
        key = identity(os.stat(sysfs.read_text(f"{directory}/backing_file")))
    except OSError:
        return None
    return Loop(key, sysfs.read_number(f"{directory}/offset"), sysfs.read_number(f"{directory}/sizelimit"))


def _below(place: Place) -> list[Place]:
    rdev = place.key[1]
    directory = sysfs.node(rdev)
    if os.path.exists(f"{directory}/partition"):
        disk = sysfs.device_number(sysfs.read_text(f"{os.path.dirname(directory)}/dev"))
        start = sysfs.read_number(f"{directory}/start") * _SECTOR
        return (
            []
            if disk is None
            else [place._replace(key=("block", disk, 0), start=place.start + start, end=place.end + start)]
        )
    info = loop_info(sysfs.name(rdev)) if os.path.exists(f"{directory}/loop") else None
    if info is not None:
        return [place._replace(key=info.backing, start=place.start + info.offset, end=place.end + info.offset)]
    # Nobody says where md and device-mapper put the bytes, so it may be anywhere on the devices below.
    return [Place(("block", slave, 0), 0, _EVERYTHING, certain=False) for slave in sysfs.slaves(rdev)]


def _keeps_volume(loop: str) -> bool:
    """True for the loop device that Kubernetes makes of each block volume of a pod so that the volume stays there: as
    long as nobody uses it, it is not in the way.
    """
    directory = f"{sysfs.SYS}/block/{os.path.basename(loop)}"
    if "/volumeDevices/" not in sysfs.read_text(f"{directory}/loop/backing_file"):
        return False
    number = sysfs.device_number(sysfs.read_text(f"{directory}/dev"))
    return number is not None and not _block_reasons(number)


def _block_reasons(rdev: int) -> list[str]:
    found = []
    mounts = sysfs.mounts()
    for number in sysfs.relatives(rdev):
        who = "it" if number == rdev else sysfs.name(number)
        points = dict.fromkeys(m.point for m in mounts if m.device == number or _mounted_from(m, number))
        found += [f"{who} is mounted on {printable(point)}" for point in points]
        found += [f"{holder} is built on {who}" for holder in sysfs.holders(number)]
        if number != rdev:
            found += [f"{who} is swap space" for swap in sysfs.swaps() if _number_of(swap) == number]
    return found


def _mounted_from(mount: sysfs.Mount, number: int) -> bool:
    """Btrfs and others mount under a number of their own and name the device as source."""
    return os.major(mount.device) == 0 and mount.source.startswith("/") and _number_of(mount.source) == number


def _number_of(path: str) -> int | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_rdev if stat.S_ISBLK(status.st_mode) else None


def _uses(path: str, status: os.stat_result) -> bool:
    try:
        return identity(os.stat(path)) == identity(status)
    except OSError:
        return False


def _locks(path: str) -> list[str]:
    """Running virtual machines lock their images; asking for a write lock on all bytes tells."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return []
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))
    except OSError:
        return []
    finally:
        os.close(fd)
    if kind == fcntl.F_UNLCK:
        return []
    return [f"process {pid} has locked it" if pid > 0 else "another process, such as a virtual machine, has locked it"]
