"""What the options of ``retention explain`` ask, checked: the lists, the policies, the time."""

from __future__ import annotations

import datetime as dt
import itertools
import sys
from typing import TYPE_CHECKING, Any

from blockdiff.cli.retention.judging import Answer, Question, answers
from blockdiff.cli.retention.reading import Listed, read_file, read_list
from blockdiff.cli.streams import say
from blockdiff.errors import InvalidInput
from blockdiff.retention.text import parse_retention, zone_of
from blockdiff.retention.verdict import Point, Policy
from blockdiff.schedule import Destination
from blockdiff.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdiff.schedule.rule import Rule

_MOST = 200_000


class Asked:
    """The options of the command by their names; ``words`` are SCHEDULE, unless there is a policy, and TAGs."""

    def __init__(
        self,
        words: tuple[str, ...],
        *,
        policy: str | None,
        language: str,
        destination: str | None,
        match: tuple[str, ...],
        protect: tuple[str, ...],
        replica: tuple[str, ...],
        depends: tuple[str, ...],
        allow_empty: bool,
        at: str | None,
        zone: str | None,
        rbd_zone: str | None,
        simulate: str | None,
        schedule: str | None,
        id: str | None,  # noqa: A002 the option is called so
        anchor: str | None,
    ) -> None:
        self.zone = zone_of(zone) if zone else dt.UTC
        self._stated = zone_of(zone) if zone else None
        self._clock = zone_of(rbd_zone) if rbd_zone else None
        self._language, self._destination = language, Destination.parse(destination or "local")
        self._id, self._anchor = id or "", _time(anchor, self.zone) if anchor else None
        begin = _time(at, self.zone)
        self.now = _time(simulate, self.zone) if simulate else begin
        if self.now < begin:
            raise InvalidInput(f"--simulate {simulate}: that is earlier than {begin.isoformat(timespec='minutes')}")
        self._span = (begin, self.now) if simulate else None
        for name, value in {"--destination": destination, "--id": id, "--anchor": anchor}.items():
            if value and policy is not None and schedule is None:
                raise InvalidInput(f"{name} says something of SCHEDULE, and --policy stands instead of it")
        words = self._policies(words, policy, schedule)
        self._names = () if words == ("-",) else words
        self._match, self._protect, self._depends, self._empty = match, protect, depends, allow_empty
        self._replicas = replica

    def _policies(self, words: tuple[str, ...], policy: str | None, schedule: str | None) -> tuple[str, ...]:
        """Sets policies and rules; gives the words that are left."""
        if schedule is not None and (policy is None or self._span is None):
            raise InvalidInput("--schedule goes with --policy and --simulate: it says when snapshots will be taken")
        if policy is not None:
            if self._span and schedule is None:
                raise InvalidInput("--simulate with --policy needs --schedule TEXT: when snapshots will be taken")
            self.policies = [Policy(parse_retention(policy), zone=self.zone)]
            self._rules = self._read(schedule)[0] if schedule is not None else []
            self._tagged = False
            return words
        if not words:
            raise InvalidInput("nothing is asked: give SCHEDULE, or --policy such as last=3,daily=7,weekly=4")
        self._rules, self.policies = self._read(words[0])
        self._tagged = self._language == "snapper"  # an entry knows its snapshots by their tags
        return words[1:]

    def _read(self, text: str) -> tuple[list[Rule], list[Policy]]:
        from blockdiff.cli.retention.naming import period_of
        from blockdiff.retention.entry import policies_of
        from blockdiff.retention.rule import policies_of_rules
        from blockdiff.schedule.language import Context, read

        parsed: Any = read(text, self._language, Context(zone=self.zone, id=self._id, anchor=self._anchor))
        rules = [rule for rule in parsed.rules() if rule.destination == self._destination]
        if self._language == "snapper":
            return rules, policies_of(parsed.schedules, self._destination, self._stated)
        return rules, policies_of_rules(rules, period_of)

    def answers(self) -> tuple[list[Answer], list[str]]:
        """A verdict for each snapshot, and notes to be told."""
        if self._replicas.count("-") + (not self._names) > 1:
            raise InvalidInput("only one of the lists can come from stdin: name a file for --replica")
        if self._names:
            listed = [Listed(Snapshot("", name)) for name in self._names]
        else:
            if sys.stdin.isatty():
                say("blockdiff: reading a list of snapshots from the terminal; end it with Ctrl-D")
            listed = read_list(read_file("-"), "stdin", self._clock)
        replicas = [(name, self._replica(name)) for name in self._replicas]
        question = Question(
            self.policies,
            self.now,
            self._match,
            self._protect,
            self._depends,
            replicas,
            self._empty,
            self._language,
            self._coming,
        )
        return answers(listed, question)

    def _replica(self, name: str) -> list[Listed]:
        """InvalidInput for a file without anything in it: what was to write it may have failed."""
        data = read_file(name)
        if not data.strip():
            shown = "stdin" if name == "-" else name
            raise InvalidInput(f"--replica {shown} is empty: the list of a copy without snapshots is []")
        return read_list(data, name, self._clock)

    def _coming(self, points: Sequence[Point]) -> Sequence[Point]:
        """What will have been taken until then, of each machine there is."""
        if self._span is None:
            return ()
        from blockdiff.schedule.rule import upcoming

        begin, end = self._span
        series = sorted({point.series for point in points if not point.foreign})
        if self._tagged:
            series = [name for name in series if name.lstrip("+-").isdigit()]
        series = series or [""]
        due = itertools.takewhile(lambda item: item[0] <= end, upcoming(self._rules, begin))
        ticks = list(itertools.islice(due, _MOST // len(series) + 1))
        if len(ticks) * len(series) > _MOST:
            raise InvalidInput(f"--simulate would take more than {_MOST:,} snapshots: name an earlier time")
        # entries of one time take one snapshot
        return list(dict.fromkeys(self._point(tick, rule, name) for tick, rule in ticks for name in series))

    def _point(self, tick: dt.datetime, rule: Rule, series: str) -> Point:
        """Named as its language would, where it goes by names."""
        if not self._tagged:
            return Point(f"{rule.name} {tick:%Y-%m-%dT%H:%MZ}".strip(), tick, series, rule.name)
        from blockdiff.schedule.words import Period
        from blockdiff.tag import Tag

        period = Period.parse(rule.name.partition(":")[0])
        return Point(str(Tag(period, tick, vm=int(series or 0))), tick, series)


def _time(text: str | None, zone: dt.tzinfo) -> dt.datetime:
    if text is None:
        return dt.datetime.now(dt.UTC)
    try:
        time = dt.datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{text!r} is no time: write 2026-01-31T12:00") from None
