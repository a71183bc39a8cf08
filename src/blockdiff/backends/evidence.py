"""What a block device tells of itself, for checkpoints: who it is, and what was written to it by this machine."""

from __future__ import annotations

import contextlib
import os
import stat
from abc import ABC, abstractmethod
from typing import Any

from blockdiff.backends.opening import printable

TOLD_BY = "the kernel's count of writes to it"
_NAMES = ("dm/uuid", "md/uuid", "wwid", "device/wwid", "serial", "device/serial", "device/cid")
_WRITTEN, _DISCARDED = 6, 13  # fields of ``stat``: sectors, docs/admin-guide/iostats.rst of Linux


class Evident(ABC):
    """What a file or block device tells for checkpoints."""

    path: str
    is_block: bool
    writable: bool
    _stat: os.stat_result

    @abstractmethod
    def fileno(self) -> int:
        """The descriptor."""

    def evidence(self) -> dict[str, Any]:
        """What tells the file or device, and its content, from others; ``describe`` explains it."""
        path = printable(os.path.realpath(self.path))
        if self.is_block:
            return block_evidence(self.fileno(), self._stat.st_rdev, path)
        from blockdiff.engine.checkpoint.evidence import file_evidence

        return file_evidence(os.fstat(self.fileno()) if self.writable else self._stat, path)


def block_evidence(fd: int, rdev: int, path: str) -> dict[str, Any]:
    """The evidence of a block device that is open as ``fd``. What waits in the page cache to be written is written."""
    from blockdiff.backends import sysfs

    node = sysfs.node(rdev)
    part = os.path.exists(f"{node}/partition")
    disk = os.path.dirname(node) if part else node
    who: dict[str, Any] = _name(disk) or {"path": path, "number": f"{os.major(rdev)}:{os.minor(rdev)}"}
    if part:
        who |= {"partition": sysfs.read_number(f"{node}/partition"), "start": sysfs.read_number(f"{node}/start")}
    boot = {"number": sysfs.read_text(f"{disk}/diskseq")}
    if sysfs.read_text(f"{disk}/queue/iostats") == "1":
        with contextlib.suppress(OSError):
            os.fsync(fd)
        fields = sysfs.read_text(f"{node}/stat").split()
        boot["written"] = "+".join(fields[at] for at in (_WRITTEN, _DISCARDED) if at < len(fields))
    told_by = TOLD_BY if boot.get("written") else ""
    return {"who": who, "content": _backing(disk), "boot": boot, "told_by": told_by}


def _backing(disk: str) -> dict[str, Any]:
    """What the file of a loop device tells: the kernel does not count who writes to that."""
    from blockdiff.backends import sysfs
    from blockdiff.engine.checkpoint.evidence import file_content

    with contextlib.suppress(OSError, ValueError):
        status = os.stat(sysfs.read_text(f"{disk}/loop/backing_file"))
        if stat.S_ISREG(status.st_mode):
            return {f"{key} of its file": value for key, value in file_content(status).items()}
    return {}


def _name(disk: str) -> dict[str, Any]:
    """A name that no other disk has, where there is one."""
    from blockdiff.backends import sysfs

    for name in _NAMES:
        if value := sysfs.read_text(f"{disk}/{name}").strip():
            return {name.rpartition("/")[2]: value}
    if backing := sysfs.read_text(f"{disk}/loop/backing_file"):
        return {"loop of": backing, "offset": sysfs.read_number(f"{disk}/loop/offset")}
    return {}
