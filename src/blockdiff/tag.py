"""Names of snapshots that say what they were taken for: ``auto-v2-hourly-202001020300-4``.

Format: snapper's tags (SoftIron HyperCloud), versions 2 and 3. The time is the scheduled one, not when it happened.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

import msgspec

from blockdiff.errors import InvalidInput
from blockdiff.schedule.plan import Schedule
from blockdiff.schedule.words import Period, Type, integer, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

_SECOND, _THIRD = 2, 3


class TagError(InvalidInput):
    """A name that is no tag."""


@lru_cache(maxsize=4096)  # of a million names most are of few times
def parse_tag_time(text: str) -> dt.datetime:
    """The time of twelve digits ``YYYYMMDDHHMM``, in UTC. Raises TagError."""
    try:
        if len(text) != 12 or not text.isascii() or not text.isdigit():
            raise ValueError
        return dt.datetime.fromisoformat(f"{text[:8]}T{text[8:]}Z")
    except ValueError:
        raise TagError(
            f"invalid time {quoted(text)}: twelve digits YYYYMMDDHHMM are wanted, of a day that exists"
        ) from None


class Tag(msgspec.Struct, frozen=True, gc=False):  # in no cycle: the collector looked at a million for half the time
    """``vm`` is the number of the machine (auto), ``rbd`` the name of the image (manual). ``time`` is None if unset.

    ``str()`` is the name, empty if something is missing.
    """

    period: Period | None = None
    time: dt.datetime | None = None
    vm: int = 0
    rbd: str = ""
    version: int = 0

    @property
    def type(self) -> Type:
        """Manual if it names an image."""
        return Type.MANUAL if self.rbd else Type.AUTO

    @property
    def id(self) -> str:
        """The image's name, or the machine's number."""
        return self.rbd or str(self.vm)

    @property
    def is_zero(self) -> bool:
        """Nothing is set."""
        return self.period is None and self.vm == 0 and self.time is None

    def __str__(self) -> str:
        if self.version not in (0, _SECOND, _THIRD) or self.period is None or self.time is None:
            return ""
        when = f"{self.time.year:04}{self.time:%m%d%H%M}"
        if self.version == _THIRD:
            return f"{self.type}-v3-{self.period}-{when}-{self.id}"
        return f"auto-v2-{self.period}-{when}-{'m' if self.rbd else ''}{self.id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The tag of a name. Raises TagError: ``cannot parse "NAME": what is wrong``."""
        parts = text.split("-", 4)
        read = _READERS.get(parts[1]) if len(parts) == 5 else None
        if read is None:
            raise TagError(f"invalid tag {quoted(text)}: KIND-VERSION-PERIOD-TIME-ID is wanted, VERSION v2 or v3")
        kind, version, period, time, name = parts
        try:
            known = _PERIODS.get(period)
            if known and kind == "auto" and len(name) < 19 and name.isdigit() and name.isascii():  # nearly all of them
                return cls(known, parse_tag_time(time), int(name), "", _VERSIONS[version])
            return cls(*read(kind, period, time, name))
        except InvalidInput as error:
            raise TagError(f"cannot parse {quoted(text)}: {error}") from None

    def schedule(self, zone: str = "") -> Schedule:
        """The schedule that the tag is of: local, one kept. The original forgets the time of day of longer periods.

        The day and the hour are those of the tag's own time, or of the time zone that ``zone`` names.
        """
        if self.time is None or self.period is None:
            return Schedule()
        place = Schedule(zone=zone).place if zone else None
        if self.time.tzinfo is None:
            raise TagError(f"the time {self.time.isoformat()} has no time zone")
        try:
            time = self.time.astimezone(place or self.time.tzinfo)
        except OverflowError:
            raise TagError(f"{self} is at an end of the calendar: {zone} has no such time") from None
        return _schedule(zone, tuple(_fields(self.period, time).items()))

    def to_dict(self) -> dict[str, Any]:
        """What the name says, for JSON."""
        return {
            "tag": str(self),
            "type": self.type.text,
            "version": self.version or _SECOND,
            "period": self.period and self.period.text,
            "time": self.time and self.time.isoformat(),
            "id": self.id,
            "vm": None if self.type is Type.MANUAL and self.version == _THIRD else self.vm,
            "rbd": self.rbd or None,
        }


@lru_cache(maxsize=4096)  # the tags of years are of few times of day
def _schedule(zone: str, fields: tuple[tuple[str, Any], ...]) -> Schedule:
    return replace(Schedule(zone=zone), **dict(fields)).normalised()


def _fields(period: Period, time: dt.datetime) -> dict[str, Any]:
    if period == Period.MINUTELY:
        return {"minutely": 1.0}
    fields = {"minute": time.minute}
    if period > Period.HOURLY:
        fields["hour"] = time.hour
    if period == Period.WEEKLY:
        fields["weekday"] = time.isoweekday() % 7
    elif period == Period.MONTHLY:
        fields["day"] = time.day
    elif period == Period.YEARLY:
        first = {"month": time.month, "day": 1}
        fields |= first if time.day == 1 else {"yearday": time.timetuple().tm_yday}
    return fields


def _read_v2(kind: str, period: str, time: str, name: str) -> tuple[Any, ...]:
    if kind != "auto":
        raise TagError("invalid prefix: version 2 begins with auto")
    rbd = name[1:] if name.startswith("m") else ""
    return _period(period), parse_tag_time(time), _vm(rbd or name), rbd, _SECOND


def _read_v3(kind: str, period: str, time: str, name: str) -> tuple[Any, ...]:
    """The faults of the name come first here, as in the original."""
    if kind not in ("auto", "manual"):
        raise TagError("invalid tag: it begins with auto or manual")
    if kind == "manual" and not name:
        raise TagError("it names no image")
    vm, rbd = (_vm(name), "") if kind == "auto" else (0, name)
    return _period(period), parse_tag_time(time), vm, rbd, _THIRD


_READERS: dict[str, Callable[[str, str, str, str], tuple[Any, ...]]] = {"v2": _read_v2, "v3": _read_v3}
_VERSIONS = {"v2": _SECOND, "v3": _THIRD}
_PERIODS = {period.text: period for period in Period}


def _period(text: str) -> Period:
    try:
        return _PERIODS.get(text) or Period.parse(text)
    except InvalidInput:
        raise TagError(f"invalid period {quoted(text)}: accepted are {', '.join(_PERIODS)}") from None


def _vm(text: str) -> int:
    try:
        return integer(text)
    except InvalidInput:
        raise TagError(f"invalid VM ID {quoted(text)}: a whole number is wanted") from None
