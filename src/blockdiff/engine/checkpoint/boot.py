"""Which start of which machine this is."""

from __future__ import annotations

_BOOT = "/proc/sys/kernel/random/boot_id"


def this_boot() -> str:
    """What tells this start of this machine from all others; empty where it is not told."""
    try:
        with open(_BOOT, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
