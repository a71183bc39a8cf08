"""100 000 rules, no two alike, asked at one time; and 1 M names of snapshots. In process."""

from __future__ import annotations

import datetime as dt
import random
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from bench import runner, targets
from bench.peers import expect
from bench.runner import Call
from blockdiff.schedule.calendar import (
    Cron,
    Daily,
    Every,
    Hourly,
    Minutely,
    Monthly,
    Steps,
    Weekly,
    YearDay,
    Yearly,
)
from blockdiff.schedule.rule import Due, Rule, due, due_at, next_tick, next_ticks
from blockdiff.tag import Tag
from tests.schedule import minutes

if TYPE_CHECKING:
    from bench.result import Racer, Result
    from blockdiff.schedule.calendar import Calendar

pytestmark = pytest.mark.benchmark(timer=runner.clock)

COUNT = 100_000
NOW = dt.datetime(2026, 10, 25, 0, 30, tzinfo=dt.UTC)  # Europe puts its clocks back half an hour later
MINUTE, MONTH = dt.timedelta(minutes=1), dt.timedelta(days=30)
ZONES = [
    ZoneInfo(name)
    for name in ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
                 "Africa/Casablanca", "America/Sao_Paulo", "Pacific/Apia")
]  # fmt: skip


class Rules:
    """Distinct rules, of all kinds of calendar and in all zones."""

    def __init__(self) -> None:
        self.dice = random.Random(5)
        found: dict[tuple[Calendar, ZoneInfo], Rule] = {}
        while len(found) < COUNT:
            calendar, zone = self.calendar(), self.dice.choice(ZONES)
            found[calendar, zone] = Rule(calendar, zone)
        self.every = list(found.values())

    def calendar(self) -> Calendar:
        dice = self.dice
        hour, minute = dice.randrange(24), dice.randrange(60)
        kinds = (
            lambda: Minutely(dice.random()),
            lambda: Hourly(minute),
            lambda: Daily(hour, minute),
            lambda: Weekly(dice.randrange(7), hour, minute),
            lambda: Monthly(dice.randint(1, 31), hour, minute, dice.choice(("skip", "last"))),
            lambda: Yearly(dice.randint(1, 12), dice.randint(1, 28), hour, minute),
            lambda: YearDay(dice.randint(1, 366), hour, minute),
            lambda: Steps(dice.choice((6, 8, 12)), minute),
            lambda: Cron(cron(dice)),
            lambda: Every(dice.randint(60, 10**6), NOW - dt.timedelta(seconds=dice.randrange(10**6))),
        )
        return dice.choice(kinds)()

    def some(self) -> list[Rule]:
        """A few of those that go by clocks, for the oracle."""
        listed = [rule for rule in self.every if not isinstance(rule.calendar, Minutely | Every)]
        return [rule for rule in random.Random(6).sample(listed, 400) if rule.zone in ZONES[:2]]


def cron(dice: random.Random) -> str:
    """Some times, on one of some kinds of days."""
    times = f"{dice.randrange(60)},{dice.randrange(60)} {dice.randrange(12)},{dice.randrange(12, 24)}"
    days = ("* * *", f"* * {dice.randrange(7)}", f"{dice.randint(1, 28)} * *", f"{dice.randint(1, 28)} */3 *")
    return f"{times} {dice.choice(days)}"


@pytest.fixture(scope="module")
def rules() -> Rules:
    return Rules()


def oracle(rule: Rule, after: dt.datetime, until: dt.datetime) -> list[dt.datetime]:
    """A look at every minute."""
    return minutes.ticks(rule.calendar, after, until, rule.zone)


def test_next(race: Racer, found: Result, rules: Rules) -> None:
    wanted = [(rule, next_tick(rule, NOW)) for rule in rules.every]
    until = NOW + 2 * MONTH
    for rule in rules.some():
        listed, tick = oracle(rule, NOW, until), next_tick(rule, NOW)
        expect(tick if tick and tick <= until else None, listed[0] if listed else None, f"of {rule.calendar}")

    def check(answer: object) -> None:
        expect(answer == wanted, True, "each rule's own next tick")

    contest = race(targets.RULES_NEXT, Call("blockdiff", lambda: list(next_ticks(rules.every, NOW)), check), [])
    found.add(targets.RULES_NEXT, "seconds", contest.cost("blockdiff", "cpu"))


@pytest.mark.parametrize(
    ("workload", "since"),
    [(targets.RULES_DUE, NOW - MINUTE), (targets.RULES_STANDSTILL, NOW - MONTH)],
    ids=["minute", "month"],
)
def test_due(race: Racer, found: Result, rules: Rules, workload: str, since: dt.datetime) -> None:
    wanted = [(rule, what) for rule in rules.every if (what := due(rule, since, NOW)) != Due((), 0)]
    for rule in rules.some():
        listed = oracle(rule, since, NOW)
        expect(due(rule, since, NOW), Due(tuple(listed[-1:]), max(0, len(listed) - 1)), f"of {rule.calendar}")

    def check(answer: object) -> None:
        expect(answer == wanted, True, "each rule's own answer")

    contest = race(workload, Call("blockdiff", lambda: list(due_at(rules.every, since, NOW)), check), [])
    found.add(workload, "seconds", contest.cost("blockdiff", "cpu"))


def test_cron(race: Racer, found: Result) -> None:
    """The peers read each text again for each question; they have no other way. Ours are read once, and not timed."""
    dice, after, names = random.Random(8), NOW + MONTH, {}
    while len(names) < COUNT:
        names[cron(dice)] = None
    texts = list(names)
    rules = [Rule(Cron(text), ZONES[1]) for text in texts]
    local = after.astimezone(ZONES[1])
    wanted = [next_tick(rule, after) for rule in rules]

    def check(answer: object) -> None:
        expect(answer == wanted, True, "the same ticks")

    peers = []
    try:
        from cronsim import CronSim

        peers.append(Call("cronsim", lambda: [next(CronSim(text, local)) for text in texts], check))
    except ImportError:
        found.absent[targets.CRONSIM] = "not installed"
    try:
        from croniter import croniter

        peers.append(Call("croniter", lambda: [croniter(text, local).get_next(dt.datetime) for text in texts], check))
    except ImportError:
        found.absent[targets.CRONITER] = "not installed"
    ours = Call("blockdiff", lambda: [tick for _, tick in next_ticks(rules, after)], check)
    race(targets.RULES_CRON, ours, peers)


def test_tags(race: Racer, found: Result) -> None:
    dice = random.Random(9)
    begin = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    periods = ("hourly", "daily", "weekly", "monthly", "yearly")
    times = [begin + MINUTE * dice.randrange(3_000_000) for _ in range(100_000)]
    names = [
        f"auto-v{dice.choice('23')}-{dice.choice(periods)}-{dice.choice(times):%Y%m%d%H%M}-{dice.randrange(10**6)}"
        for _ in range(900_000)
    ] + [f"manual-v3-daily-{dice.choice(times):%Y%m%d%H%M}-disk-{number}" for number in range(100_000)]

    def check(answer: list[Tag]) -> None:
        for name, tag in zip(names, answer, strict=True):
            expect(str(tag), name, "as written")

    contest = race(targets.TAGS, Call("blockdiff", lambda: [Tag.parse(name) for name in names], check), [])
    found.add(targets.TAGS, "seconds", contest.cost("blockdiff", "cpu"))
