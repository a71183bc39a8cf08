"""Tells disk images of virtual machines from raw disks, by their first bytes and their name.

A raw disk is written by a guest, so its first bytes may be made to look like an image: whoever believed them would
compare something else than the disk, and read whatever files the "image" names. A name is chosen by whoever keeps the
file. So a bare path is an image where both agree; where only the bytes say so it is refused, and the text says what to
write. Block devices are raw, and so is what was written as ``file:``.
"""

from __future__ import annotations

import os
import re
import stat

from blockdiff.backends.opening import printable
from blockdiff.errors import InvalidInput
from blockdiff.locator import Locator

HEAD = 72  # bytes that tell each format
FORMATS = ("qcow2", "vmdk", "vhdx", "vdi", "vpc")
OPTIONS = ("snapshot", "bitmap", "force-share")
_SUFFIXES = {
    "qcow2": ("qcow2", "qcow"),
    "vmdk": ("vmdk",),
    "vhdx": ("vhdx",),
    "vdi": ("vdi",),
    "vpc": ("vhd", "vpc"),
}
_OPTION = re.compile(rf"(?:{'|'.join(OPTIONS)})=[^&]*")


def format_of(head: bytes) -> str:
    """Which format a file's first bytes are of; empty for none, which is a raw disk.

    Sources: QEMU's docs/interop/qcow2 and the headers of VMDK (sparse, ESX, descriptor), VHDX, VDI and VHD. A VHD of
    fixed size is told by its last bytes only, so it is not recognised.
    """
    if head[:4] == b"QFI\xfb":
        return "qcow2"
    if head[:4] in (b"KDMV", b"COWD") or head.startswith(b"# Disk DescriptorFile"):
        return "vmdk"
    if head[:8] == b"vhdxfile":
        return "vhdx"
    if head[64:68] == b"\x7f\x10\xda\xbe":
        return "vdi"
    return "vpc" if head[:8] == b"conectix" else ""


def split_options(rest: str) -> tuple[str, str]:
    """A path and the options behind its last question mark that can begin options. A file may have such a name."""
    at = rest.find("?")
    while at >= 0:
        if all(_OPTION.fullmatch(item) for item in rest[at + 1 :].split("&")) and not os.path.lexists(rest):
            return rest[:at], rest[at + 1 :]
        at = rest.find("?", at + 1)
    return rest, ""


def recognise(locator: Locator) -> Locator:
    """The locator of an image where a bare path names one, else the same one.

    Raises InvalidInput where the first bytes are of an image and the name is of none.
    """
    if locator.text != locator.rest:
        return locator
    path, query = split_options(locator.rest)
    found = format_of(_head(path))
    if query:
        if found:
            return Locator(found, locator.rest, locator.text)
        if os.path.exists(path):
            raise InvalidInput(f"{printable(path)} is no image that blockdiff recognises, so {query!r} means nothing")
        return locator
    if not found:
        return locator
    if not _words(path) & set(_SUFFIXES[found]):
        name = printable(path)
        raise InvalidInput(
            f"{name} begins as a {found} image does, and its name does not say that it is one: write {found}:{name} "
            f"for the disk inside, or file:{name} for a raw disk, whose guest may have written that"
        )
    return Locator(found, locator.rest, locator.text)


def refuse_misnamed(locator: Locator) -> None:
    """InvalidInput for a new raw disk, by a bare path, whose name says that it is an image."""
    if locator.text != locator.rest or os.path.lexists(locator.rest):
        return
    for image_format, suffixes in _SUFFIXES.items():
        if _words(locator.rest) & set(suffixes):
            name = printable(locator.rest)
            raise InvalidInput(
                f"{name} would be a raw disk, and its name says {image_format}: write file:{name} if that is meant, or "
                "another name; images are made by qemu-img convert, and over another one by copy --base"
            )


def _words(path: str) -> set[str]:
    """What stands behind the dots of a file's name."""
    return set(os.path.basename(path).lower().split(".")[1:])


def _head(path: str) -> bytes:
    """The first bytes of a regular file; empty for everything else, of which the opening itself tells what is wrong."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return b""
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError):
        return b""
    try:
        return os.pread(fd, HEAD, 0)
    except OSError:
        return b""
    finally:
        os.close(fd)
