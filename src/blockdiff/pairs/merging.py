"""Puts what several volumes list in order into one order, equal things together. Pure."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence


def merged(lists: Mapping[str, Sequence[Hashable]]) -> Iterator[tuple[str, int]]:
    """Every (list, place in it), each list in its own order, and equal items one after the other where that allows it.

    Lists may leave items out that others have. Where two contradict each other the first list decides.
    """
    heads = _Heads(lists)
    while (names := heads.take()) is not None:
        for name in names:
            yield name, heads.advance(name)


class _Heads:
    """The next item of each list. An item is ready when all lists that still have it have come to it."""

    def __init__(self, lists: Mapping[str, Sequence[Hashable]]) -> None:
        self._lists = lists
        self._order = {name: number for number, name in enumerate(lists)}
        self._place = dict.fromkeys(lists, 0)
        self._left: dict[Hashable, int] = {}
        self._first: dict[Hashable, int] = {}
        for items in lists.values():
            for item in items:
                self._left[item] = self._left.get(item, 0) + 1
                self._first.setdefault(item, len(self._first))
        self._at: dict[Hashable, list[str]] = {}
        self._ready: list[tuple[int, Hashable]] = []
        self._waiting: list[tuple[int, Hashable]] = []
        for name in lists:
            self._come(name)

    def take(self) -> list[str] | None:
        """The lists whose next item is the next of all; None at the end."""
        for heap in (self._ready, self._waiting):
            while heap:
                _, item = heapq.heappop(heap)
                if names := self._at.pop(item, None):
                    self._left[item] -= len(names)
                    return sorted(names, key=self._order.__getitem__)
        return None

    def advance(self, name: str) -> int:
        """Goes on in a list; the place that was taken."""
        place = self._place[name]
        self._place[name] = place + 1
        self._come(name)
        return place

    def _come(self, name: str) -> None:
        items, place = self._lists[name], self._place[name]
        if place == len(items):
            return
        item = items[place]
        at = self._at.setdefault(item, [])
        at.append(name)
        entry = self._first[item], item
        if len(at) == self._left[item]:
            heapq.heappush(self._ready, entry)
        elif len(at) == 1:
            heapq.heappush(self._waiting, entry)
