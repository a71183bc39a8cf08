"""What two blocks that differ say about what has happened: comparisons of bytes, and never a guess.

All is exact: a class is named only where all the bytes that differ are equal to what the class names. A block has 4096
bytes, a sector 512; the last of a device may be shorter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Near = Callable[[int, bytes], Sequence[int]]
    """(place in the block, bytes) -> by how much further these bytes stand in the source, in all places nearby."""

BLOCK, SECTOR = 4096, 512
MIN_VALUES = 16  # different byte values that bytes must have to be recognised elsewhere
FINDINGS = (
    "stale",
    "torn",
    "bit-flip",
    "shifted",
    "dst-zero",
    "src-zero",
    "size",
    "src-hole",
    "dst-hole",
    "equal-now",
    "unreadable",
    "unknown",
)
_ZEROES = bytes(BLOCK)


class Evidence(NamedTuple):
    """A finding and what it rests on. ``history``: which of the histories hold the target's bytes.

    ``whole``: not only the sectors that differ, but all of the block. ``shift``: how much further in the source the
    bytes stand; ``shifts`` all candidates. Of a flipped bit: ``byte``, its place in the block, ``bit`` (0 the lowest),
    ``old`` and ``new``, the source's and the target's byte. ``arrived``: start and end in the block of what equals the
    source; ``rest`` is what the others are: ``history`` or ``zeroes``.
    """

    finding: str
    history: tuple[int, ...] = ()
    whole: bool = False
    shift: int = 0
    shifts: tuple[int, ...] = ()
    byte: int = 0
    bit: int = 0
    old: int = 0
    new: int = 0
    arrived: tuple[int, int] = (0, 0)
    rest: str = ""


def judge(
    source: bytes,
    target: bytes,
    *,
    old: Sequence[bytes | None] = (),
    digested: Sequence[int] = (),
    near: Near | None = None,
    part: tuple[int, int] = (0, BLOCK),
) -> Evidence | None:
    """The evidence of one block; None where it is equal.

    ``old`` is what each history has there (None: it has not all of it), ``digested`` the histories whose digest is that
    of the target, ``near`` finds bytes in the source. ``part`` of the block is what was found different by itself, with
    a granularity below that of blocks.
    """
    if source == target:
        return None
    sectors = differing_sectors(source, target)
    same = tuple(sorted({*(i for i, h in enumerate(old) if h is not None and _equal(target, h, sectors)), *digested}))
    if is_zero(target):
        return Evidence("dst-zero", history=same, whole=True)
    found = _of_history(source, target, old, digested, sectors, same)
    if found is not None:
        return found
    found = _flip(source, target, part) or _torn_zeroes(source, target, sectors)
    if found is not None:
        return found
    low, high = part
    if is_zero(target[low:high]):
        return Evidence("dst-zero")
    shifts = _shifts(target, sectors, near)
    if len(shifts) == 1:
        return Evidence("shifted", shift=shifts[0], shifts=shifts)
    return Evidence("src-zero" if is_zero(source[low:high]) else "unknown", shifts=shifts)


def is_zero(data: bytes) -> bool:
    """Whether all bytes are zero."""
    return data == _ZEROES[: len(data)]


def differing_sectors(source: bytes, target: bytes) -> list[int]:
    """The numbers of the sectors that differ."""
    return [
        at // SECTOR for at in range(0, len(source), SECTOR) if source[at : at + SECTOR] != target[at : at + SECTOR]
    ]


def _equal(target: bytes, old: bytes, sectors: Sequence[int]) -> bool:
    """Whether the target has the old bytes in all of these sectors."""
    return all(target[i * SECTOR : (i + 1) * SECTOR] == old[i * SECTOR : (i + 1) * SECTOR] for i in sectors)


def _of_history(
    source: bytes,
    target: bytes,
    old: Sequence[bytes | None],
    digested: Sequence[int],
    sectors: Sequence[int],
    same: tuple[int, ...],
) -> Evidence | None:
    """Stale or torn: all that differs is as it was."""
    whole = tuple(i for i in same if i in digested or old[i] == target)
    if whole:
        return Evidence("stale", history=whole, whole=True)
    for i in same:
        arrived = _arrived(source, target, old[i] or b"", sectors)
        if arrived is not None:
            return Evidence("torn", history=(i,), arrived=arrived, rest="history")
    return Evidence("stale", history=same) if same else None


def _arrived(source: bytes, target: bytes, old: bytes, sectors: Sequence[int]) -> tuple[int, int] | None:
    """The one part, at the begin or the end of the block, that is the source's and new, where all else is old."""
    first, last = sectors[0] * SECTOR, min((sectors[-1] + 1) * SECTOR, len(source))
    if target[first:] == old[first:] and source[:first] != old[:first]:
        return 0, first
    if target[:last] == old[:last] and source[last:] != old[last:]:
        return last, len(source)
    return None


def _torn_zeroes(source: bytes, target: bytes, sectors: Sequence[int]) -> Evidence | None:
    """A part at the begin or the end of the block is the source's and not zero, all else is zero."""
    first, last = sectors[0] * SECTOR, min((sectors[-1] + 1) * SECTOR, len(source))
    if is_zero(target[first:]) and not is_zero(target[:first]):
        return Evidence("torn", arrived=(0, first), rest="zeroes")
    if is_zero(target[:last]) and not is_zero(target[last:]):
        return Evidence("torn", arrived=(last, len(source)), rest="zeroes")
    return None


def _flip(source: bytes, target: bytes, part: tuple[int, int]) -> Evidence | None:
    """A single bit of the part differs."""
    low, high = part
    bits = int.from_bytes(source[low:high], "little") ^ int.from_bytes(target[low:high], "little")
    if bits.bit_count() != 1:
        return None
    byte, bit = divmod(bits.bit_length() - 1 + 8 * low, 8)
    return Evidence("bit-flip", byte=byte, bit=bit, old=source[byte], new=target[byte])


def _shifts(target: bytes, sectors: Sequence[int], near: Near | None) -> tuple[int, ...]:
    """By how much the differing bytes are out of place, for each place nearby where the source has them."""
    first, last = sectors[0] * SECTOR, (sectors[-1] + 1) * SECTOR
    moved = target[first:last]
    if near is None or len(moved) < SECTOR or len(set(moved)) < MIN_VALUES:
        return ()
    return tuple(near(first, moved))
