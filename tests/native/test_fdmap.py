"""Data, holes and physical extents as the kernel tells them."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import pytest

from blockdiff import _fast
from blockdiff.errors import InvalidInput
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1 << 20


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "image", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def spans(extents: _fast.Extents) -> list[tuple[int, int, int]]:
    return [(e.offset, e.length, int(e.kind)) for e in extents]


def test_data_and_holes(fd: int) -> None:
    os.ftruncate(fd, 4 * MIB)
    os.pwrite(fd, b"x" * MIB, MIB)
    assert spans(_fast.map_fd(fd, 0, 4 * MIB)) == [(0, MIB, 2), (MIB, MIB, 0), (2 * MIB, 2 * MIB, 2)]


def test_starts_and_ends_inside_an_extent(fd: int) -> None:
    os.ftruncate(fd, 4 * MIB)
    os.pwrite(fd, b"x" * MIB, MIB)
    assert spans(_fast.map_fd(fd, MIB + 7, 2 * MIB - 9)) == [(MIB + 7, MIB - 16, 0)]
    assert spans(_fast.map_fd(fd, 3 * MIB + 1, 3 * MIB + 2)) == [(3 * MIB + 1, 1, 2)]


@pytest.mark.parametrize("size", [0, 1, 511, 4095, 4097])
def test_small_files(fd: int, size: int) -> None:
    os.pwrite(fd, b"x" * size, 0)
    assert spans(_fast.map_fd(fd, 0, size)) == ([(0, size, 0)] if size else [])


def test_past_a_file_that_shrank_is_data(fd: int) -> None:
    """A hole there would be called equal without being read."""
    os.ftruncate(fd, MIB)
    assert spans(_fast.map_fd(fd, 0, 3 * MIB)) == [(0, MIB, 2), (MIB, 2 * MIB, 0)]
    assert spans(_fast.map_fd(fd, 2 * MIB, 3 * MIB)) == [(2 * MIB, MIB, 0)]
    os.ftruncate(fd, 0)
    assert spans(_fast.map_fd(fd, 0, MIB)) == [(0, MIB, 0)]


def test_goes_on_from_the_end_of_a_batch(fd: int) -> None:
    os.ftruncate(fd, 64 * MIB)
    for i in range(0, 64, 2):
        os.pwrite(fd, b"x", i * MIB)
    whole = spans(_fast.map_fd(fd, 0, 64 * MIB))
    assert len(whole) == 64
    for batch in (1, 2, 3, 7):
        pos, parts = 0, []
        while pos < 64 * MIB:
            part = _fast.map_fd(fd, pos, 64 * MIB, batch)
            assert part.start == pos
            assert 0 < len(part) <= max(batch, 2)
            parts += spans(part)
            pos = part.end
        assert sum(length for _, length, _ in parts) == 64 * MIB
        assert [p for p in parts if p[2] == 0] == [p for p in whole if p[2] == 0]


def test_a_file_of_16_tib(tmp_path: Path) -> None:
    size = (16 << 40) - 4096
    with (tmp_path / "big").open("w+b") as file:
        os.ftruncate(file.fileno(), size)
        os.pwrite(file.fileno(), b"x" * 4096, size - 8192)
        assert spans(_fast.map_fd(file.fileno(), 0, size)) == [
            (0, size - 8192, 2),
            (size - 8192, 4096, 0),
            (size - 4096, 4096, 2),
        ]


def test_what_cannot_seek_for_holes_is_data() -> None:
    reader, writer = os.pipe()
    try:
        assert spans(_fast.map_fd(reader, 5, 100)) == [(5, 95, 0)]
    finally:
        os.close(reader)
        os.close(writer)


def test_bad_arguments(fd: int) -> None:
    for start, end, count in [(-1, 5, 1), (5, 4, 1), (0, 5, 0), (0, 5, 1 << 30)]:
        with pytest.raises(InvalidInput):
            _fast.map_fd(fd, start, end, count)
        with pytest.raises(InvalidInput):
            _fast.fiemap_fd(fd, start, end, True, count)
        with pytest.raises(InvalidInput):
            _fast.shared_map(fd, fd, start, end, count)
    with pytest.raises(OSError, match="Bad file descriptor"):
        _fast.map_fd(99999, 0, 10)


@pytest.fixture
def ext4_fd(ext4_dir: Path) -> Iterator[int]:
    fd = os.open(ext4_dir / "image", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def test_fiemap(ext4_fd: int) -> None:
    fd = ext4_fd
    os.pwrite(fd, b"x" * MIB, MIB)
    os.ftruncate(fd, 4 * MIB)
    packed, done = _fast.fiemap_fd(fd, 0, 4 * MIB)
    extents = list(struct.iter_unpack("=4Q", packed))
    assert done == 4 * MIB
    assert extents[0][0] == MIB
    assert sum(e[2] for e in extents) == MIB
    assert extents[-1][3] & _fast.FIEMAP_LAST
    assert _fast.fiemap_fd(fd, 5, 5) == (b"", 5)


def test_preallocated_is_unwritten(ext4_fd: int) -> None:
    fd = ext4_fd
    _fast.fallocate(fd, 0, 0, MIB)
    packed, _ = _fast.fiemap_fd(fd, 0, MIB)
    assert all(flags & _fast.FIEMAP_UNWRITTEN for *_, flags in struct.iter_unpack("=4Q", packed))
    assert spans(_fast.map_fd(fd, 0, MIB)) == [(0, MIB, Kind.HOLE)]


def test_no_fiemap(tmpfs_dir: Path) -> None:
    with (tmpfs_dir / "image").open("w+b") as file, pytest.raises(OSError, match="not supported"):
        _fast.fiemap_fd(file.fileno(), 0, MIB)
