"""Which device a journal is of, in words that outlast a restart of the machine."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

_SYS = "/sys/dev/block"
# What the kernel knows a block device by, whatever it is called today.
_FACTS = ("dm/uuid", "wwid", "device/wwid", "device/serial", "md/uuid", "loop/backing_file", "partition", "start")


def describe(device: Any, name: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """A device for a journal: ``name`` to open it by, ``url``, ``size``, and ``identity``: facts about it."""
    path = getattr(device, "path", None)
    return {
        "name": os.path.abspath(path) if path is not None else os.fspath(name) if name is not None else device.url,
        "url": device.url,
        "size": device.size,
        "identity": _identity(device, path),
    }


def _identity(device: Any, path: str | None) -> dict[str, str]:
    known = getattr(device, "identity", None)
    if path is None:
        return {} if known is None else {"id": "/".join(map(str, known))}
    status = os.fstat(device.fileno())
    if not getattr(device, "is_block", False):
        return {"kind": "file", "inode": str(status.st_ino)}
    node = f"{_SYS}/{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    facts = {fact.replace("/", "-"): text for fact in _FACTS if (text := _read(f"{node}/{fact}"))}
    return {"kind": "block", **facts}


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """How one description contradicts another, in words; empty where they may be one device."""
    found = []
    if then["size"] != now["size"]:
        found.append(f"its size was {then['size']} bytes and is {now['size']}")
    known, seen = then.get("identity") or {}, now["identity"]
    found += [
        f"its {key} was {known[key]} and is {seen[key]}" for key in known if key in seen and known[key] != seen[key]
    ]
    return found


def check_device(then: dict[str, Any], now: dict[str, Any], journal: str) -> None:
    """InvalidInput where a journal is of another device."""
    found = differences(then, now)
    if found:
        raise InvalidInput(f"the journal {journal} is of {then['url']}, and {now['url']} is another device: {found[0]}")


def refuse_on_device(directory: str, device: Any) -> None:
    """InvalidInput where the directory is on the very device, or in the image file, that is to be written."""
    if getattr(device, "path", None) is None or device.fileno() is None:
        return
    status = os.fstat(device.fileno())
    wanted = ("block", status.st_rdev) if getattr(device, "is_block", False) else (status.st_dev, status.st_ino)
    if wanted in _below([os.stat(directory).st_dev]):
        raise InvalidInput(f"{directory} is on {device.url} itself: a journal there is overwritten with it")


def _below(numbers: Iterable[int]) -> set[tuple[str | int, int]]:
    """Block devices, with the disks of partitions, what device-mapper and RAID are built on, and files of loop devices
    with what these are on.
    """
    found: set[tuple[str | int, int]] = set()
    waiting = list(numbers)
    while waiting:
        number = waiting.pop()
        if ("block", number) in found:
            continue
        found.add(("block", number))
        node = os.path.realpath(f"{_SYS}/{os.major(number)}:{os.minor(number)}")
        below = [f"{node}/slaves/{name}/dev" for name in _listed(f"{node}/slaves")]
        if os.path.exists(f"{node}/partition"):
            below.append(f"{os.path.dirname(node)}/dev")
        for text in map(_read, below):
            major, colon, minor = text.partition(":")
            waiting += [os.makedev(int(major), int(minor))] if colon else []
        with contextlib.suppress(OSError):
            file = os.stat(_read(f"{node}/loop/backing_file"))
            found.add((file.st_dev, file.st_ino))
            waiting.append(file.st_rdev or file.st_dev)
    return found


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="backslashreplace") as file:
            return file.read(4096).strip()
    except OSError:
        return ""
