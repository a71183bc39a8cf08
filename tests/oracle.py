"""A second opinion: what two images differ in, found the slowest and simplest way. Nothing here uses blockdiff."""

import os
import shutil
import subprocess


def differences(a, b, granularity=4096, *, start=0, end=None, only=None, size="strict"):
    """(offset, length, class) of every granule that differs, neighbours of one class joined."""
    common = min(len(a), len(b))
    end = common if end is None else min(end, common)
    found = []
    for lo, hi in [(start, end)] if only is None else clipped(only, start, end):
        for at, stop in granules(lo, hi, granularity):
            x, y = a[at:stop], b[at:stop]
            if x != y:
                found.append((at, stop - at, class_of(x, y)))
    if size == "strict" and len(a) != len(b):
        found.append((common, max(len(a), len(b)) - common, "size"))
    return joined(found)


def granules(start, end, granularity):
    """The pieces of ``[start, end)`` between multiples of the granularity."""
    while start < end:
        stop = min(end, (start // granularity + 1) * granularity)
        yield start, stop
        start = stop


def class_of(x, y):
    """The name of the difference between two pieces that are not equal."""
    if not any(x):
        return "src-zero"
    if not any(y):
        return "dst-zero"
    flipped = (int.from_bytes(x, "little") ^ int.from_bytes(y, "little")).bit_count()
    return "bit-flip" if flipped == 1 else "data"


def joined(ranges):
    """Neighbours of one class as one."""
    result = []
    for offset, length, name in ranges:
        if result and sum(result[-1][:2]) == offset and result[-1][2] == name:
            result[-1] = (result[-1][0], result[-1][1] + length, name)
        else:
            result.append((offset, length, name))
    return result


def clipped(ranges, start, end):
    """(start, end) of (offset, length) ranges inside ``[start, end)``, touching ones joined."""
    result = []
    for offset, length in ranges:
        lo, hi = max(offset, start), min(offset + length, end)
        if lo >= hi:
            continue
        if result and result[-1][1] == lo:
            lo = result.pop()[0]
        result.append((lo, hi))
    return result


def zero_map(data, holes, granularity=4096):
    """(offset, length, kind) of an image: hole where ``holes`` says, else data or zero by granule."""
    found = []
    at = 0
    for lo, hi in [*holes, (len(data), len(data))]:
        for piece, stop in granules(at, lo, granularity):
            found.append((piece, stop - piece, "data" if any(data[piece:stop]) else "zero"))
        if hi > lo:
            found.append((lo, hi - lo, "hole"))
        at = hi
    return joined(found)


def holes_of(path):
    """(start, end) of the holes of a file, as lseek tells them."""
    found, at = [], 0
    fd = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        while at < size:
            start = os.lseek(fd, at, os.SEEK_HOLE)
            if start >= size:
                break
            try:
                at = os.lseek(fd, start, os.SEEK_DATA)
            except OSError:
                at = size
            found.append((start, at))
    finally:
        os.close(fd)
    return found


def bytes_in(ranges):
    """The offsets of all bytes in (offset, length, ...) ranges, as a set; for small images."""
    return {byte for offset, length, *_ in ranges for byte in range(offset, offset + length)}


def differing_offsets(a, b):
    """Every byte that differs, those beyond the smaller included; for small images."""
    common = min(len(a), len(b))
    return {i for i in range(common) if a[i] != b[i]} | set(range(common, max(len(a), len(b))))


def cmp_count(a, b):
    """How many bytes of two files differ, by cmp; those beyond the shorter are not counted."""
    listing = subprocess.Popen(["cmp", "-l", a, b], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    counted = subprocess.run(["wc", "-l"], stdin=listing.stdout, capture_output=True, text=True, check=True)
    listing.stdout.close()
    listing.wait()
    return int(counted.stdout)


def qemu_identical(a, b, *, strict=False):
    """Whether qemu-img calls two images identical; None where it is not installed."""
    if shutil.which("qemu-img") is None:
        return None
    command = ["qemu-img", "compare", "-f", "raw", "-F", "raw", *(["-s"] if strict else []), a, b]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0
