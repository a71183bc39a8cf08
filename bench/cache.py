"""The page cache: putting files into it with small or large folios, taking them out, and looking.

The size of the folios moves hot results by up to 1.5x for every tool, so it is made on purpose and printed:

* large: written in 4 MiB pieces, or read in one go after an eviction (readahead soon grows to 2 MiB);
* small: written 4 KiB at a time, each write making a folio of one page.

A file system without large folios (ext4 before Linux 6.16, tmpfs unless mounted with huge=) gives 4 KiB both ways.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
import struct
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE = mmap.PAGESIZE
CHUNK = 4 << 20
WINDOW = 4 << 20
SAMPLES = 16
HEAD, TAIL = 1 << 15, 1 << 16  # /proc/kpageflags: COMPOUND_HEAD, COMPOUND_TAIL
CACHESTAT = 451

libc = ctypes.CDLL(None, use_errno=True)


# ---- out ----


def evict(paths: Iterable[str]) -> None:
    """Takes these files (and no others, unlike drop_caches) out of the page cache, and makes sure."""
    for path in paths:
        for _ in range(3):
            with open(path, "rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            left = resident(path)
            if left <= os.path.getsize(path) // 200:
                break
        else:
            raise OSError(f"{left} bytes of {os.path.basename(path)} stay in the page cache: no cold run here")


def resident(path: str) -> int:
    """How many bytes of the file the page cache holds."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        counters = (ctypes.c_uint64 * 5)()
        whole = (ctypes.c_uint64 * 2)(0, size)
        if not size or libc.syscall(CACHESTAT, file.fileno(), ctypes.byref(whole), ctypes.byref(counters), 0) == 0:
            return int(counters[0]) * PAGE
        return mincore(file.fileno(), size)


def mincore(fd: int, size: int) -> int:
    """The same for kernels before 6.5."""
    pages = -(-size // PAGE)
    vector = (ctypes.c_ubyte * pages)()
    libc.mmap.restype = ctypes.c_void_p
    address = libc.mmap(None, ctypes.c_size_t(size), mmap.PROT_READ, mmap.MAP_SHARED, fd, ctypes.c_long(0))
    if address in {None, ctypes.c_void_p(-1).value}:
        raise OSError(ctypes.get_errno(), "mmap")
    try:
        if libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), vector):
            raise OSError(ctypes.get_errno(), "mincore")
    finally:
        libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))
    return sum(page & 1 for page in vector) * PAGE


# ---- in ----


def data_ranges(fd: int) -> Iterator[tuple[int, int]]:
    """(start, end) of the file's data. Holes are left out: reading them would fill the page cache with zeroes."""
    size, end = os.fstat(fd).st_size, 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            return
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, end


def warm(paths: Iterable[str]) -> None:
    """Reads what is data, as ``cat`` does; what is cached keeps its folios."""
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            buffer = bytearray(128 * 1024)
            for start, end in data_ranges(file.fileno()):
                for offset in range(start, end, len(buffer)):
                    os.preadv(file.fileno(), [buffer], offset)


def warm_large(paths: Iterable[str]) -> None:
    """Cached in the largest folios that the file system gives."""
    for path in paths:
        evict([path])
        warm([path])


def warm_small(paths: Iterable[str]) -> None:
    """Cached in folios of one page: the same bytes are written again, 4 KiB at a time. Not for reflinked files."""
    for path in paths:
        evict([path])
        reader, writer = open_direct(path), os.open(path, os.O_WRONLY)
        buffer = mmap.mmap(-1, CHUNK)  # page-aligned, as O_DIRECT wants it
        try:
            size = os.fstat(reader).st_size
            for offset in range(0, size, CHUNK):
                length = os.preadv(reader, [buffer], offset)
                for piece in range(0, length, PAGE):
                    os.pwrite(writer, buffer[piece : min(length, piece + PAGE)], offset + piece)
            os.fsync(writer)
        finally:
            os.close(reader)
            os.close(writer)
            buffer.close()


def open_direct(path: str) -> int:
    """For reading without filling the page cache; buffered where O_DIRECT is refused."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError:
        return os.open(path, os.O_RDONLY)


# ---- looking ----


def folios(path: str) -> dict[int, float] | None:
    """Share of the bytes by folio size, from windows spread over the file; None when the kernel does not tell us."""
    sizes: Counter[int] = Counter()
    try:
        with (
            open(path, "rb") as file,
            open("/proc/self/pagemap", "rb", 0) as pagemap,
            open("/proc/kpageflags", "rb", 0) as flags,
        ):
            size = os.fstat(file.fileno()).st_size
            step = max(WINDOW, size // SAMPLES // WINDOW * WINDOW)
            for offset in range(0, size, step):
                sizes += window(file.fileno(), offset, min(WINDOW, size - offset), pagemap.fileno(), flags.fileno())
    except OSError:
        return None
    total = sum(sizes.values())
    return {folio: share / total for folio, share in sorted(sizes.items())} if total else None


def window(fd: int, offset: int, length: int, pagemap: int, flags: int) -> Counter[int]:
    """Bytes by folio size in one window, which begins at a folio's start because 2 MiB folios are aligned."""
    mapped = mmap.mmap(fd, length, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset)
    try:
        pages = -(-length // PAGE)
        for page in range(pages):
            _ = mapped[page * PAGE]  # a page that is not touched has no entry in the page table
        first = address(mapped) // PAGE
        entries = struct.unpack(f"{pages}Q", os.pread(pagemap, pages * 8, first * 8))
        numbers = [entry & ((1 << 55) - 1) for entry in entries]
        if not any(numbers):
            raise PermissionError("page frame numbers are hidden from us")
        states = [struct.unpack("Q", os.pread(flags, 8, number * 8))[0] for number in numbers]
    finally:
        mapped.close()
    starts = [index for index, state in enumerate(states) if not state & TAIL] + [pages]
    sizes: Counter[int] = Counter()
    for start, end in itertools.pairwise(starts):
        sizes[(end - start) * PAGE] += (end - start) * PAGE
    return sizes


def address(mapped: mmap.mmap) -> int:
    """Where a read-only mapping begins: a writable buffer would be needed for ctypes' own way."""
    view = ctypes.py_object(mapped)
    buffer = (ctypes.c_char * 128)()  # struct Py_buffer, larger than needed
    api = ctypes.pythonapi
    if api.PyObject_GetBuffer(view, buffer, 0):
        raise BufferError("a mapping without a buffer")
    start = ctypes.cast(buffer, ctypes.POINTER(ctypes.c_void_p))[0]
    api.PyBuffer_Release(buffer)
    return int(start or 0)


def named(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def described(shares: dict[int, float] | None) -> str:
    """As printed: the folio sizes that matter, the most frequent first."""
    if not shares:
        return "unknown"
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return ", ".join(f"{named(size)} {share:.0%}" for size, share in ordered if share >= 0.02)
