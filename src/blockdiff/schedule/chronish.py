"""Schedules as people write them: ``hourly:local=10 daily:local=3,remote=3@10 weekly:local=1@Tue``.

The grammar is snapper's (docs/schedules/snapper.md has it in EBNF), with minutes, dates and a time of day where the
original has none. Nothing is ignored silently, unless ``original`` asks to read a text as the original did.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from blockdiff.errors import InvalidInput
from blockdiff.schedule import clock
from blockdiff.schedule.plan import Schedule
from blockdiff.schedule.words import Destination, Option, Period, integer, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# what Go's strings.Fields splits at: Unicode White_Space, which is not what str.split() takes
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_ITEM = re.compile(f"[^{_SPACE}]+")


class ScheduleError(InvalidInput):
    """A text that is no schedule. ``line`` and ``column`` count from 1; ``excerpt`` is the line with a caret below."""

    line = column = 0
    excerpt = ""

    def __str__(self) -> str:
        return f"{self.reason}\n  line {self.line}, column {self.column}:\n{self.excerpt}" if self.line else self.reason


class _Spot(NamedTuple):
    """A piece of the text and where it stands."""

    text: str
    line: int
    column: int
    whole: str

    def after(self, count: int) -> _Spot:
        return self._replace(text=self.text[count:], column=self.column + count)

    def first(self, count: int) -> _Spot:
        return self._replace(text=self.text[:count])

    def split(self, separator: str) -> Iterator[_Spot]:
        rest = self
        while separator in rest.text:
            at = rest.text.index(separator)
            yield rest.first(at)
            rest = rest.after(at + 1)
        yield rest

    def wrong(self, reason: str) -> ScheduleError:
        shown = self.whole.replace("\t", " ")
        caret = " " * (self.column - 1) + "^" * max(1, len(self.text))
        return ScheduleError(reason, line=self.line, column=self.column, excerpt=f"    {shown}\n    {caret}")


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
    def from_json(cls, text: str | bytes) -> Schedules:
        """The schedules of a JSON array. Raises InvalidInput with the index of the bad one."""
        try:
            items: Any = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise InvalidInput(f"no JSON: {error}") from None
        if not isinstance(items, list):
            raise InvalidInput("no list of schedules: a JSON array is wanted")
        found = []
        for number, item in enumerate(items):
            try:
                found.append(Schedule.from_dict(item))
            except InvalidInput as error:
                raise InvalidInput(f"schedule {number}: {error}") from None
        return cls(found)


def parse_schedules(text: str, *, original: bool = False) -> Schedules:
    """Schedules of a text. Raises ScheduleError at the first fault.

    ``original`` reads as the original does: what is no item is ignored, options go to every entry before them, also of
    lines above, and ``yearly:...@00`` is an entry that is never due.
    """
    found: list[Schedule] = []
    for number, whole in enumerate(text.split("\n"), 1):
        begin = len(found)
        options = _line(whole, number, found, original=original)
        if options is not None:
            affected = 0 if original else begin
            found[affected:] = [replace(one, options=options) for one in found[affected:]]
    return Schedules(found)


def _line(whole: str, number: int, found: list[Schedule], *, original: bool) -> int | None:
    """Adds the entries of a line; gives its options, None if it says nothing of them."""
    content = whole.split("#", 1)[0]
    options = None
    for match in _ITEM.finditer(content):
        item = _Spot(match[0], number, match.start() + 1, whole)
        head, colon, rest = item.text.partition(":")
        if not colon or not head:
            if original:
                continue
            raise item.wrong(f"no schedule {quoted(item.text)}: write PERIOD:DESTINATION=KEEP[@WHEN]")
        if head == "options":
            options = _options(item.after(8), options or 0)
            continue
        try:
            period = Period.parse(head)
        except InvalidInput as error:
            raise item.first(len(head)).wrong(f"line {quoted(content.strip())}: {error}") from None
        entries = item.after(len(item.text) - len(rest)).split(",")
        found += [_entry(entry, period, original=original) for entry in entries]
    return options


def _options(spot: _Spot, options: int) -> int:
    if not spot.text:
        return options
    for word in spot.split(","):
        try:
            options |= Option.parse(word.text)
        except InvalidInput as error:
            raise word.wrong(str(error)) from None
    return options


def _entry(entry: _Spot, period: Period, *, original: bool) -> Schedule:
    """``DESTINATION=KEEP[@WHEN]``."""
    text = entry.text
    if text.count("@") > 1:
        raise entry.wrong(f"invalid snapshot {quoted(text)}")
    what, at, _ = text.partition("@")
    where, equals, keep = what.partition("=")
    if not equals or not where:
        raise entry.wrong(f"keep count not specified {quoted(text)}")
    try:
        destination = Destination.parse(where)
    except InvalidInput as error:
        raise entry.first(len(where)).wrong(f"snapshot {quoted(text)}:{error}") from None
    try:
        count = integer(keep)
    except InvalidInput as error:
        spot = entry.after(len(where) + 1).first(len(keep))
        raise spot.wrong(f"snapshot {quoted(text)}: {error}") from None
    when = entry.after(len(what) + len(at))
    try:
        times = clock.read(period, when.text, original=original)
    except InvalidInput as error:
        raise when.wrong(str(error)) from None
    return Schedule.make(destination=destination, keep=count, **times)


def _group(period: Period, members: Schedules) -> str:
    """The text of one period; entries with options stand in a line of their own, as they hold for all of a line."""
    return f"{period}:" + ",".join(_entry_text(one) for one in members.sorted())


def _entry_text(one: Schedule) -> str:
    when = clock.write(one)
    return f"{one.destination}={one.keep}" + (f"@{when}" if when else "")


def text_of(schedules: Iterable[Schedule]) -> str:
    """The canonical text: one line, or one for each set of options there is, plain ones first."""
    every = Schedules(schedules)
    lines = []
    for options in sorted({one.options for one in every}):
        line = _plain(Schedules(one for one in every if one.options == options))
        lines.append(f"{line} options:{Option.text_of(options)}" if options else line)
    return "\n".join(lines)


def _plain(schedules: Schedules) -> str:
    return " ".join(_group(period, schedules.of(period)) for period in Period if schedules.of(period))


def _order(one: Schedule) -> tuple[int, ...]:
    period = one.period or 0
    unset = -1
    fields = (one.yearday, one.month, one.day, one.weekday, one.hour, one.minute)
    return (int(period), *(unset if value is None else value for value in fields))
