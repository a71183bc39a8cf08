"""The tests that every device must pass. Needs pytest.

class TestMyDevice(DeviceConformance):
    @pytest.fixture
    def make(self, tmp_path):
        def make(content: bytes):
            (tmp_path / "volume").write_bytes(content)
            return my_backend.open_device(tmp_path / "volume", writable=True)

        return make
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from blockdiff.errors import BlockdiffError, DeviceError, ShortRead
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[[bytes], Any]

_SIZES = (0, 1, 511, 512, 4095, 4096, 4097, 3 * 65536 + 777)
_RANGES = ((0, 0), (0, 1), (1, 1), (511, 2), (4095, 2), (100, 5000), (4096, 8192))


class DeviceConformance:
    """Subclass it and give a fixture ``make``: ``make(content)`` opens a device that holds these bytes.

    ``unit``: the size of a device is a multiple of it; ``writable``: it can be written (``make`` opens it so).
    """

    unit: ClassVar[int] = 1
    writable: ClassVar[bool] = True

    def bytes_of(self, size: int) -> bytes:
        """Random bytes with zeroes in the middle, in a size that this device can have."""
        size = -(-size // self.unit) * self.unit
        data = bytearray(random.Random(size).randbytes(size))
        data[size // 3 : size // 2] = bytes(size // 2 - size // 3)
        return bytes(data)

    @pytest.mark.parametrize("size", _SIZES)
    def test_size_and_content(self, make: Make, size: int) -> None:
        """It has the size and the bytes that it was made of."""
        data = self.bytes_of(size)
        device = make(data)
        assert device.size == len(data)
        assert device.block_size > 0
        assert device.block_size & (device.block_size - 1) == 0
        assert isinstance(device.url, str)
        assert device.url
        assert read(device, 0, len(data)) == data
        device.close()

    @pytest.mark.parametrize(("offset", "length"), _RANGES)
    def test_reads_exactly(self, make: Make, offset: int, length: int) -> None:
        """Any range, aligned or not, and not a byte past the buffer."""
        data = self.bytes_of(3 * 65536 + 777)
        device = make(data)
        assert read(device, offset, length) == data[offset : offset + length]
        frame = bytearray(b"\xaa" * (length + 2))
        device.pread_into(memoryview(frame)[1:-1], offset)
        assert (frame[0], frame[-1]) == (0xAA, 0xAA)
        assert read(device, len(data) - 1, 1) == data[-1:]
        device.close()

    def test_short_read(self, make: Make) -> None:
        """Reading past the end is told, never padded."""
        device = make(self.bytes_of(8192))
        for offset in (device.size, device.size - 1, device.size + 4096):
            with pytest.raises(ShortRead):
                device.pread_into(bytearray(2), offset)
        device.close()

    @pytest.mark.parametrize("size", _SIZES)
    def test_extents_cover_it(self, make: Make, size: int) -> None:
        """The extents cover it, and no hole hides data."""
        data = self.bytes_of(size)
        device = make(data)
        cover(device, data, 0, len(data))
        cover(device, data, len(data) // 4 + 1, len(data) - 1)
        device.close()

    def test_clones_are_independent(self, make: Make) -> None:
        """A clone outlives the device that it came from."""
        data = self.bytes_of(8192)
        device = make(data)
        first, second = device.clone(), device.clone()
        first.close()
        assert second.size == device.size
        assert read(second, 1, 100) == data[1:101]
        device.close()
        assert read(second, 2, 100) == data[2:102]
        second.close()

    def test_closed_means_closed(self, make: Make) -> None:
        """Every use after closing is a clear error; closing twice is none."""
        device = make(self.bytes_of(8192))
        device.close()
        device.close()
        for use in (lambda: read(device, 0, 1), lambda: list(device.extents()), device.clone):
            with pytest.raises(DeviceError, match="closed"):
                use()

    @pytest.mark.parametrize(("offset", "length"), _RANGES)
    def test_write_and_zero(self, make: Make, offset: int, length: int) -> None:
        """What is written is read back, and nothing around it changes."""
        if not self.writable:
            return
        data = bytearray(self.bytes_of(3 * 65536 + 777))
        device = make(bytes(data))
        device.pwrite(b"w" * length, offset)
        data[offset : offset + length] = b"w" * length
        assert read(device, 0, device.size) == data
        for punch in (False, True):
            end = len(data) - offset
            device.pwrite(b"z" * length, end - length)
            device.zero(end - length, length, punch=punch)
            data[end - length : end] = bytes(length)
            assert read(device, 0, device.size) == data
        device.flush()
        cover(device, bytes(data), 0, len(data))
        device.close()

    def test_writing_past_the_end(self, make: Make) -> None:
        """A device does not grow by writing."""
        if not self.writable:
            return
        device = make(self.bytes_of(8192))
        with pytest.raises(BlockdiffError):
            device.pwrite(b"xx", device.size - 1)
        with pytest.raises(BlockdiffError):
            device.zero(device.size, 1)
        device.close()


def read(device: Any, offset: int, length: int) -> bytes:
    """Bytes of the device."""
    buffer = bytearray(length)
    device.pread_into(buffer, offset)
    return bytes(buffer)


def cover(device: Any, data: bytes, start: int, end: int) -> None:
    """The extents cover the range without gaps, and what they call zero or hole is zeroes."""
    position = start
    for batch in device.extents(start, end - start) if end > start else ():
        assert 0 < len(batch) <= 4096
        for extent in batch:
            assert extent.offset == position, "extents leave a gap or overlap"
            position = extent.end
            assert extent.kind in (Kind.DATA, Kind.ZERO, Kind.HOLE)
            if extent.kind != Kind.DATA:
                assert not any(data[extent.offset : extent.end]), "a hole hides data"
    assert position == max(start, end), "extents end elsewhere"
