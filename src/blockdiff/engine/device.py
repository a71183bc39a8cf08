"""What the engine asks of anything that gives and takes bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff._fast import Extents

    Buffer = bytes | bytearray | memoryview | Any
    """Anything contiguous that speaks the buffer protocol."""


class Device(Protocol):
    """A volume that can be read. Positional I/O only; units are bytes.

    ``url`` names it in messages (without secrets), ``size`` is its size when it was opened, ``block_size`` its logical
    block.
    """

    url: str
    size: int
    block_size: int

    def pread_into(self, buffer: Buffer, offset: int) -> None:
        """Fills the whole buffer, or raises ShortRead (the device ended early) or DeviceError."""

    def extents(self, start: int = 0, length: int | None = None) -> Iterator[Extents]:
        """Batches that together cover ``[start, start + length)``: data, zero (allocated, reads as zeroes) and hole.

        Known from metadata alone; a device that cannot tell says that all is data.
        """

    def clone(self) -> Device:
        """The same device with a handle of its own, for one worker."""

    def fileno(self) -> int | None:
        """The descriptor of a kernel-backed device (the native core does the loop), or None."""

    def close(self) -> None:
        """Gives the handle back; every later use raises."""


class WritableDevice(Device, Protocol):
    """A volume that can also be written."""

    def pwrite(self, data: Buffer, offset: int) -> None:
        """Writes all of ``data``, or raises DeviceError."""

    def zero(self, offset: int, length: int, *, punch: bool = True) -> None:
        """Makes the range read as zeroes; with ``punch`` its storage is given back where that is possible."""

    def flush(self) -> None:
        """Returns when everything written is on stable storage."""


class KernelDevice(Device, Protocol):
    """A device with descriptors, which the native core reads by itself."""

    offset_align: int
    direct_refusal: str

    def direct_fileno(self) -> int | None:
        """A second descriptor with O_DIRECT, or None (``direct_refusal`` says why)."""
