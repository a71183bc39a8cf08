"""What the kernel tells about block devices in /sys and /proc."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

SYS = "/sys"
PROC = "/proc"


class Mount(NamedTuple):
    """One line of mountinfo."""

    device: int
    source: str
    point: str


def read_text(path: str) -> str:
    """The file's text without the newline; empty when it is not there."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


def read_number(path: str) -> int:
    """The file's number; 0 when it is not there."""
    text = read_text(path)
    return int(text) if text.isdecimal() else 0


def listdir(path: str) -> list[str]:
    """The names in a directory, sorted; empty when it is not there."""
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def device_number(text: str) -> int | None:
    """``8:1`` as a device number."""
    major, colon, minor = text.partition(":")
    return os.makedev(int(major), int(minor)) if colon and major.isdecimal() and minor.isdecimal() else None


def node(rdev: int) -> str:
    """The device's directory in /sys."""
    return os.path.realpath(f"{SYS}/dev/block/{os.major(rdev)}:{os.minor(rdev)}")


def name(rdev: int) -> str:
    """The kernel's name of the device, such as ``/dev/sda1``."""
    return "/dev/" + os.path.basename(node(rdev)).replace("!", "/")


def relatives(rdev: int) -> list[int]:
    """The device itself, its partitions, and the whole disk when it is a partition: they share sectors."""
    directory = node(rdev)
    found = [rdev]
    if os.path.exists(f"{directory}/partition"):
        found.append(device_number(read_text(f"{os.path.dirname(directory)}/dev")) or rdev)
    else:
        parts = (f"{directory}/{entry}" for entry in listdir(directory))
        numbers = (device_number(read_text(f"{part}/dev")) for part in parts if os.path.exists(f"{part}/partition"))
        found += [number for number in numbers if number is not None]
    return list(dict.fromkeys(found))


def holders(rdev: int) -> list[str]:
    """The devices built on this one: md, device-mapper, bcache."""
    return [f"/dev/{entry.replace('!', '/')}" for entry in listdir(f"{node(rdev)}/holders")]


def slaves(rdev: int) -> list[int]:
    """The devices that this one is built on."""
    directory = f"{node(rdev)}/slaves"
    numbers = (device_number(read_text(f"{directory}/{entry}/dev")) for entry in listdir(directory))
    return [number for number in numbers if number is not None]


def mounts() -> list[Mount]:
    """All mounts that this process sees."""
    found = []
    for line in read_text(f"{PROC}/self/mountinfo").splitlines():
        fields = line.split(" ")
        if "-" not in fields[6:]:
            continue
        tail = fields[fields.index("-", 6) + 1 :]
        number = device_number(fields[2])
        if number is not None and len(tail) > 1:
            found.append(Mount(number, unescape(tail[1]), unescape(fields[4])))
    return found


def swaps() -> list[str]:
    """The files and devices that the kernel swaps to."""
    lines = read_text(f"{PROC}/swaps").splitlines()[1:]
    return [unescape(line.split()[0]).removesuffix("\\040(deleted)") for line in lines if line.strip()]


def loops() -> list[str]:
    """The names of the loop devices that have a backing file, such as ``/dev/loop0``."""
    found = [entry for entry in listdir(f"{SYS}/block") if entry.startswith("loop")]
    return [f"/dev/{entry}" for entry in found if os.path.exists(f"{SYS}/block/{entry}/loop/backing_file")]


def unescape(text: str) -> str:
    """Undoes the kernel's octal escapes: a blank in a path is written as a backslash and 040."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
