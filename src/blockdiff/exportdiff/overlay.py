"""A device that nobody restored: an image with a chain of diffs laid over it, read from where they are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

from blockdiff._fast import Extents, Merge, combine_table
from blockdiff.errors import DeviceError, InvalidInput, ShortRead
from blockdiff.exportdiff.layer import flatten
from blockdiff.exportdiff.ranges import Ranges
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.engine.device import Buffer, Device
    from blockdiff.exportdiff.chain import Chain

_BATCH = 4096
_ON_TOP = combine_table(lambda over, under: under if over is None else over)


class OverlayDevice:
    """``base`` (None: nothing, all zero) with ``ranges`` over it, as an image of ``size`` bytes. Read-only.

    ``snapshot`` is the name of the one that it is, where that is known. All it is given is its own, and closed with it.
    """

    digest_by_reading = True  # what it is compared with may digest what this gives, rather than move its own bytes

    def __init__(
        self, base: Device | None, ranges: Ranges, size: int, *, snapshot: str = "", chain: Chain | None = None
    ) -> None:
        self._base, self._ranges, self.size, self.snapshot, self._chain = base, ranges, size, snapshot, chain
        self._below = 0 if base is None else min(base.size, size)
        self.block_size = 512 if base is None else base.block_size
        self.url = " + ".join([*([] if base is None else [base.url]), *ranges.names])
        self._open = True

    @property
    def changed(self) -> Extents:
        """The ranges that the diffs gave: data and zero."""
        return self._ranges.extents

    def pread_into(self, buffer: Buffer, offset: int) -> None:
        """Fills the whole buffer from wherever each part stands."""
        self._check("read")
        with memoryview(buffer) as whole, whole.cast("B") as view:
            end = offset + len(view)
            if end > self.size and len(view):
                at = max(offset, self.size)
                raise ShortRead("the image ends here", url=self.url, action="read", offset=at, length=end - at)
            at, index = offset, self._ranges.first(offset)
            while at < end:
                start, stop = self._ranges.span(index) or (end, end)
                if at < start:
                    upto = min(start, end)
                    self._read_base(view[at - offset : upto - offset], at)
                    at = upto
                elif at < stop:
                    upto = min(stop, end)
                    self._ranges.read(index, view[at - offset : upto - offset], at - start)
                    at, index = upto, index + 1
                else:
                    index += 1

    def _read_base(self, view: memoryview, at: int) -> None:
        have = max(0, min(self._below - at, len(view)))
        if have and self._base is not None:
            self._base.pread_into(view[:have], at)
        if have < len(view):
            view[have:] = bytes(len(view) - have)

    def extents(self, start: int = 0, length: int | None = None) -> Iterator[Extents]:
        """What the diffs say; elsewhere what the base says; what is in neither is a hole."""
        self._check("map")
        end = self.size if length is None else start + length
        if start < end:
            yield from Merge([self.changed.clip(start, end)], self._under(start, end), _ON_TOP, _BATCH)

    def _under(self, start: int, end: int) -> Iterator[Extents]:
        middle = max(start, min(end, self._below))
        if self._base is not None and start < middle:
            yield from self._base.extents(start, middle - start)
        if middle < end:
            yield Extents([(middle, end - middle, Kind.HOLE)])

    def changes(self) -> str:
        """What happened to the base or to a file since they were opened, in words."""
        of_base = getattr(self._base, "changes", None)
        told = [of_base() if of_base is not None else ""]
        told += [file.changes() for file in self._chain.files] if self._chain is not None else []
        return "; ".join(filter(None, told))

    def evidence(self) -> dict[str, Any]:
        """What tells the base, and the files of the diffs, from others: for checkpoints."""
        from blockdiff.exportdiff.evidence import overlay_evidence

        return overlay_evidence(self._base, self._chain)

    def in_use(self) -> str:
        """Who else uses the base, in words."""
        return str(getattr(self._base, "in_use", str)())

    @property
    def identity(self) -> object:
        """That of the base: an image with its own changes over it proves nothing against itself."""
        return getattr(self._base, "identity", None)

    def clone(self) -> OverlayDevice:
        """The same image with handles of its own; the index is shared."""
        self._check("open")
        base = None if self._base is None else self._base.clone()
        return OverlayDevice(base, self._ranges.clone(), self.size, snapshot=self.snapshot)

    def fileno(self) -> int | None:
        """The kernel knows nothing of it."""
        return None

    def close(self) -> None:
        """Gives all handles back; every later use is an error."""
        self._open = False
        self._ranges.close()
        for part in (self._base, self._chain):
            if part is not None:
                part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self, action: str) -> None:
        if not self._open:
            raise DeviceError("it is closed", url=self.url, action=action)


def lay_over(base: Device | None, chain: Chain) -> OverlayDevice:
    """The image that ``base`` is after the chain; a chain that begins from nothing needs no base. InvalidInput."""
    if chain.from_name is None and base is not None:
        raise InvalidInput(f"{chain.files[0].name} is a whole image and needs none below it: {base.url}")
    if chain.from_name is not None and base is None:
        raise InvalidInput(
            f"{chain.files[0].name} has the changes since snapshot {chain.from_name!r}: "
            "name the image as it was then before it"
        )
    ranges = _ranges(chain, None if base is None else base.size)
    return OverlayDevice(base, ranges, chain.size, snapshot=chain.to_name or "", chain=chain)


def changes_of(chain: Chain, base_size: int) -> tuple[OverlayDevice, Extents]:
    """What a chain makes of an image of this size, and the ranges in which that is known; zeroes elsewhere."""
    made = OverlayDevice(None, _ranges(chain, base_size if chain.from_name is not None else None), chain.size)
    known = made.changed if chain.from_name is not None or not chain.size else Extents([(0, chain.size)])
    return made, known


def _ranges(chain: Chain, base_size: int | None) -> Ranges:
    columns = flatten(chain.layers, base_size)
    return Ranges(columns, [os.dup(file.fileno()) for file in chain.files], [file.name for file in chain.files])
