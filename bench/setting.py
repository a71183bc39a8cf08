"""What a run may be told: by an option of ``python -m bench``, else an environment variable, else a default."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class Setting:
    """Sizes are bytes."""

    quick: bool = False
    keep: bool = False
    size: int = 2 * GIB  # of one side of the ordinary pairs
    reflink_size: int = 4 * GIB  # reading must take long against a start of the interpreter
    sparse_size: int = 64 * GIB
    sparse_data: int = 1 * GIB
    zero_size: int = 1 * GIB
    entries: int = 1_000_000  # extents of the in-process suites
    rbd_thin: int = 1024 * GIB  # of a thin image
    rbd_dense: int = 1 * GIB  # of an image with a change in every 8 KiB
    rounds: int = 7
    base: str = ""  # where the data goes; a directory that exists

    @property
    def rbd_size(self) -> int:
        """Of a full image."""
        return min(self.size, 256 * MIB) if self.quick else self.size

    @property
    def image_size(self) -> int:
        """Of a full image of a virtual machine."""
        return self.rbd_size


def flag(name: str) -> bool:
    return os.environ.get(name, "").lower() not in {"", "0", "no", "false"}


def load(*, quick: bool = False, keep: bool = False, gib: float = 0, rounds: int = 0) -> Setting:
    """The setting from options, each with its environment variable behind it."""
    quick = quick or flag("BLOCKDIFF_BENCH_QUICK")
    keep = keep or flag("BLOCKDIFF_BENCH_KEEP")
    gib = gib or float(os.environ.get("BLOCKDIFF_BENCH_GIB", "0"))
    rounds = rounds or int(os.environ.get("BLOCKDIFF_BENCH_ROUNDS", "0"))
    size = int(gib * GIB) // (4 * MIB) * (4 * MIB)
    base = directory()
    if quick:
        size = size or 512 * MIB
        small = Setting(True, keep, size, size, 64 * GIB, 256 * MIB, 256 * MIB, rounds=rounds or 3, base=base)
        return replace(small, rbd_thin=64 * GIB, rbd_dense=64 * MIB)
    size = size or fitting()
    return Setting(False, keep, size, max(size, 4 * GIB), rounds=rounds or 7, base=base)


def fitting() -> int:
    """4 GiB a side, so that starting the interpreter weighs little, or less: hot pairs fill at most half the memory."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return next((size for size in (4 * GIB, 2 * GIB) if 4 * size <= memory), GIB)


def directory() -> str:
    """Not /tmp when there is a choice: it is often a tmpfs, which has no disk to read from."""
    named = os.environ.get("BLOCKDIFF_BENCH_DIR")
    if named:
        os.makedirs(named, exist_ok=True)
        return named
    return "/var/tmp" if os.access("/var/tmp", os.W_OK) else tempfile.gettempdir()


def program() -> list[str]:
    """How to start blockdiff: BLOCKDIFF_BENCH_COMMAND (to race another build), the installed script, or the module."""
    named = os.environ.get("BLOCKDIFF_BENCH_COMMAND")
    if named:
        return shlex.split(named)
    script = Path(sys.executable).with_name("blockdiff")
    return [str(script)] if script.exists() else [sys.executable, "-m", "blockdiff"]
