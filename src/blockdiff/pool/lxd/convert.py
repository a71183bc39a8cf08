"""Rules of other languages as LXD's configuration, where it can say them exactly."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from blockdiff.errors import InvalidInput
from blockdiff.pool.lxd import cronspec
from blockdiff.pool.lxd.expiry import Expiry
from blockdiff.retention import KeepAge, KeepDays, text_of
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
from blockdiff.schedule.place import EPOCH
from blockdiff.schedule.words import Destination, Option, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdiff.schedule.rule import Rule

_DAY, _WEEK = 86400, 604800


def config_of(rules: Sequence[Rule]) -> tuple[tuple[str, ...], Expiry | None]:
    """The schedules and the expiry that say the same as rules. Raises InvalidInput that names the rule, and why."""
    items: dict[str, None] = {}
    for rule in rules:
        _check(rule, rules[0])
        items[_spec(rule)] = None
    keep = rules[0].keep if rules else None
    return tuple(items), None if keep is None else Expiry.of(keep)


def _check(rule: Rule, first: Rule) -> None:
    if rule.destination != Destination.LOCAL:
        raise unsayable(rule, f"it has no destination {rule.destination}")
    if rule.options:
        raise unsayable(rule, f"it has no option {Option.text_of(rule.options)}")
    zones = [rule.zone]
    if rule.keep is not None:
        if not isinstance(rule.keep, KeepAge | KeepDays):
            raise unsayable(rule, f"it has an age only, and nothing for {text_of(rule.keep)}")
        zones.append(rule.keep.zone or dt.UTC)
    for zone in zones:
        if zone is not dt.UTC and getattr(zone, "key", "") != "UTC":
            raise unsayable(rule, f"it names no time zone, and {zone} is not UTC")
    if rule.keep != first.keep:
        raise unsayable(rule, f"it has one expiry for all, and another one is that of {quoted(first.name)}")


def _spec(rule: Rule) -> str:
    match rule.calendar:
        case Minutely(share) if share == 1:
            return "* * * * *"
        case Hourly(minute):
            return f"{minute} * * * *"
        case Steps(hours, minute):
            return f"{minute} {'0' if hours == 24 else f'*/{hours}'} * * *"
        case Cron(text):
            return _cron(rule, text.lower())
        case Every(seconds, anchor):
            return _interval(rule, seconds, anchor)
        case _:
            return _dated(rule)


def _dated(rule: Rule) -> str:
    match rule.calendar:
        case Daily(hour, minute):
            return f"{minute} {hour} * * *"
        case Weekly(weekday, hour, minute):
            return f"{minute} {hour} * * {weekday}"
        case Monthly(day, hour, minute, short) if short == "skip" or day <= 28:
            return f"{minute} {hour} {day} * *"
        case Yearly(month, day, hour, minute):
            return f"{minute} {hour} {day} {month} *"
        case YearDay(yearday, hour, minute) if yearday <= 59:  # before February 29 all years are alike
            date = dt.date(2023, 1, 1) + dt.timedelta(days=yearday - 1)
            return f"{minute} {hour} {date.day} {date.month} *"
    raise unsayable(rule, f"it has nothing for {rule.calendar}")


def _cron(rule: Rule, text: str) -> str:
    """The fields as they are, if LXD means the same by them as cronsim does."""
    from cronsim import CronSim, CronSimError

    def meant(words: str) -> tuple[object, ...]:
        read = CronSim(words, EPOCH)
        wild = any(word.startswith("*") for word in words.split()[:2])
        return (
            read.minutes,
            read.hours,
            read.days,
            read.months,
            {_weekday(one) for one in read.weekdays},
            read.day_and,
            wild,
        )

    try:
        fields = cronspec.read(text)
        if meant(text) == meant(" ".join(field.text for field in fields)):
            return text
    except (InvalidInput, CronSimError):
        pass
    raise unsayable(rule, f"it does not mean {quoted(text)} as cron does")


def _weekday(value: object) -> object:
    return value % 7 if isinstance(value, int) else value


def _interval(rule: Rule, seconds: int, anchor: dt.datetime) -> str:
    """An interval that fits into hours, days or a week, in UTC."""
    start = anchor.astimezone(dt.UTC)
    if start.second or start.microsecond or seconds % 60:
        raise unsayable(rule, "its times are whole minutes")
    minute = start.minute
    if 3600 % seconds == 0:
        return f"{_cycle(minute, seconds // 60, 60)} * * * *"
    if _DAY % seconds == 0 and seconds % 3600 == 0:
        return f"{minute} {_cycle(start.hour, seconds // 3600, 24)} * * *"
    if seconds == _WEEK:
        return f"{minute} {start.hour} * * {start.isoweekday() % 7}"
    raise unsayable(rule, f"an interval of {seconds} seconds fits into no hour, day or week")


def _cycle(start: int, step: int, size: int) -> str:
    first = start % step
    if step == size:
        return str(first)
    if first == 0:
        return "*" if step == 1 else f"*/{step}"
    return f"{first}-{size - 1}/{step}"


def unsayable(rule: Rule, why: str) -> InvalidInput:
    """That LXD has no words for a rule."""
    return InvalidInput(f"lxd cannot say {quoted(rule.name or str(rule.calendar))}: {why}")
