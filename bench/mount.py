"""An XFS file system with reflinks in a file, for the pair that shares its blocks. Root."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import subprocess

from bench import data

FICLONE = 0x40049409
OVERHEAD = 400 << 20  # XFS wants 300 MiB at least, and its log and metadata


class Unavailable(Exception):
    """Why this machine cannot have it."""


class Mount:
    """A mounted loop device. The backing file is opened with O_DIRECT: cold must not mean cached one floor below."""

    def __init__(self, directory: str, size: int) -> None:
        missing = [tool for tool in ("mkfs.xfs", "losetup", "mount", "umount") if not shutil.which(tool)]
        if os.geteuid():
            raise Unavailable("mounting a file system needs root")
        if missing:
            raise Unavailable(f"{', '.join(missing)} not on PATH")
        self.image = os.path.join(directory, "xfs.img")
        self.point = os.path.join(directory, "xfs")
        self.loop = ""
        self.mounted = False
        try:
            self._make(size + OVERHEAD)
        except (OSError, subprocess.CalledProcessError) as error:
            self.close()
            told = getattr(error, "stderr", "") or str(error)
            raise Unavailable(f"no XFS on a loop device: {told.strip()}") from error

    def _make(self, size: int) -> None:
        os.makedirs(self.point, exist_ok=True)
        with open(self.image, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)  # no space is an error now, not in the middle of a race
        tool("mkfs.xfs", "-q", "-f", "-m", "reflink=1", self.image)
        self.loop = tool("losetup", "--find", "--show", "--direct-io=on", self.image).strip()
        tool("mount", self.loop, self.point)
        self.mounted = True

    def reflink(self, size: int, percent: int = 1) -> data.Pair:
        """A file and its clone, in which this share of the 64 KiB blocks was rewritten with other bytes."""
        base, clone = os.path.join(self.point, "base.raw"), os.path.join(self.point, "clone.raw")
        ranges = tuple((block * data.BLOCK, data.BLOCK) for block in data.sample(random.Random(31), size, percent))
        data.write(base, data.noise(size))
        with open(base, "rb") as source, open(clone, "wb") as target:
            fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
        data.flip(base, clone, ranges)
        return data.Pair(base, clone, data.Truth(size, ranges), size)

    def close(self) -> None:
        if self.mounted:
            tool("umount", self.point)
        if self.loop:
            tool("losetup", "--detach", self.loop)
        self.mounted, self.loop = False, ""
        if os.path.exists(self.image):
            os.unlink(self.image)


def tool(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
