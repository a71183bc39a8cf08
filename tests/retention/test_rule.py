"""The rules of schedules as policies: what belongs to which."""

import datetime as dt
from zoneinfo import ZoneInfo

from blockdiff.retention import GFS, KeepAge, KeepCount, KeepDays
from blockdiff.retention.rule import policies_of_rules
from blockdiff.retention.verdict import Point, expired
from blockdiff.schedule.calendar import Cron, Daily, Hourly, Weekly
from blockdiff.schedule.rule import Rule
from blockdiff.schedule.words import Period

UTC = dt.UTC
NOW = dt.datetime(2026, 3, 2, tzinfo=UTC)
DAILY = Rule(Daily(3, 0), keep=KeepCount(2), name="daily")
HOURLY = Rule(Hourly(0), keep=KeepCount(3), name="hourly")


def at(day, hour=3, minute=0, **fields):
    time = dt.datetime(2026, 1, day, hour, minute, tzinfo=UTC)
    return Point(f"{day}.{hour}:{minute:02}", time, **fields)


def gone(points, *rules, **options):
    return [one.name for one in expired(points, NOW, policies_of_rules(rules, **options)) if one.expired]


def test_the_rule_that_is_named():
    points = [at(day, rule=rule) for rule in ("daily", "hourly") for day in (1, 2, 3, 4)]
    points = [point._replace(name=f"{point.rule}{point.name}") for point in points]
    assert gone(points, DAILY, HOURLY) == ["daily1.3:00", "daily2.3:00", "hourly1.3:00"]
    assert gone([at(1, rule="other"), at(2, rule="other")], DAILY) == []


def test_the_time_of_a_tick():
    points = [at(day) for day in (1, 2, 3)]
    assert gone(points, DAILY, HOURLY) == []  # both rules have these times, and hourly keeps three
    assert gone([at(1), at(2), at(3), at(4, 4), at(5, 4), at(6, 4)], DAILY, HOURLY) == ["1.3:00"]


def test_the_time_of_a_tick_in_a_zone():
    berlin = Rule(Daily(3, 0), ZoneInfo("Europe/Berlin"), KeepCount(1), name="berlin")
    other = Rule(Daily(5, 0), keep=KeepCount(1), name="other")
    points = [at(day, 2) for day in (1, 2)] + [at(day) for day in (3, 4)]
    assert gone(points, berlin, other) == ["1.2:00"]


def test_the_period_of_a_tag():
    points = [at(day) for day in (1, 2, 3)]
    assert gone(points, DAILY, period_of=lambda _: Period.HOURLY) == []
    assert gone(points, DAILY, period_of=lambda _: Period.DAILY) == ["1.3:00"]
    cron = Rule(Cron("0 3 * * *"), keep=KeepCount(2), name="cron")
    assert gone(points, cron, period_of=lambda _: Period.HOURLY) == ["1.3:00"]


def test_what_was_made_later_belongs_to_the_only_rule():
    points = [at(day, 3, 7) for day in (1, 2, 3)]
    assert gone(points, DAILY) == ["1.3:07"]
    assert gone(points, DAILY, period_of=lambda _: Period.DAILY) == []  # a tag says when it was scheduled
    assert gone(points, DAILY, Rule(Weekly(0, 3, 0), keep=KeepCount(1), name="weekly")) == []


def test_rules_that_say_the_same_of_each():
    points = [at(day, 3, 7) for day in (1, 2, 3)]
    for keep in (KeepDays(9), KeepAge(weeks=1)):
        rules = [Rule(Daily(3, 0), keep=keep, name="one"), Rule(Weekly(0, 3, 0), keep=keep, name="two")]
        assert gone(points, *rules) == ["1.3:07", "2.3:07"]
    rules = [Rule(Daily(3, 0), keep=keep, name="one"), Rule(Weekly(0, 3, 0), keep=keep, name="two")]
    for keep in (KeepCount(1), GFS(daily=1)):
        rules = [Rule(Daily(3, 0), keep=keep, name="one"), Rule(Weekly(0, 3, 0), keep=keep, name="two")]
        assert gone(points, *rules) == []


def test_a_rule_that_says_nothing_keeps_everything():
    assert gone([at(day) for day in (1, 2, 3)], Rule(Daily(3, 0), name="x")) == []
    assert gone([at(day) for day in (1, 2, 3)], DAILY, Rule(Daily(3, 0), name="x")) == []


def test_the_zone_of_the_rule():
    days = Rule(Daily(3, 0), ZoneInfo("Europe/Berlin"), GFS(daily=9), name="days")
    points = [
        Point(name, dt.datetime(2026, 1, 1, hour, tzinfo=UTC), rule="days") for name, hour in (("a", 22), ("b", 23))
    ]
    assert gone(points, days) == []
    assert gone(points, Rule(Daily(3, 0), keep=GFS(daily=9), name="days")) == ["a"]


def test_no_rules():
    assert gone([at(1), at(2)]) == []
