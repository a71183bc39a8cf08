"""From lists and options to verdicts: what each snapshot is, which policies there are, and what stays besides."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from blockdiff.cli.retention.naming import named_point
from blockdiff.errors import InvalidInput
from blockdiff.retention.base import common_bases
from blockdiff.retention.chain import State
from blockdiff.retention.entry import NO_TAG
from blockdiff.retention.verdict import Point, Verdict, expired

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from blockdiff.cli.retention.reading import Listed
    from blockdiff.retention.verdict import Policy


class Question(NamedTuple):
    """What is asked about every volume alike.

    ``match`` has patterns of names that are managed though they are no tags; ``replicas`` other lists by their name;
    ``depends`` are texts NAME=BASE. ``coming`` gives the points that will have been made by then (a simulation).
    """

    policies: Sequence[Policy]
    now: dt.datetime
    match: Sequence[str] = ()
    protect: Sequence[str] = ()
    depends: Sequence[str] = ()
    replicas: Sequence[tuple[str, Sequence[Listed]]] = ()
    empty: bool = False
    language: str = "snapper"
    coming: Callable[[Sequence[Point]], Sequence[Point]] = lambda _: ()


class Answer(NamedTuple):
    """The verdict on a snapshot of a volume; ``planned``: it is not there yet."""

    volume: str
    verdict: Verdict
    planned: bool = False


def answers(listed: Sequence[Listed], question: Question) -> tuple[list[Answer], list[str]]:
    """An answer for each snapshot in the order of the list, with those to come at the end, and notes to be told."""
    volumes: dict[str, list[Listed]] = {}
    for one in listed:
        volumes.setdefault(one.snapshot.volume, []).append(one)
    _known(question.protect, listed)
    links = [_link(text, listed) for text in question.depends]
    notes: list[str] = []
    found: dict[tuple[str, str], Answer] = {}
    for volume, members in (volumes or {"": []}).items():
        alone = len(volumes) <= 1
        stay = _replicas(volume, members, question, notes, alone=alone)
        for answer in _of_volume(volume, members, question, links, stay):
            found[volume, answer.verdict.name] = answer
    given = [found.pop((one.snapshot.volume, one.snapshot.name)) for one in listed]
    return [*given, *found.values()], notes


def _of_volume(
    volume: str, listed: Sequence[Listed], question: Question, links: Sequence[tuple[str, str]], stay: dict[str, str]
) -> list[Answer]:
    points = [_point(one, question) for one in listed]
    planned = question.coming(points)
    names = {point.name for point in points}
    depends = {one.snapshot.name: one.base for one in listed if one.base}
    depends |= {name: base for name, base in links if name in names}
    stay |= {one.snapshot.name: one.holds for one in listed if one.holds}
    stay |= {name: "protected" for name in question.protect if name in names}
    verdicts = expired(
        [*points, *(point for point in planned if point.name not in names)],
        question.now,
        question.policies,
        protected=stay,
        depends=depends,
        empty=question.empty,
    )
    here = [Answer(volume, verdict) for verdict in verdicts[: len(points)]]
    return [*here, *(Answer(volume, one, planned=True) for one in verdicts[len(points) :] if not one.expired)]


def _point(one: Listed, question: Question) -> Point:
    snapshot, state = one.snapshot, State[one.state.upper()]
    point = named_point(snapshot.name, question.language)
    if point.foreign != NO_TAG:
        if one.scheduled is not None and one.scheduled != point.time:
            raise InvalidInput(
                f"{snapshot.name!r} is said to be scheduled for {one.scheduled.isoformat()}, not by its name"
            )
        return point._replace(rule=one.rule or point.rule, state=state, foreign=one.foreign or point.foreign)
    managed = one.managed or any(fnmatchcase(snapshot.name, pattern) for pattern in question.match)
    foreign = one.foreign or ("" if managed else NO_TAG)
    return Point(snapshot.name, one.scheduled or snapshot.created, one.series, one.rule, state, foreign)


def _replicas(
    volume: str, listed: Sequence[Listed], question: Question, notes: list[str], *, alone: bool
) -> dict[str, str]:
    own = [one.snapshot for one in listed]
    states = {one.snapshot.name: State[one.state.upper()] for one in listed}
    stay: dict[str, str] = {}
    for label, lines in question.replicas:
        theirs = [one.snapshot for one in _copy_of(volume, lines, label, alone=alone) if one.state == "complete"]
        bases = common_bases(own, theirs, question.now, label, states=states)
        if not bases:
            of = f"{volume}: " if volume else ""
            notes.append(f"{of}nothing is in common with {label}: the next copy to it will be a full one")
        stay |= bases
    return stay


def _copy_of(volume: str, lines: Sequence[Listed], label: str, *, alone: bool) -> Sequence[Listed]:
    """Of a replica the lines of a volume, which may be called otherwise there if there is one only on both sides."""
    there = {one.snapshot.volume for one in lines}
    if len(there) <= 1 and (alone or there <= {"", volume}):
        return lines
    if "" in there or not volume:
        raise InvalidInput(f"{label} names volumes, and here none is named, or the other way round: name them on both")
    return [one for one in lines if one.snapshot.volume == volume]


def _known(protect: Sequence[str], listed: Sequence[Listed]) -> None:
    names = {one.snapshot.name for one in listed}
    for name in protect:
        if name not in names:
            raise InvalidInput(f"--protect {name}: there is no such snapshot among those given")


def _link(text: str, listed: Sequence[Listed]) -> tuple[str, str]:
    """Name and base of NAME=BASE; a name may have that sign itself."""
    names = {one.snapshot.name for one in listed}
    parts = text.split("=")
    found = [("=".join(parts[:at]), "=".join(parts[at:])) for at in range(1, len(parts))]
    known = [(name, base) for name, base in found if name in names and base in names]
    if len(known) != 1:
        raise InvalidInput(f"--depends {text}: NAME=BASE is wanted, both of them snapshots among those given")
    return known[0]
