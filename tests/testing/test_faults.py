"""FaultDevice fails exactly where it should."""

from __future__ import annotations

import errno

import pytest

from blockdiff.errors import DeviceError, InvalidInput, ShortRead
from blockdiff.testing import Fault, FaultDevice, MemoryDevice

BLOCK = 4096


def device(picture: str = "", **options: object) -> FaultDevice:
    return FaultDevice(MemoryDevice(b"x" * 6 * BLOCK), picture, **options)  # type: ignore[arg-type]


def test_a_picture_of_faults() -> None:
    faulty = device("rrEErr")
    assert faulty.fileno() is None
    faulty.pread_into(bytearray(2 * BLOCK), 0)
    faulty.pread_into(bytearray(2 * BLOCK), 4 * BLOCK)
    for offset, length, at in [
        (0, 6 * BLOCK, 2 * BLOCK),
        (3 * BLOCK + 5, 1, 3 * BLOCK + 5),
        (2 * BLOCK - 1, 2, 2 * BLOCK),
    ]:
        with pytest.raises(DeviceError) as caught:
            faulty.pread_into(bytearray(length), offset)
        assert (caught.value.errno, caught.value.offset) == (errno.EIO, at)
    faulty.pwrite(b"y" * BLOCK, 2 * BLOCK)
    assert len(faulty.reads) == 5
    assert faulty.writes == [(2 * BLOCK, BLOCK)]


def test_writes_and_short_reads() -> None:
    faulty = device("rWNXS")
    with pytest.raises(DeviceError) as caught:
        faulty.pwrite(b"y" * 2 * BLOCK, 0)
    assert (caught.value.errno, caught.value.offset) == (errno.EIO, BLOCK)
    buffer = bytearray(2 * BLOCK)
    faulty.pread_into(buffer, 0)
    assert buffer == b"y" * BLOCK + b"x" * BLOCK
    with pytest.raises(DeviceError, match="No space"):
        faulty.zero(2 * BLOCK, 1)
    for use in (lambda: faulty.pwrite(b"y", 3 * BLOCK), lambda: faulty.pread_into(bytearray(1), 3 * BLOCK)):
        with pytest.raises(DeviceError):
            use()
    with pytest.raises(ShortRead) as short:
        faulty.pread_into(bytearray(BLOCK + 7), 4 * BLOCK - 7 + 7)
    assert short.value.offset == 4 * BLOCK


def test_faults_that_go_away_are_shared_by_clones() -> None:
    faulty = device(faults=[Fault(0, 1, times=1), Fault(5, 6, delay=0.001, only_delay=True)])
    twin = faulty.clone()
    assert faulty.handles == 2
    with pytest.raises(DeviceError):
        twin.pread_into(bytearray(10), 0)
    faulty.pread_into(bytearray(10), 0)
    assert twin.reads == [(0, 10), (0, 10)]
    twin.close()
    twin.close()
    assert faulty.handles == 1


def test_a_device_that_shrinks() -> None:
    faulty = device()
    faulty.resize_after(1, BLOCK + 1)
    faulty.pread_into(bytearray(BLOCK), BLOCK)
    assert faulty.changes() == ""
    with pytest.raises(ShortRead) as caught:
        faulty.pread_into(bytearray(BLOCK), BLOCK)
    assert caught.value.offset == BLOCK + 1
    assert faulty.changes() == f"its size was {6 * BLOCK} and is now {BLOCK + 1}"
    assert faulty.size == 6 * BLOCK


def test_a_bad_picture() -> None:
    with pytest.raises(InvalidInput, match="'q'"):
        device("rq")
