"""Sets of extents made of lists, and what is known of the result: of what it is, and how large its volume is."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from blockdiff._fast import SET_TABLES, Aligner, Extents, Merge, combine_table
from blockdiff.engine.stream import ascending, coalesce
from blockdiff.errors import InvalidInput
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from blockdiff.engine.extentlist import ExtentList

    Batches = Iterable[Extents]

MAPS = ("qemu", "nbd", "ovirt")
"""Formats that name every byte of a volume: what such a list leaves out is not known."""

ALLOCATION, CHANGES = "allocation", "changes"
OPERATIONS = ("union", "intersect", "subtract", "complement", "align", "convert")
_TOP = (1 << 63) - 1


class Algebra:
    """An operation on lists; iterate ``batches()`` once for its extents.

    ``context`` is ``allocation`` or ``changes``, of what the result is a list; None where the lists do not say.
    ``capacity`` is the volume's size: given, or as the lists have it; it is known at the end at the latest.
    ``left_out`` has the bytes of holes and of what did not change that are no part of the result. Unless
    ``partial``, a map (see MAPS) that leaves bytes out is refused. InvalidInput says what does not fit together.
    """

    def __init__(
        self,
        operation: str,
        lists: Sequence[ExtentList],
        *,
        context: str | None = None,
        capacity: int | None = None,
        granularity: int = 0,
        partial: bool = False,
    ) -> None:
        self.operation, self.lists, self.partial = operation, lists, partial
        self.granularity = granularity
        self._given = capacity
        self.context = context or self._said()
        self.left_out: dict[str, int] = {}
        self._reach = 0  # where what the lists name ends, as far as they were read
        self._check_capacities()

    def _said(self) -> str | None:
        """What the lists say they are of. Parts of the first list are of what it is of."""
        asked = self.lists[:1] if self.operation in ("intersect", "subtract") else self.lists
        said = {listed.context for listed in asked if listed.format != "empty"}
        return said.pop() if len(said) == 1 and self.operation != "complement" else None

    @property
    def capacity(self) -> int | None:
        """The volume's size as far as it is known."""
        if self._given is not None:
            return self._given
        return next((listed.capacity for listed in self.lists if listed.capacity), None)

    def end(self) -> int:
        """The volume's size, when all was read: a map ends where its volume ends. InvalidInput if nothing says it."""
        if self.capacity is not None:
            return self.capacity
        ends = {listed.end for listed in self.lists if listed.format in MAPS and not self.partial}
        if len(ends) == 1:
            return ends.pop()
        if ends:
            raise InvalidInput(f"the maps are of volumes of {_and(ends)} bytes: say how large it is, by --capacity")
        raise InvalidInput("how large the volume is is not known from the list: say it, by --capacity")

    def may_know_the_end(self) -> bool:
        """False where it is clear before all is read that nothing will say how large the volume is."""
        return self.capacity is not None or any(
            listed.format in MAPS or listed.format == "lister" for listed in self.lists
        )

    def batches(self) -> Iterator[Extents]:
        """The result, in memory of a few batches for each list."""
        for batch in _MAKERS[self.operation](self):
            if self.capacity is not None and len(batch) and batch.end > self.capacity:
                raise InvalidInput(f"an extent ends at {batch.end}, past the volume's size, {self.capacity}")
            yield batch
        self._check_capacities()
        self._check_reach()

    def members(self, listed: ExtentList, *, holes: bool = False) -> Iterator[Extents]:
        """What a list names as changed, or as allocated; holes too if they are wanted and are no unchanged ranges."""
        unchanged = listed.context == CHANGES
        word = "unchanged" if unchanged else "hole"
        for batch in listed:
            kept, dropped = batch, batch.total(Kind.HOLE)
            if dropped and (unchanged or not holes):
                kept = batch.only(*_MEMBERS)
                self.left_out[word] = self.left_out.get(word, 0) + dropped
            self._check_gap(listed)
            if len(kept):
                self._reach = max(self._reach, kept.end)
                self._check_reach()
                yield kept
        self._check_gap(listed, ended=True)

    def _check_gap(self, listed: ExtentList, *, ended: bool = False) -> None:
        if self.partial or listed.format not in MAPS:
            return
        gap = listed.gap
        if gap is None and ended and self.capacity is not None and listed.end < self.capacity:
            gap = listed.end
        if gap is not None:
            raise InvalidInput(
                f"{listed.name} says nothing of the bytes from {gap} on, and a map of {listed.format} says all: with "
                "--partial it is taken as a list of what it names"
            )

    def _check_reach(self) -> None:
        """No list goes past the volume, also where nothing of that comes out."""
        if self.capacity is not None and self._reach > self.capacity:
            raise InvalidInput(f"an extent ends at {self._reach}, past the volume's size, {self.capacity}")

    def check_maps(self) -> None:
        """What lies behind the end of a map is not known, so nothing of another list is dropped by it."""
        for listed in self.lists:
            if not self.partial and listed.format in MAPS and listed.end < self._reach:
                raise InvalidInput(
                    f"{listed.name} says nothing of the bytes from {listed.end} on, and other lists name some up to "
                    f"{self._reach}: with --partial it is taken as a list of what it names"
                )

    def _check_capacities(self) -> None:
        """All lists are of one volume, as far as they say."""
        if self._given is not None:
            return
        said = {listed.capacity: listed.name for listed in self.lists if listed.capacity}
        if len(said) > 1:
            sizes = ", ".join(f"{name} of {size}" for size, name in said.items())
            raise InvalidInput(f"the lists are of volumes of different sizes, in bytes: {sizes}; say it, by --capacity")

    def sets(self) -> list[Iterator[Extents]]:
        """The members of each list."""
        return [self.members(listed) for listed in self.lists]


