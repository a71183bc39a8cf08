"""A plan: which pairs of snapshots a command is to go over, in which groups, and what cannot be planned. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff.pairs.group import common_base, each_alone, groups
from blockdiff.pairs.match import EXACT, Comparison, compare, tag_instant
from blockdiff.pairs.merging import merged
from blockdiff.pairs.steps import increments, next_steps

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from blockdiff.pairs.group import Group, Grouping
    from blockdiff.pairs.match import InstantOf, Match
    from blockdiff.snapshot import Snapshot, SnapshotPair

    Volumes = Mapping[str, Sequence[Snapshot]]


class Purpose(StrEnum):
    """What is to be done with the pairs."""

    VERIFY = "verify"
    DIFF = "diff"
    COPY = "copy"


class PlannedPair(NamedTuple):
    """One pair of one volume. ``group`` is a place in ``Plan.groups``.

    verify: ``source`` against ``target``, known to be the same by ``by``. diff: what ``source`` has that ``base`` has
    not. copy: the same, to the volume of that name on the target.
    """

    volume: str
    group: int
    base: Snapshot | None
    source: Snapshot
    target: Snapshot | None = None
    by: str = ""


class Lack(NamedTuple):
    """A volume that has no pair at a tag of its group, and why."""

    volume: str
    reason: str


class PlannedGroup(NamedTuple):
    """One tag of one group: ``pairs`` are places in ``Plan.pairs``. With something lacking it is not complete."""

    name: str
    tag: str
    pairs: tuple[int, ...]
    lacking: tuple[Lack, ...]

    @property
    def complete(self) -> bool:
        """Every volume of the group has its pair."""
        return not self.lacking


class Plan(NamedTuple):
    """``comparisons`` are those of volumes that both sides have. ``notes`` are lines to be told."""

    purpose: Purpose
    pairs: tuple[PlannedPair, ...]
    groups: tuple[PlannedGroup, ...]
    comparisons: Mapping[str, Comparison]
    missing_volumes: tuple[str, ...]
    extra_volumes: tuple[str, ...]
    notes: tuple[str, ...]


def plan(
    source: Volumes,
    target: Volumes | None,
    purpose: Purpose,
    *,
    grouping: Grouping = each_alone,
    by_name: bool = False,
    dates: bool = True,
    tolerance: dt.timedelta = EXACT,
    instant: InstantOf = tag_instant,
) -> Plan:
    """Plans over volumes, which have one name on both sides. Only ``diff`` can do without a target.

    The other arguments are those of ``compare`` and ``groups``.
    """
    options: dict[str, Any] = {"by_name": by_name, "dates": dates, "tolerance": tolerance, "instant": instant}
    there = target or {}
    found = {name: compare(made, there[name], **options) for name, made in source.items() if name in there}
    planning = _Planning(source, target, found, grouping)
    made = planning.verify() if purpose is Purpose.VERIFY else planning.steps(purpose)
    pairs, planned = made
    return Plan(
        purpose,
        tuple(pairs),
        tuple(planned),
        found,
        tuple(name for name in source if target is not None and name not in target),
        tuple(name for name in there if name not in source),
        tuple(planning.notes),
    )


class _Planning:
    def __init__(
        self, source: Volumes, target: Volumes | None, compared: Mapping[str, Comparison], grouping: Grouping
    ) -> None:
        self._source, self._target, self._compared, self._grouping = source, target, compared, grouping
        self._groups = groups(source, grouping)
        self._there = {name: {match.source for match in found.matches} for name, found in compared.items()}
        self.notes: list[str] = []

    # ---- verify ----

    def verify(self) -> tuple[list[PlannedPair], list[PlannedGroup]]:
        """Each match, at its place in its group; a group of which the target has nothing at all is only missing."""
        pairs: list[PlannedPair] = []
        planned: list[PlannedGroup] = []
        matched = {name: {m.source: m for m in found.matches} for name, found in self._compared.items()}
        why = {name: _reasons(found) for name, found in self._compared.items()}
        for group in self._groups:
            first, lacking, doubt = len(pairs), [], False
            for volume, snapshot in group.members:
                match = matched.get(volume, {}).get(snapshot)
                if match is not None:
                    pairs.append(PlannedPair(volume, len(planned), None, snapshot, match.target, match.by.value))
                    continue
                reason = why.get(volume, {}).get(snapshot, "")
                doubt = doubt or bool(reason)
                lacking.append(Lack(volume, reason or self._absence(volume)))
            if first == len(pairs) and not doubt:
                continue
            lacking += [Lack(volume, "it is not on the source") for volume in group.lacking]
            planned.append(PlannedGroup(group.name, group.tag, tuple(range(first, len(pairs))), tuple(lacking)))
        return pairs, planned

    def _absence(self, volume: str) -> str:
        return "it is not on the target" if volume in self._compared else "the target has no such volume"

    # ---- diff and copy ----

    def steps(self, purpose: Purpose) -> tuple[list[PlannedPair], list[PlannedGroup]]:
        """What is to be sent of each volume, in order, and the groups that this brings."""
        chosen = self._bases() if purpose is Purpose.DIFF else {}
        sent = {volume: self._steps(volume, purpose, chosen) for volume in self._source}
        keys = {
            volume: [(self._grouping(volume, pair.target.name), pair.target.name) for pair in steps]
            for volume, steps in sent.items()
        }
        pairs: list[PlannedPair] = []
        places: dict[tuple[str, str], list[int]] = {}
        numbers: dict[tuple[str, str], int] = {}
        for volume, place in merged(keys):
            key = keys[volume][place]
            places.setdefault(key, []).append(len(pairs))
            pairs.append(PlannedPair(volume, numbers.setdefault(key, len(numbers)), *sent[volume][place]))
        known = {(group.name, group.tag): group for group in self._groups}
        return pairs, [
            PlannedGroup(*key, tuple(found), tuple(self._lacking(known[key], {pairs[place].volume for place in found})))
            for key, found in places.items()
        ]

    def _lacking(self, group: Group, have: set[str]) -> list[Lack]:
        """Members without a pair; one that the target has already lacks nothing."""
        lacking = [
            Lack(volume, "it cannot be sent")
            for volume, snapshot in group.members
            if volume not in have and snapshot not in self._there.get(volume, ())
        ]
        return lacking + [Lack(volume, "it is not on the source") for volume in group.lacking]

    def _steps(self, volume: str, purpose: Purpose, chosen: Mapping[str, Match | None]) -> Sequence[SnapshotPair]:
        made = self._source[volume]
        there = (self._target or {}).get(volume, ())
        if not there:
            return increments(made)
        compared = self._compared[volume]
        base = chosen[volume] if volume in chosen else _same_name(compared)
        if base is None:
            self.notes.append(f"{_of(volume)}no base that both sides have: nothing can be sent on top of what is there")
            return ()
        steps = next_steps(made, there, compared, base)
        if steps.held_back:
            names = ", ".join(f"@{snapshot.name}" for snapshot in steps.held_back)
            self.notes.append(f"{_of(volume)}{names} held back: the target has another, or an unproven, of that name")
        if steps.ahead and purpose is Purpose.COPY:
            names = ", ".join(f"@{snapshot.name}" for snapshot in steps.ahead)
            self.notes.append(f"{_of(volume)}the target went on after its base @{base.target.name}: {names}")
        return steps.pairs

    def _bases(self) -> dict[str, Match | None]:
        """One base for each group: of volumes that the target has snapshots of."""
        together: dict[str, dict[str, Comparison]] = {}
        for volume, found in self._compared.items():
            if self._target and self._target[volume]:
                made = self._source[volume]
                name = self._grouping(volume, made[-1].name if made else "")
                together.setdefault(name, {})[volume] = found
        bases: dict[str, Match | None] = {}
        for name, volumes in together.items():
            alone = len(volumes) == 1
            tag = None if alone else common_base(volumes)
            for volume, found in volumes.items():
                bases[volume] = found.base if alone else _named(found, tag)
            if not alone and tag is None:
                self.notes.append(f"{name}: no tag that all of its volumes have on both sides")
        return bases


def _reasons(compared: Comparison) -> dict[Any, str]:
    found = {doubt.source: f"unproven: {doubt.reason}" for doubt in compared.unproven}
    return found | {doubt.source: f"conflict: {doubt.reason}" for doubt in compared.conflicts}


def _of(volume: str) -> str:
    return f"{volume}: " if volume else ""


def _same_name(compared: Comparison) -> Match | None:
    return next((match for match in reversed(compared.matches) if not match.renamed), None)


def _named(compared: Comparison, tag: str | None) -> Match | None:
    return next((m for m in compared.matches if m.source.name == tag and not m.renamed), None)
