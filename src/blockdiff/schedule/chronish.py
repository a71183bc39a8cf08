"""Schedules as people write them: ``hourly:local=10 daily:local=3,remote=3@10 weekly:local=1@Tue``.

The grammar is snapper's (docs/schedules/snapper.md has it in EBNF), with minutes, dates and a time of day where the
original has none. Nothing is ignored silently, unless ``original`` asks to read a text as the original did.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from blockdiff.errors import InvalidInput
from blockdiff.schedule import clock
from blockdiff.schedule.plan import Schedule, known_zone
from blockdiff.schedule.spot import ScheduleError, Spot
from blockdiff.schedule.strict import decoded
from blockdiff.schedule.words import Destination, Option, Period, WordError, integer, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ScheduleError", "Schedules", "entry_text", "parse_schedules", "text_of"]

# what Go's strings.Fields splits at: Unicode White_Space, which is not what str.split() takes
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_WHITE = _SPACE.replace("-", "\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009")
_ITEM = re.compile(f"[^{_SPACE}]+")
_FORM = "PERIOD:DESTINATION=KEEP[@WHEN]"
_WHOLE = "options:OPTION and zone=NAME"


class Schedules(tuple[Schedule, ...]):
    """A list of schedules in the order of their text; ``str()`` gives the canonical text, sorted and by period."""

    __slots__ = ()

    def __str__(self) -> str:
        return text_of(self)

    def of(self, period: Period) -> Schedules:
        """Those of one period."""
        return Schedules(one for one in self if one.period == period)

    def sorted(self) -> Schedules:
        """By period, then by time. The original compares mixed periods in a way that is no order."""
        return Schedules(sorted(self, key=_order))

    def to_json(self) -> bytes:
        """The JSON array."""
        return msgspec.json.encode([one.to_dict() for one in self])

    @classmethod
    def from_json(cls, text: str | bytes, *, original: bool = False) -> Schedules:
        """The schedules of a JSON array. Raises InvalidInput with the index of the bad one.

        ``original`` ignores keys that are not known or given twice, and the zone, as the original does.
        """
        items = decoded(text, twice=original)
        if not isinstance(items, list):
            raise InvalidInput("no list of schedules: a JSON array is wanted")
        found = []
        for number, item in enumerate(items):
            try:
                found.append(Schedule.from_dict(item, original=original))
            except InvalidInput as error:
                raise InvalidInput(f"schedule {number}: {error}") from None
        return cls(found)


def parse_schedules(text: str, *, original: bool = False) -> Schedules:
    """Schedules of a text. Raises ScheduleError at the first fault.

    ``original`` reads as the original does: what is no item is ignored, options go to every entry before them, also of
    lines above, and ``yearly:...@00`` is an entry that is never due.
    """
    found: list[Schedule] = []
    last, options = 0, 0  # in the original the last line with options sets those of all entries before it
    for line in Spot.of(text).split("\n"):
        content, _, _ = line.partition("#")
        begin = len(found)
        said = _line(content, found, original=original)
        if original and said.options is not None:
            last, options = len(found), said.options
        elif said.zone or said.options:
            if len(found) == begin:
                raise line.wrong("no entry is on this line", f"{_WHOLE} stand behind the entries they are for")
            found[begin:] = [replace(one, zone=said.zone, options=said.options or 0) for one in found[begin:]]
    return Schedules([*(replace(one, options=options) for one in found[:last]), *found[last:]])


class _Said(NamedTuple):
    """What a line says of all its entries."""

    options: int | None = None
    zone: str = ""


def _line(content: Spot, found: list[Schedule], *, original: bool) -> _Said:
    """Adds the entries of a line; gives what holds for all of them."""
    said = _Said()
    for match in _ITEM.finditer(content.source, content.begin, content.end):
        item = Spot(content.source, *match.span())
        head, colon, rest = item.partition(":")
        if not original and item.text.startswith("zone="):
            said = said._replace(zone=_zone(item.after(5), said.zone))
        elif not colon or not head.text:
            if not original:
                raise item.wrong(f"no schedule {quoted(item.text)}", f"write {_FORM}, and for all of a line {_WHOLE}")
        elif head.text == "options":
            said = said._replace(options=_options(rest, said.options or 0))
        else:
            period = _period(head, content)
            found += [_entry(entry, period, original=original) for entry in rest.split(",")]
    return said


def _zone(spot: Spot, known: str) -> str:
    if known:
        raise spot.wrong("the time zone of this line is given twice", "zone=NAME once")
    try:
        return known_zone(spot.text)
    except InvalidInput as error:
        raise spot.wrong(str(error)) from None


def _options(spot: Spot, options: int) -> int:
    if not spot.text:
        return options
    for word in spot.split(","):
        try:
            options |= Option.parse(word.text)
        except WordError as error:
            raise word.wrong(error.reason, error.accepted) from None
    return options


def _period(head: Spot, content: Spot) -> Period:
    try:
        return Period.parse(head.text)
    except WordError as error:
        line = quoted(content.text.strip(_WHITE))
        raise head.wrong(f"line {line}: {error.reason}", f"{error.accepted}, and for all of a line {_WHOLE}") from None


def _entry(entry: Spot, period: Period, *, original: bool) -> Schedule:
    """``DESTINATION=KEEP[@WHEN]``."""
    what, at, when = entry.partition("@")
    if at and "@" in when.text:
        raise entry.wrong(f"invalid snapshot {quoted(entry.text)}", f"write {_FORM}")
    where, equals, keep = what.partition("=")
    if not equals or not where.text:
        raise entry.wrong(f"keep count not specified {quoted(entry.text)}", f"write {_FORM}")
    try:
        destination = Destination.parse(where.text)
    except WordError as error:
        raise where.wrong(f"snapshot {quoted(entry.text)}:{error.reason}", error.accepted) from None
    try:
        count = integer(keep.text)
    except InvalidInput as error:
        raise keep.wrong(f"snapshot {quoted(entry.text)}: {error}", "how many are kept, a whole number") from None
    try:
        times = clock.read(period, when.text, original=original)
    except InvalidInput as error:
        raise when.wrong(str(error), clock.ACCEPTED[period]) from None
    return Schedule.make(destination=destination, keep=count, **times)


def entry_text(one: Schedule) -> str:
    """One entry without its period, such as ``local=3@10 options:PauseVM``."""
    return _entry_text(one) + _suffix(one.options, one.zone)


def text_of(schedules: Iterable[Schedule]) -> str:
    """The canonical text: one line, or one for each set of options and zone there is, plain ones first."""
    every = Schedules(schedules)
    lines = []
    for options, zone in sorted({(one.options, one.zone) for one in every}):
        alike = Schedules(one for one in every if (one.options, one.zone) == (options, zone))
        if line := _plain(alike):
            lines.append(line + _suffix(options, zone))
    return "\n".join(lines)


def _suffix(options: int, zone: str) -> str:
    return (f" options:{Option.text_of(options)}" if options else "") + (f" zone={zone}" if zone else "")


def _plain(schedules: Schedules) -> str:
    return " ".join(_group(period, schedules.of(period)) for period in Period if schedules.of(period))


def _group(period: Period, members: Schedules) -> str:
    return f"{period}:" + ",".join(_entry_text(one) for one in members.sorted())


def _entry_text(one: Schedule) -> str:
    when = clock.write(one)
    return f"{one.destination}={one.keep}" + (f"@{when}" if when else "")


def _order(one: Schedule) -> tuple[int, ...]:
    period = one.period or 0
    unset = -1
    fields = (one.yearday, one.month, one.day, one.weekday, one.hour, one.minute)
    return (int(period), *(unset if value is None else value for value in fields))