_MEMBERS = tuple(kind for kind in Kind if kind is not Kind.HOLE)


def _and(values: Iterable[int]) -> str:
    return " and ".join(str(value) for value in sorted(values))


def least(a: int | None, b: int | None) -> int | None:
    """The kind of a byte of a union: what both say, else the one that promises nothing."""
    if a is None or b is None or a == b:
        return b if a is None else a
    return Kind.DIFF_DATA if min(a, b) >= Kind.DIFF_DATA else Kind.DATA


def folded(sets: Sequence[Batches], table: bytes) -> Batches:
    """One merge of all, as a tree: a byte passes as many merges as the tree is deep."""
    if len(sets) == 1:
        return sets[0]
    middle = len(sets) // 2
    return Merge(folded(sets[:middle], table), folded(sets[middle:], table), table)


@functools.cache
def union_table() -> bytes:
    """What ``least`` says, for every pair of kinds."""
    return combine_table(least, Kind, Kind)


def _union(algebra: Algebra) -> Iterator[Extents]:
    return coalesce(folded(algebra.sets(), union_table()))


def _intersect(algebra: Algebra) -> Iterator[Extents]:
    yield from coalesce(folded(algebra.sets(), SET_TABLES["intersect"]))
    algebra.check_maps()


def _subtract(algebra: Algebra) -> Iterator[Extents]:
    first, *others = algebra.sets()
    return coalesce(Merge(first, folded(others, SET_TABLES["union"]), SET_TABLES["subtract"]))


def _complement(algebra: Algebra) -> Iterator[Extents]:
    (stream,) = algebra.sets()
    return whole(algebra, stream, "subtract", Kind.DATA)


def _align(algebra: Algebra) -> Iterator[Extents]:
    (stream,) = algebra.sets()
    aligner = Aligner(algebra.granularity, algebra.capacity, exact=True)
    for batch in ascending(coalesce(stream)):
        if len(finished := aligner.feed(batch)):
            yield finished
    if len(rest := aligner.finish()):
        yield rest


def _convert(algebra: Algebra) -> Iterator[Extents]:
    (listed,) = algebra.lists
    return algebra.members(listed, holes=True)


_MAKERS: dict[str, Callable[[Any], Iterator[Extents]]] = {
    "union": _union,
    "intersect": _intersect,
    "subtract": _subtract,
    "complement": _complement,
    "align": _align,
    "convert": _convert,
}


def whole(algebra: Algebra, stream: Batches, how: str, kind: Kind) -> Iterator[Extents]:
    """A stream with the rest of the volume: ``union`` adds it as extents of a kind, ``subtract`` gives it alone.

    How large the volume is may be known only when the stream has ended.
    """
    everything = [Extents([(0, _TOP, kind)])]
    first, second = (stream, everything) if how == "union" else (everything, stream)
    for batch in Merge(first, second, SET_TABLES[how]):
        cut = batch
        if len(batch) and batch.end == _TOP:
            end = algebra.end()
            if (last := batch[-1].offset) > end:
                raise InvalidInput(f"an extent ends at {last}, past the volume's size, {end}")
            cut = batch.clip(0, end)
        if len(cut):
            yield cut
