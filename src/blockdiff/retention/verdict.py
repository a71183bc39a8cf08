"""Which snapshots of a volume may be removed, and why each one stays or goes. Pure: nothing is removed here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from blockdiff.errors import InvalidInput
from blockdiff.retention import chain
from blockdiff.retention.chain import State
from blockdiff.retention.choice import terms
from blockdiff.retention.keep import KeepCount
from blockdiff.retention.text import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from blockdiff.retention.choice import Term
    from blockdiff.retention.keep import Retention


class Point(NamedTuple):
    """A snapshot, or a copy of one, as retention sees it: a point in time that one can go back to.

    ``time`` is what it was scheduled for if that is known, else when it was created, with a zone; None is unknown.
    ``series`` names what is counted together, such as a machine; ``rule`` the rule or policy that it was taken for.
    ``foreign`` is why it is nobody's business here: empty if it is managed.
    """

    name: str
    time: dt.datetime | None
    series: str = ""
    rule: str = ""
    state: State = State.COMPLETE
    foreign: str = ""


class Verdict(NamedTuple):
    """What becomes of one snapshot: ``expired`` is true if it may be removed; ``reason`` is in words."""

    name: str
    expired: bool
    reason: str
    time: dt.datetime | None = None


class Policy(NamedTuple):
    """A retention for the points it ``covers``. ``label`` is how reasons call it; without ``keep`` all stay."""

    keep: Retention | None
    label: str = ""
    zone: dt.tzinfo = dt.UTC
    covers: Callable[[Point], bool] = lambda _: True


def expired(
    points: Iterable[Point],
    now: dt.datetime,
    policies: Retention | Sequence[Policy],
    *,
    zone: dt.tzinfo = dt.UTC,
    protected: Mapping[str, str] | None = None,
    depends: Mapping[str, str] | None = None,
    empty: bool = False,
) -> list[Verdict]:
    """A verdict for each point of one volume, in the order given.

    ``protected`` names stay, whatever else is said, each with the reason; ``depends`` has for the name of a difference
    that of its base. The newest complete point of a series stays, unless ``empty`` allows to remove all of them.
    Raises InvalidInput for names given twice or not there, and for a retention that keeps nothing.
    """
    every = _by_name(points)
    protected, depends = protected or {}, depends or {}
    for name in protected:
        if name not in every:
            raise InvalidInput(f"{name!r} is to be protected, but is not among the snapshots")
    chain.checked(depends, every)
    now = _instant(now)
    wanted = policies if isinstance(policies, Sequence) else [Policy(policies, zone=zone)]
    judge = _Judge(every, now, [_sound(policy) for policy in wanted], depends, empty=empty)
    verdicts = {name: judge.verdict(point, protected.get(name)) for name, point in every.items()}
    stay = sorted((one.time or now, name) for name, one in verdicts.items() if not one.expired)
    for base, user in chain.needed([name for _, name in stay], depends).items():
        if verdicts[base].expired:
            verdicts[base] = verdicts[base]._replace(expired=False, reason=f"{user} stands on it")
    return list(verdicts.values())


def _by_name(points: Iterable[Point]) -> dict[str, Point]:
    found: dict[str, Point] = {}
    for point in points:
        if point.name in found:
            raise InvalidInput(f"the snapshot {point.name!r} is named twice")
        time = point.time and _instant(point.time, f" of {point.name!r}")
        found[point.name] = point._replace(time=time)
    return found


def _instant(time: dt.datetime, whose: str = "") -> dt.datetime:
    """In UTC: within one zone Python compares what clocks show, and they go back."""
    if time.tzinfo is None:
        raise InvalidInput(f"the time {time.isoformat()}{whose} has no time zone")
    if not dt.MINYEAR < time.year < dt.MAXYEAR:
        raise InvalidInput(f"the time {time.isoformat()}{whose} is out of range: the years 2 to 9998 are accepted")
    return time.astimezone(dt.UTC)


def _sound(policy: Policy) -> Policy:
    if policy.keep is not None and not policy.keep.keeps_something:
        text = text_of(policy.keep) or "nothing"
        shown = f"{policy.label} ({text})" if policy.label else text
        raise InvalidInput(f"{shown} would remove every snapshot: keep 1 or more")
    return policy


class _Ruling(NamedTuple):
    """A policy and the terms of its retention over one series."""

    policy: Policy
    terms: list[Term]

    def kept(self, time: dt.datetime) -> str:
        """Why it keeps a time; empty if it does not."""
        label = self.policy.label
        if self.policy.keep is None:
            return f"{label or 'its rule'} keeps everything"
        reasons = [term.kept[time] for term in self.terms if time in term.kept]
        if not reasons:
            return ""
        if label and isinstance(self.policy.keep, KeepCount):
            return f"kept by {label}"
        return f"kept by {label}: {', '.join(reasons)}" if label else f"kept: {', '.join(reasons)}"

    def refusal(self, time: dt.datetime) -> str:
        label = self.policy.label
        if label and isinstance(self.policy.keep, KeepCount):
            return f"older than what {label} keeps"
        reasons = ", ".join(term.refusal(time) for term in self.terms)
        return f"{label}: {reasons}" if label else reasons


class _Judge:
    """What is known of all points when one is judged."""

    def __init__(
        self,
        points: Mapping[str, Point],
        now: dt.datetime,
        policies: Sequence[Policy],
        depends: Mapping[str, str],
        *,
        empty: bool,
    ) -> None:
        self._now, self._empty = now, empty
        self._states = chain.worst({name: point.state for name, point in points.items()}, depends)
        self._depends = depends
        past = [point for point in points.values() if not point.foreign and point.time and point.time <= now]
        self._rulings: dict[str, list[_Ruling]] = {}
        """By name: of the policies that cover it."""
        self._newest: dict[str, tuple[dt.datetime, str]] = {}
        """By series: the newest complete one."""
        for policy in policies:
            self._apply(policy, [point for point in past if policy.covers(point)])

    def _apply(self, policy: Policy, covered: list[Point]) -> None:
        series: dict[str, list[Point]] = {}
        for point in covered:
            series.setdefault(point.series, []).append(point)
        for name, members in series.items():
            complete = [point for point in members if self._states[point.name] is State.COMPLETE]
            # those of one time are one to count: versions 2 and 3 of a tag
            times = sorted({point.time for point in complete if point.time}, reverse=True)
            found = terms(policy.keep, times, self._now, policy.zone) if policy.keep else []
            for point in members:
                self._rulings.setdefault(point.name, []).append(_Ruling(policy, found))
            newest = max(((p.time, p.name) for p in complete if p.time), default=None)
            if newest is not None:
                self._newest[name] = max(self._newest.get(name, newest), newest)

    def verdict(self, point: Point, protected: str | None) -> Verdict:
        """Its own verdict, whatever stands on it."""
        stays = self._exempt(point, protected)
        if stays:
            return Verdict(point.name, False, stays, point.time)
        assert point.time is not None
        rulings = self._rulings[point.name]
        if self._states[point.name] is not State.COMPLETE:
            return self._broken(point)
        kept = [why for ruling in rulings if (why := ruling.kept(point.time))]
        if kept:
            return Verdict(point.name, False, "; ".join(kept), point.time)
        refusal = "; ".join(ruling.refusal(point.time) for ruling in rulings)
        if not self._empty and self._newest[point.series][0] == point.time:
            return Verdict(point.name, False, f"the newest stays ({refusal})", point.time)
        return Verdict(point.name, True, refusal, point.time)

    def _exempt(self, point: Point, protected: str | None) -> str:
        """Why no retention has a say; empty if one has."""
        if point.foreign:
            return f"{point.foreign}: not managed"
        if protected is not None:
            return protected
        if point.time is None:
            return "when it was made is not known: not managed"
        if point.time > self._now:
            return "its time has not come: a clock was wrong"
        if point.name not in self._rulings:
            return "no rule is its own: not managed"
        return ""

    def _broken(self, point: Point) -> Verdict:
        """One that is not complete: it goes only if it never will be, and something newer is."""
        state = self._states[point.name]
        base = next((b for b in chain.bases(point.name, self._depends) if self._states[b] is state), None)
        what = (
            state.name.lower()
            if point.state is state or base is None
            else f"stands on {base}, which is {state.name.lower()}"
        )
        newest = self._newest.get(point.series)
        if state is State.FAILED and newest is not None and point.time is not None and newest[0] > point.time:
            return Verdict(point.name, True, f"{what}, and {newest[1]} is newer and complete", point.time)
        return Verdict(point.name, False, f"{what}: it does not count", point.time)
