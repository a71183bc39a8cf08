"""Real read errors in the middle of a file: btrfs answers EIO where a data block no longer has its checksum."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

import blockdiff
from tests.fixtures.storage import unmount

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fixtures.storage import MakeLoop

KIB, MIB = 1 << 10, 1 << 20
BAD = [(MIB + 8 * KIB, 4 * KIB), (3 * MIB, 4 * KIB)]


@pytest.fixture
def damaged(make_loop: MakeLoop, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A file with two blocks that cannot be read, and a healthy copy that differs in one block elsewhere."""
    disk, place, copy = make_loop(256 * MIB), tmp_path / "mnt", tmp_path / "copy"
    place.mkdir()
    data = bytearray(os.urandom(4 * MIB + 123))
    subprocess.run(["mkfs.btrfs", "-q", "-d", "single", "-m", "single", disk.path], check=True)
    subprocess.run(["mount", disk.path, place], check=True)
    (place / "image").write_bytes(data)
    unmount(place)
    with disk.path.open("r+b") as raw:
        content = raw.read()
        for offset, _ in BAD:
            at = content.index(bytes(data[offset : offset + 64]))
            os.pwrite(raw.fileno(), bytes([content[at] ^ 1]), at)
        os.fsync(raw.fileno())
    data[2 * MIB] ^= 0xFF
    data[2 * MIB + 1] ^= 0xFF
    copy.write_bytes(data)
    subprocess.run(["mount", disk.path, place], check=True)
    try:
        yield place / "image", copy
    finally:
        unmount(place)


@pytest.mark.parametrize("swap", [False, True], ids=["source", "target"])
@pytest.mark.parametrize("read", ["auto", "direct", "buffered", "mmap"])
def test_unreadable_blocks_are_found_one_by_one_and_the_rest_is_compared(
    damaged: tuple[Path, Path], read: str, swap: bool
) -> None:
    pair = damaged[::-1] if swap else damaged
    report = blockdiff.verify(*pair, options=blockdiff.ReadOptions(read=read, keep_going=True))
    assert [(e.offset, e.length) for e in report.unreadable] == BAD
    assert {e["side"] for e in report.to_dict()["unreadable"]} == {"target" if swap else "source"}
    assert [(e.offset, e.length) for e in report.differences] == [(2 * MIB, 4 * KIB)]
    assert not report.identical
    assert report.bytes_compared == 4 * MIB + 123 - sum(length for _, length in BAD)


@pytest.mark.parametrize("read", ["auto", "direct", "buffered", "mmap"])
def test_the_first_unreadable_block_is_the_error(damaged: tuple[Path, Path], read: str) -> None:
    with pytest.raises(blockdiff.DeviceError) as caught:
        blockdiff.verify(*damaged, options=blockdiff.ReadOptions(read=read, workers=1))
    assert (caught.value.errno, caught.value.offset, caught.value.length) == (5, *BAD[0])


def test_no_copy_is_made_of_what_cannot_be_read(damaged: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(blockdiff.DeviceError) as caught:
        blockdiff.copy(damaged[0], tmp_path / "new", verify=True)
    assert caught.value.action == "read"
    assert caught.value.offset == BAD[0][0]


@pytest.mark.parametrize("read", ["auto", "direct", "buffered", "mmap"])
@pytest.mark.parametrize("algorithm", ["xxh3-128", "blake3"])
def test_no_manifest_is_made_of_what_cannot_be_read(
    damaged: tuple[Path, Path], tmp_path: Path, read: str, algorithm: str
) -> None:
    block, place = 64 * KIB, tmp_path / "manifest"
    with pytest.raises(blockdiff.DeviceError) as caught:
        blockdiff.digest(damaged[0], place, algorithm=algorithm, options=blockdiff.ReadOptions(read=read))
    assert caught.value.errno == 5
    assert not place.exists()
    blockdiff.digest(damaged[1], place, algorithm=algorithm, block_size=block).close()
    options = blockdiff.ReadOptions(read=read, keep_going=True)
    report = blockdiff.verify(damaged[0], place, options=options)
    assert [(e.offset, e.length) for e in report.unreadable] == [(MIB, block), (3 * MIB, block)]
    assert [(e.offset, e.length) for e in report.differences] == [(2 * MIB, block)]
    assert not report.identical
