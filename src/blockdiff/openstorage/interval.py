"""One interval of a schedule: periodic, daily, weekly or monthly, and how many snapshots of it are kept.

Format: openstorage's RetainIntervalSpec (pkg/sched).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from blockdiff.errors import InvalidInput

WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
KEEP = {"periodic": 5, "daily": 7, "weekly": 5, "monthly": 12}  # where nothing is said
MINUTE = 60 * 10**9  # nanoseconds
MOST_PERIOD = (1 << 63) - 1
MOST_KEEP = (1 << 32) - 1


class _Range(NamedTuple):
    least: int
    most: int


_CLOCK = {"hour": _Range(0, 23), "minute": _Range(0, 59)}
FIELDS: dict[str, dict[str, _Range]] = {
    "periodic": {"period": _Range(1, MOST_PERIOD)},
    "daily": _CLOCK,
    "weekly": {"weekday": _Range(0, 6), **_CLOCK},
    "monthly": {"day": _Range(1, 31), **_CLOCK},
}
NAMES = ("period", "weekday", "day", "hour", "minute")


@dataclass(frozen=True, slots=True)
class Interval:
    """``freq`` is periodic, daily, weekly or monthly; ``period`` is in nanoseconds; ``weekday`` 0 is Sunday.

    ``retain`` is how many are kept, 0 if it is not said. Raises InvalidInput for what no calendar has, and for a
    number that its kind has no use for.
    """

    freq: str
    period: int = 0
    weekday: int = 0
    day: int = 0
    hour: int = 0
    minute: int = 0
    retain: int = 0

    def __post_init__(self) -> None:
        allowed = FIELDS.get(self.freq)
        if allowed is None:
            raise InvalidInput(f"Invalid schedule spec: freq {self.freq!r}; accepted are {', '.join(FIELDS)}")
        for name in NAMES:
            value = getattr(self, name)
            least, most = allowed.get(name, (0, 0))
            if not least <= value <= most:
                uses = f"accepted are {least} to {most}" if most else f"{self.freq} has none"
                raise InvalidInput(f"invalid {name} {value}: {uses}")
        if not 0 <= self.retain <= MOST_KEEP:
            raise InvalidInput(f"invalid retain {self.retain}: accepted are 1 to {MOST_KEEP}")

    @property
    def keep(self) -> int:
        """How many are kept; where it is not said, what openstorage takes then."""
        return self.retain or KEEP[self.freq]

    @property
    def numbers(self) -> dict[str, int]:
        """The fields that are not 0, in the order of the text."""
        named = {name: getattr(self, name) for name in (*NAMES, "retain")}
        return {name: value for name, value in named.items() if value}

    def __str__(self) -> str:
        """The summary, such as ``weekly Sunday@12:00,keep last 5``."""
        clock = f"{self.hour:02}:{self.minute:02}"
        what = {
            "periodic": duration(self.period),
            "daily": f"@{clock}",
            "weekly": f"{WEEKDAYS[self.weekday]}@{clock}",
            "monthly": f"{self.day}@{clock}",
        }[self.freq]
        return f"{self.freq} {what}" + (f",keep last {self.retain}" if self.retain else "")

    @property
    def item(self) -> str:
        """The short form, such as ``weekly=Sunday@12:00,5``. Raises InvalidInput for a part of a minute."""
        clock = f"{self.hour:02}:{self.minute:02}"
        if self.period % MINUTE:
            raise InvalidInput(f"{self}: the short form has whole minutes only")
        what = {
            "periodic": f"{self.period // MINUTE}",
            "daily": clock,
            "weekly": f"{WEEKDAYS[self.weekday]}@{clock}",
            "monthly": f"{self.day}@{clock}",
        }[self.freq]
        return f"{self.freq}={what}" + (f",{self.retain}" if self.retain else "")


def duration(nanoseconds: int) -> str:
    """A length of time (0 or more) as Go prints it: ``15m0s``, ``1h0m0.5s``, ``2ms``."""
    if nanoseconds == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if nanoseconds < size * 1000:
            return f"{_fraction(nanoseconds, size)}{unit}"
    minutes, rest = divmod(nanoseconds, MINUTE)
    text = f"{_fraction(rest, 10**9)}s"
    if minutes:
        text = f"{minutes % 60}m{text}"
    return f"{minutes // 60}h{text}" if minutes >= 60 else text


def _fraction(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = f"{rest:0{len(str(unit)) - 1}}".rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)
