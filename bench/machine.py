"""Facts about the machine that a result is worth nothing without. No names, no paths."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from importlib import metadata

VERSIONS = {
    "cmp": "--version",
    "qemu-img": "--version",
    "rsync": "--version",
    "xxhsum": "--version",
    "blocksync-fast": "--version",
    "bdsync": "--version",
    "rbd": "--version",
}


def facts(directory: str) -> dict[str, object]:
    """Everything about now and here; ``directory`` is where the data is."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "smt": read("/sys/devices/system/cpu/smt/control"),
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "virtual": "hypervisor" in cpu_flags(),
        "simd": [flag for flag in ("avx2", "avx512bw", "sha_ni") if flag in cpu_flags()],
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": platform.release(),
        "system": os_name(),
        "python": platform.python_version(),
        "file_system": file_system(directory),
        "transparent_huge_pages": chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
        "load": [round(load, 2) for load in os.getloadavg()],
        "root": os.geteuid() == 0,
        "blockdiff": own_version(),
        "tools": {tool: version(tool, option) for tool, option in VERSIONS.items() if shutil.which(tool)},
    }


def read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def chosen(path: str) -> str:
    """The word in brackets, as sysfs marks a choice."""
    found = re.search(r"\[(\w+)\]", read(path))
    return found[1] if found else ""


def cpu_line(key: str) -> str:
    found = re.search(rf"^{key}\s*:\s*(.*)$", read("/proc/cpuinfo"), re.MULTILINE)
    return found[1].strip() if found else ""


def cpu_model() -> str:
    return cpu_line("model name") or platform.machine()


def cpu_flags() -> list[str]:
    return cpu_line("flags").split()


def os_name() -> str:
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)', read("/etc/os-release"), re.MULTILINE)
    return found[1] if found else platform.system()


def file_system(directory: str) -> str:
    """The type of the file system that holds the directory, from the longest mount point above it."""
    path = os.path.realpath(directory)
    best, kind = "", "unknown"
    for line in read("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4].encode().decode("unicode_escape")
        if len(point) >= len(best) and (path + "/").startswith(point.rstrip("/") + "/"):
            best, kind = point, after.split()[0]
    return kind


def own_version() -> str:
    try:
        return metadata.version("blockdiff")
    except metadata.PackageNotFoundError:
        return "source tree"


def version(tool: str, option: str) -> str:
    """The first number with a dot that the tool tells."""
    told = subprocess.run([tool, option], capture_output=True, text=True, check=False, timeout=20)
    found = re.search(r"\d+\.\d[\w.]*", told.stdout + told.stderr)
    return found[0] if found else "unknown"
