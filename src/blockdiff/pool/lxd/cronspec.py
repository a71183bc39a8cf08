"""The five fields of a schedule, as LXD's cron library takes them (robfig/cron v3, ParseStandard), and their meaning.

It is not quite that of cronsim, which tells the ticks: there ``5-5/10`` is 5, 15, 25, ..., weekday ``1/2`` has a
Sunday, and ``*/2`` of the days is a star. So each field is read here, and written anew in words that mean one thing.
"""

from __future__ import annotations

import calendar as months_of
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from blockdiff.errors import InvalidInput
from blockdiff.pool.fault import printable
from blockdiff.schedule.calendar import Cron, Daily, Hourly, Minutely, Monthly, Steps, Weekly, Yearly
from blockdiff.schedule.words import integer, plain

if TYPE_CHECKING:
    from blockdiff.schedule.calendar import Calendar

_MONTHS = {name.lower(): number for number, name in enumerate(months_of.month_abbr) if name}
_DAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_LENGTHS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # the longest
_FORM = "Schedule must be of the form: <minute> <hour> <day-of-month> <month> <day-of-week>"


_STEPPED = re.compile(r"\*/([0-9]+)", re.ASCII)


class CronFault(InvalidInput):
    """What is wrong, of ``length`` characters from ``start`` on."""

    start = 0
    length = 0


class _Bounds(NamedTuple):
    name: str
    least: int
    most: int
    names: dict[str, int]


_BOUNDS = (
    _Bounds("minute", 0, 59, {}),
    _Bounds("hour", 0, 23, {}),
    _Bounds("day of the month", 1, 31, {}),
    _Bounds("month", 1, 12, _MONTHS),
    _Bounds("day of the week", 0, 6, _DAYS),
)


@dataclass(frozen=True, slots=True)
class Field:
    """``values`` ascending; ``star`` if it begins with one, or holds all for that reason; ``text`` for cronsim."""

    values: tuple[int, ...]
    star: bool
    text: str


def read(text: str, *, original: bool = False) -> tuple[Field, ...]:
    """The five fields of a text in small letters. Raises CronFault.

    ``original`` takes what the original takes, too, though it cannot be meant: ``*-5``, which is ``*``, and fields
    that are never due.
    """
    words = text.split(" ")
    if len(words) != 5:
        raise CronFault(_FORM, length=len(text))
    found, at = [], 0
    for word, bounds in zip(words, _BOUNDS, strict=True):
        try:
            if not word or word.split() != [word]:
                raise InvalidInput(f"{_FORM}, with one space between them")
            found.append(_field(word, bounds, original=original))
        except InvalidInput as error:
            raise CronFault(error.reason, start=at, length=max(1, len(word))) from None
        at += len(word) + 1
    if never(found) and not original:
        raise CronFault("Error parsing schedule: no date is such a day: it is never due", length=len(text))
    return tuple(found)


def never(fields: list[Field] | tuple[Field, ...]) -> bool:
    """Whether no date and time fits."""
    _, _, day, month, weekday = fields
    if not all(field.values for field in fields):
        return True
    longest = max(_LENGTHS[number] for number in month.values)
    return day.values[0] > longest and weekday.star


def meaning(fields: tuple[Field, ...]) -> Calendar | None:
    """When fields are due, in the plainest words; None is never."""
    if never(fields):
        return None
    plain = _plain(fields)
    return plain or Cron(" ".join(field.text for field in fields))


def _plain(fields: tuple[Field, ...]) -> Calendar | None:
    """What is no more than a time of day on one kind of day."""
    minute, hour, day, month, weekday = fields
    all_days = day.star and month.star and weekday.star
    if all_days and hour.star and len(minute.values) == 60 and minute.star:
        return Minutely()
    if len(minute.values) > 1:
        return None
    past = minute.values[0]
    if all_days and hour.star:
        return Hourly(past)
    if all_days and (stepped := _STEPPED.fullmatch(hour.text)):
        return Steps(int(stepped[1]), past)
    if len(hour.values) > 1:
        return None
    return _dated(past, hour.values[0], day, month, weekday)


def _dated(minute: int, hour: int, day: Field, month: Field, weekday: Field) -> Calendar | None:
    if month.star and day.star:
        if weekday.star:
            return Daily(hour, minute)
        return Weekly(weekday.values[0], hour, minute) if len(weekday.values) == 1 else None
    if not weekday.star or len(day.values) > 1:
        return None
    if month.star:
        return Monthly(day.values[0], hour, minute)
    return Yearly(month.values[0], day.values[0], hour, minute) if len(month.values) == 1 else None


def _field(word: str, bounds: _Bounds, *, original: bool) -> Field:
    """A list of ranges; empty ones between commas do not count."""
    values: set[int] = set()
    texts = []
    for item in word.split(","):
        if item:
            found, star = _range(item, bounds, original=original)
            if star and found.step == 1:
                return Field(tuple(range(bounds.least, bounds.most + 1)), star=True, text="*")
            values.update(found)
            texts.append(_text(found, bounds, star=star))
    if not values and not original:
        raise _error(f"no {bounds.name} is named: it is never due")
    return Field(tuple(sorted(values)), star=False, text=",".join(texts))


def _range(item: str, bounds: _Bounds, *, original: bool) -> tuple[range, bool]:
    """``*``, ``?``, ``a``, ``a-b``, each perhaps with ``/step``; whether it began with a star."""
    span, *steps = item.split("/")
    ends = span.split("-")
    star = ends[0] in ("*", "?")
    if star:
        if len(ends) > 1 and not original:
            raise _error(f"no range begins with {ends[0]}: {item}")
        first, last = bounds.least, bounds.most
    elif len(ends) > 2:
        raise _error(f"too many hyphens: {item}")
    else:
        first = _number(ends[0], bounds.names)
        last = _number(ends[-1], bounds.names)
    if len(steps) > 1:
        raise _error(f"too many slashes: {item}")
    step = _number(steps[0], {}) if steps else 1
    if steps and len(ends) == 1:
        last = bounds.most
    _check(first, last, step, bounds, item)
    return range(first, last + 1, min(step, bounds.most + 1)), star


def _check(first: int, last: int, step: int, bounds: _Bounds, item: str) -> None:
    if first < bounds.least:
        raise _error(f"beginning of range ({first}) below minimum ({bounds.least}): {item}")
    if last > bounds.most:
        sunday = "; Sunday is 0" if bounds.names is _DAYS and last == 7 else ""
        raise _error(f"end of range ({last}) above maximum ({bounds.most}): {item}{sunday}")
    if first > last:
        raise _error(f"beginning of range ({first}) beyond end of range ({last}): {item}")
    if step == 0:
        raise _error(f"step of range should be a positive number: {item}")


def _number(text: str, names: dict[str, int]) -> int:
    if text in names:
        return names[text]
    try:
        value = integer(text)
    except InvalidInput as error:
        raise _error(f"failed to parse int from {plain(text)}: {error.reason}") from None
    if value < 0:
        raise _error(f"negative number ({value}) not allowed: {plain(text)}")
    return value


def _error(reason: str) -> InvalidInput:
    return InvalidInput(f"Error parsing schedule: {printable(reason)}")


def _text(found: range, bounds: _Bounds, *, star: bool) -> str:
    """For cronsim: a star only where it says how clocks that change are met, in minutes and hours."""
    if len(found) == 1:
        return str(found[0])
    if star and bounds.most in (59, 23):
        return f"*/{found.step}"
    return f"{found[0]}-{found[-1]}" + (f"/{found.step}" if found.step > 1 else "")
