"""Years of a daemon in minutes of a test: whatever goes wrong, what was promised is there.

Snapshots are taken at the ticks of schedules, but for outages and failures; some are late, some bear the time of a
clock that was wrong. Now and then somebody tidies up, for weeks nobody may. The oracle has the whole history, of which
nothing was ever removed, and says what has to be there.
"""

import datetime as dt
import random
from zoneinfo import ZoneInfo

import pytest

from blockdiff.retention import parse_retention
from blockdiff.retention.chain import State
from blockdiff.retention.verdict import Point, expired
from blockdiff.schedule import parse_schedules
from tests.retention import oracle

UTC = dt.UTC
BERLIN, LORD_HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe")
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


class World:
    """One volume and its history. ``run`` lets time pass."""

    def __init__(self, seed, keep, zone, schedule, begin, often=1.0):
        self.rng = random.Random(seed)
        self.keep, self.zone, self.now = keep, zone, begin
        self.calendars = [one.calendar for one in parse_schedules(schedule)]
        self.history = set()
        """The times of all complete ones that were ever there."""
        self.there = {}
        self.number = 0
        self.often, self.checks = often, 0

    def run(self, days, *, step):
        end = self.now + days * DAY
        while self.now < end:
            until = self.now + step * self.rng.uniform(0.2, 2)
            if self.rng.random() < 0.03:
                until += DAY * self.rng.randint(3, 40)  # nobody is there
            else:
                self.take(self.now, until)
            self.now = until
            if self.rng.random() < 0.7:
                self.tidy()

    def take(self, since, until):
        for calendar in self.calendars:
            for tick in calendar.ticks(since, self.zone):
                if tick > until:
                    break
                if self.rng.random() < 0.9:
                    self.add(tick)

    def add(self, tick):
        time, state = tick, State.COMPLETE
        fate = self.rng.random()
        if fate < 0.01:
            time += DAY * self.rng.randint(1, 900)  # a clock that was ahead
        elif fate < 0.02:
            time -= DAY * self.rng.randint(1, 900)  # behind
        elif fate < 0.1:
            time += HOUR * self.rng.uniform(0, 5)  # late
        elif fate < 0.15:
            state = State.FAILED
        self.number += 1
        self.there[str(self.number)] = Point(str(self.number), time, state=state)
        if state is State.COMPLETE:
            self.history.add(time)

    def tidy(self):
        """By a clock that may go back for a while, but is never ahead."""
        now = self.now - DAY * self.rng.randint(1, 60) if self.rng.random() < 0.1 else self.now
        points = list(self.there.values())
        self.rng.shuffle(points)
        for verdict in expired(points, now, self.keep, zone=self.zone):
            if verdict.expired:
                del self.there[verdict.name]
        if now == self.now and self.rng.random() < self.often:
            self.check()

    def check(self):
        self.checks += 1
        past = {time for time in self.history if time <= self.now}
        wanted = oracle.kept(self.keep, past, self.now, self.zone) | {max(past, default=None)} - {None}
        have = {point.time for point in self.there.values() if point.state is State.COMPLETE}
        assert {time for time in have if time <= self.now} == wanted
        assert {time for time in have if time > self.now} == {time for time in self.history if time > self.now}


POLICIES = {
    "count": "count=5",
    "days": "days=12,zone=Europe/Berlin",
    "age": "age=1mo3d7h",
    "gfs": "last=3,hourly=20,daily=7,weekly=4,monthly=12,yearly=3",
    "all": "yearly=all,monthly=3",
    "mixed": "count=2,days=3,age=2mo,daily=9,weekly=3,zone=Australia/Lord_Howe",
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("zone", [UTC, BERLIN], ids=str)
def test_a_year(policy, zone):
    begin = dt.datetime(2023, 9, 1, tzinfo=UTC)  # both changes of the clocks, and a leap day
    world = World(policy, parse_retention(POLICIES[policy]), zone, "daily:local=1@3:30,local=1@15", begin)
    world.run(366, step=4 * DAY)
    assert world.checks > 20


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("zone", [UTC, BERLIN, LORD_HOWE], ids=str)
def test_ten_years(policy, zone):
    begin = dt.datetime(2019, 12, 1, tzinfo=UTC)
    world = World(
        policy, parse_retention(POLICIES[policy]), zone, "daily:local=1@2:30,local=1@23:59 weekly:local=1", begin
    )
    world.run(3653, step=14 * DAY)
    assert world.checks > 10


@pytest.mark.slow
def test_every_hour_of_a_year():
    begin = dt.datetime(2023, 9, 1, tzinfo=UTC)
    world = World(
        "hours", parse_retention("hourly=48,daily=14,monthly=12"), BERLIN, "hourly:local=1@7", begin, often=0.3
    )
    world.run(366, step=DAY)
    assert world.checks > 30
