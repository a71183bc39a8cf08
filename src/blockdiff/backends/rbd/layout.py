"""Where the bytes of an image are: in which object, at which offset. Pure arithmetic, striping included."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

MIN_ORDER, MAX_ORDER = 12, 25  # what librbd takes: objects of 4 KiB to 32 MiB


class Run(NamedTuple):
    """Consecutive bytes that are consecutive both in the image (at ``start``) and in an object (at ``offset``)."""

    start: int
    number: int
    offset: int
    length: int


class Layout:
    """How an image of ``size`` bytes is cut into objects of ``1 << order`` bytes.

    Without striping (``stripe_count`` 1) object n holds the n-th part of the image. With it, units of ``stripe_unit``
    bytes go round ``stripe_count`` objects in turn until these are full. Raises InvalidInput for numbers that librbd
    would not take.
    """

    __slots__ = ("object_size", "prefix", "size", "stripe_count", "stripe_unit")

    def __init__(self, order: int, size: int, prefix: str = "", stripe_unit: int = 0, stripe_count: int = 1) -> None:
        if not MIN_ORDER <= order <= MAX_ORDER:
            raise InvalidInput(f"objects of 2^{order} bytes: known are 2^{MIN_ORDER} to 2^{MAX_ORDER}")
        self.object_size, self.size, self.prefix = 1 << order, size, prefix
        self.stripe_unit, self.stripe_count = stripe_unit or self.object_size, stripe_count
        if self.stripe_unit < 1 or self.object_size % self.stripe_unit or stripe_count < 1 or size < 0:
            raise InvalidInput(f"a stripe unit of {stripe_unit} and {stripe_count} objects in turn cannot be")
        if stripe_count == 1:
            self.stripe_unit = self.object_size  # units of one object follow each other

    def __repr__(self) -> str:
        return f"Layout({self.prefix!r}, {self.object_size}, {self.stripe_unit} x {self.stripe_count}, {self.size})"

    def name(self, number: int) -> str:
        """The name of an object."""
        # images of the old format count in 12 digits
        return f"{self.prefix}.{number:012x}" if self.prefix.startswith("rb.") else f"{self.prefix}.{number:016x}"

    @property
    def objects(self) -> int:
        """The number of objects that the whole image has."""
        period = self.object_size * self.stripe_count
        full, rest = divmod(self.size, period)
        return full * self.stripe_count + min(-(-rest // self.stripe_unit), self.stripe_count)

    def locate(self, offset: int) -> tuple[int, int]:
        """The object that holds this byte of the image, and where."""
        unit, inside = divmod(offset, self.stripe_unit)
        stripe, column = divmod(unit, self.stripe_count)
        objects, row = divmod(stripe, self.object_size // self.stripe_unit)
        return objects * self.stripe_count + column, row * self.stripe_unit + inside

    def image_offset(self, number: int, offset: int) -> int:
        """The byte of the image that an object holds at ``offset``."""
        row, inside = divmod(offset, self.stripe_unit)
        objects, column = divmod(number, self.stripe_count)
        stripe = objects * (self.object_size // self.stripe_unit) + row
        return (stripe * self.stripe_count + column) * self.stripe_unit + inside

    def runs(self, start: int, length: int) -> Iterator[Run]:
        """The range cut into runs, in the order of the image."""
        end = start + length
        while start < end:
            number, offset = self.locate(start)
            step = min(end, start - start % self.stripe_unit + self.stripe_unit) - start
            yield Run(start, number, offset, step)
            start += step

    def object_ranges(self, number: int) -> Iterator[tuple[int, int]]:
        """The ranges (offset, length) of the image that an object holds, ascending; none beyond the image's end."""
        for offset in range(0, self.object_size, self.stripe_unit):
            start = self.image_offset(number, offset)
            if start >= self.size:
                return
            yield start, min(self.stripe_unit, self.size - start)
