"""Which snapshots of two sides are the same, and how that is known. Pure.

A name alone proves nothing: it may have been given again. Two snapshots are the same if their content id is; where one
of the ids is unknown, if they have one name and one instant. The rest is told: conflicts, and what nobody can prove.
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from blockdiff.snapshot import Snapshot

    InstantOf = Callable[[str], dt.datetime | None]

EXACT = dt.timedelta(0)
TWICE = "the name stands more than once on a side"


class Evidence(StrEnum):
    """How two snapshots are known to be the same."""

    CONTENT = "content"  # one content id
    INSTANT = "instant"  # one name, and one instant
    NAME = "name"  # one name only: the caller asked for it


class Match(NamedTuple):
    """The same snapshot on both sides."""

    source: Snapshot
    target: Snapshot
    by: Evidence

    @property
    def renamed(self) -> bool:
        """One content, two names."""
        return self.source.name != self.target.name


class Doubt(NamedTuple):
    """Two snapshots of one name that are not, or may not be, the same; ``reason`` is in words."""

    source: Snapshot
    target: Snapshot
    reason: str


class Comparison(NamedTuple):
    """Two sides compared. All in the order of the source, except ``extra``, which is in that of the target.

    ``conflicts`` have one name, and are not the same. ``unproven`` have one name, and nothing else is known.
    ``missing`` are only on the source, ``extra`` only on the target: their name is not on the other side.
    """

    matches: tuple[Match, ...]
    conflicts: tuple[Doubt, ...]
    unproven: tuple[Doubt, ...]
    missing: tuple[Snapshot, ...]
    extra: tuple[Snapshot, ...]

    @property
    def renamed(self) -> tuple[Match, ...]:
        """The same content under another name."""
        return tuple(match for match in self.matches if match.renamed)

    @property
    def base(self) -> Match | None:
        """The best base of what is to be sent: the newest match."""
        return self.matches[-1] if self.matches else None


@lru_cache(maxsize=1 << 17)  # all disks of a machine have the same tags, and so have both sides
def tag_instant(name: str) -> dt.datetime | None:
    """The instant that a tag names; None for a name that is no tag. Of a tag the name is the scheduled time."""
    if not name.startswith(("auto-", "manual-")):
        return None
    from blockdiff.tag import Tag, TagError

    try:
        return Tag.parse(name).time
    except TagError:
        return None


def compare(
    source: Sequence[Snapshot],
    target: Sequence[Snapshot],
    *,
    by_name: bool = False,
    dates: bool = True,
    tolerance: dt.timedelta = EXACT,
    instant: InstantOf = tag_instant,
) -> Comparison:
    """Compares the snapshots of one volume on two sides, each in the order of its storage, oldest first.

    ``dates``: ``created`` is the instant of the content, also in a copy; False if a copy gets a date of its own, which
    then proves nothing. They may differ by ``tolerance``, for a side that states whole seconds. ``instant`` reads an
    instant from a name, such as a tag's. ``by_name``: one name is enough where nothing else is known.

    Raises InvalidInput for an id that stands twice on a side, and for dates without a time zone.
    """
    if tolerance < EXACT:
        raise InvalidInput(f"a tolerance of {tolerance} is less than nothing")
    for side in (source, target):
        check(side)
    return _Comparing(source, target, by_name, dates, tolerance, instant).run()


def best_common_base(
    source: Sequence[Snapshot],
    target: Sequence[Snapshot],
    *,
    by_name: bool = False,
    dates: bool = True,
    tolerance: dt.timedelta = EXACT,
    instant: InstantOf = tag_instant,
) -> Match | None:
    """The newest snapshot of the source that the target has too: what the next increment is on top of.

    The arguments are those of ``compare``. A conflict is never a base.
    """
    return compare(source, target, by_name=by_name, dates=dates, tolerance=tolerance, instant=instant).base


def check(snapshots: Iterable[Snapshot]) -> None:
    """InvalidInput for what stands twice, a snapshot without a name, and a date without a time zone."""
    seen: dict[str, Snapshot] = {}
    known: set[Snapshot] = set()
    for snapshot in snapshots:
        if not snapshot.name:
            raise InvalidInput(f"a snapshot of {snapshot.volume!r} has no name")
        if snapshot.created is not None and snapshot.created.utcoffset() is None:
            raise InvalidInput(f"{snapshot} was created at {snapshot.created}: the time zone is missing")
        if snapshot.id and seen.setdefault(snapshot.id, snapshot) is not snapshot:
            raise InvalidInput(f"{seen[snapshot.id]} and {snapshot} have one id, {snapshot.id!r}")
        if snapshot in known:
            raise InvalidInput(f"{snapshot} is listed twice, and nothing tells the two apart")
        known.add(snapshot)


class _Comparing:
    """One comparison: ``pair`` maps numbers of the source to numbers of the target."""

    def __init__(
        self,
        source: Sequence[Snapshot],
        target: Sequence[Snapshot],
        by_name: bool,
        dates: bool,
        tolerance: dt.timedelta,
        instant: InstantOf,
    ) -> None:
        self._source, self._target = source, target
        self._by_name, self._dates, self._tolerance, self._instant = by_name, dates, tolerance, instant
        self._ours, self._theirs = _by_name(source), _by_name(target)
        self._pair: dict[int, tuple[int, Evidence]] = {}
        self._taken: dict[int, int] = {}
        self._told: set[int] = set()
        self._conflicts: list[Doubt] = []
        self._unproven: list[Doubt] = []

    def run(self) -> Comparison:
        self._by_content()
        for number, ours in enumerate(self._source):
            there = self._theirs.get(ours.name)
            if there is not None:
                self._judge(number, ours, there)
        self._leftovers()
        named, matched = self._ours.keys(), self._taken
        source, target, pair = self._source, self._target, self._pair
        return Comparison(
            tuple(Match(source[one], target[pair[one][0]], pair[one][1]) for one in sorted(pair)),
            tuple(self._conflicts),
            tuple(self._unproven),
            tuple(s for one, s in enumerate(source) if one not in pair and s.name not in self._theirs),
            tuple(s for one, s in enumerate(target) if one not in matched and s.name not in named),
        )

    def _match(self, ours: int, theirs: int, by: Evidence) -> None:
        self._pair[ours], self._taken[theirs] = (theirs, by), ours

    def _by_content(self) -> None:
        """Those of one name first; then the oldest with the oldest: each snapshot is matched once."""
        for key in (_content_and_name, _content):
            free: dict[object, list[int]] = {}
            for number in reversed(range(len(self._target))):
                if number not in self._taken and self._target[number].content:
                    free.setdefault(key(self._target[number]), []).append(number)
            for number, ours in enumerate(self._source):
                if number not in self._pair and ours.content and (found := free.get(key(ours))):
                    self._match(number, found.pop(), Evidence.CONTENT)

    def _judge(self, number: int, ours: Snapshot, there: list[int]) -> None:
        """A snapshot of the source whose name is on the target too."""
        found = self._pair.get(number)
        if found is not None and found[0] in there:
            return
        theirs = self._target[there[-1]]
        why = self._conflict(number, ours, there, theirs)
        if why:
            self._conflicts.append(Doubt(ours, theirs, why))
            self._told.add(there[-1])
        elif self._one_instant(ours, theirs):
            self._match(number, there[0], Evidence.INSTANT)
        elif self._by_name:
            self._match(number, there[0], Evidence.NAME)
        else:
            self._unproven.append(Doubt(ours, theirs, "they have one name; nothing says that they are the same"))
            self._told.add(there[-1])

    def _leftovers(self) -> None:
        """What of the target has a name of the source, and was not told of yet."""
        for number, theirs in enumerate(self._target):
            here = self._ours.get(theirs.name)
            if here is None or number in self._taken or number in self._told:
                continue
            self._conflicts.append(Doubt(self._source[here[-1]], theirs, TWICE))

    def _conflict(self, number: int, ours: Snapshot, there: list[int], theirs: Snapshot) -> str:
        """Why the two are not the same; empty if they may be."""
        if number in self._pair:
            other = self._target[self._pair[number][0]]
            return f"its content is in {other.name!r} there"
        if len(there) > 1 or len(self._ours[ours.name]) > 1:
            return TWICE
        if ours.content and theirs.content:
            return "they have other content"
        if there[0] in self._taken:
            return f"what has that name there is {self._source[self._taken[there[0]]].name!r} here"
        apart = self._apart(ours, theirs)
        if apart is not None and apart > self._tolerance:
            return f"they are of other instants, {_words(apart)} apart"
        return ""

    def _apart(self, ours: Snapshot, theirs: Snapshot) -> dt.timedelta | None:
        if not self._dates or ours.created is None or theirs.created is None:
            return None
        return abs(ours.created - theirs.created)

    def _one_instant(self, ours: Snapshot, theirs: Snapshot) -> bool:
        return self._apart(ours, theirs) is not None or self._instant(ours.name) is not None


def _by_name(snapshots: Sequence[Snapshot]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number, snapshot in enumerate(snapshots):
        found.setdefault(snapshot.name, []).append(number)
    return found


def _content_and_name(snapshot: Snapshot) -> object:
    return snapshot.content, snapshot.name


def _content(snapshot: Snapshot) -> object:
    return snapshot.content


def _words(time: dt.timedelta) -> str:
    return f"{time.total_seconds():g} s" if time < dt.timedelta(days=2) else f"{time.days} days"
