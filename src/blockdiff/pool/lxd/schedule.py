"""``snapshots.schedule``: ``@daily, 0,30 8-17 * * mon-fri``, as one of the languages of schedules.

Beside the text alone there is the configuration that it stands in, as ``lxc config show`` prints it, with the age at
which snapshots expire (docs/schedules/lxd.md):

    snapshots.schedule: '@daily'
    snapshots.expiry: 7d
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from blockdiff.errors import InvalidInput
from blockdiff.pool.fault import fault
from blockdiff.pool.lxd import cronspec
from blockdiff.pool.lxd.expiry import Expiry, ExpiryError
from blockdiff.schedule.chronish import ScheduleError
from blockdiff.schedule.rule import Rule
from blockdiff.schedule.words import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdiff.schedule.language import Context

SCHEDULE, EXPIRY = "snapshots.schedule", "snapshots.expiry"
_ALIASES = {
    "@hourly": "{minute} * * * *",
    "@daily": "{minute} {hour} * * *",
    "@midnight": "{minute} 0 * * *",
    "@weekly": "{minute} {hour} * * 0",
    "@monthly": "{minute} {hour} 1 * *",
    "@annually": "{minute} {hour} 1 1 *",
    "@yearly": "{minute} {hour} 1 1 *",
}
NEVER, STARTUP = "@never", "@startup"
_SPECIAL = (NEVER, STARTUP)
ALIASES = (*_ALIASES, *_SPECIAL)


def spread(id: str) -> tuple[int, int]:  # noqa: A002 LXD calls it so
    """The hour and the minute of an object's aliases: the same ones each time, and others for other objects.

    Without an id it is midnight, as for cron.
    """
    if not id:
        return 0, 0
    digest = hashlib.blake2b(id.encode(errors="surrogatepass"), digest_size=8, person=b"lxd schedule").digest()
    return divmod(int.from_bytes(digest, "big") % 1440, 60)


@dataclass(frozen=True, slots=True)
class LxdSchedule:
    """The schedules of one object: aliases, or five fields. ``str()`` gives the text, in small letters."""

    items: tuple[str, ...] = ()
    expiry: Expiry | None = None
    zone: dt.tzinfo = dt.UTC
    id: str = ""
    original: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        text = ", ".join(self.items)
        return f"{SCHEDULE}: {_scalar(text)}\n{EXPIRY}: {_scalar(str(self.expiry))}" if self.expiry else text

    def to_json(self) -> bytes:
        """The two keys of the configuration, as an object."""
        config = {SCHEDULE: ", ".join(self.items)}
        return msgspec.json.encode(config | ({EXPIRY: str(self.expiry)} if self.expiry else {}))

    @property
    def at_startup(self) -> bool:
        """Whether a snapshot is taken when the instance starts."""
        return STARTUP in self.items

    def rules(self) -> tuple[Rule, ...]:
        """One for each item that is ever due, without those that say the same again.

        Raises InvalidInput for ``@startup``, which is no time: see ``at_startup`` and ``timed``.
        """
        if self.at_startup:
            raise InvalidInput(f"{STARTUP} is due when the instance starts, and that is no time: leave it out")
        return self.timed()

    def timed(self) -> tuple[Rule, ...]:
        """The rules of all items but ``@startup``."""
        found: dict[object, Rule] = {}
        keep = self.expiry.keep() if self.expiry else None
        for item in self.items:
            calendar = None if item in _SPECIAL else cronspec.meaning(self._fields(item))
            if calendar is not None:
                found.setdefault(calendar, Rule(calendar, self.zone, keep, name=item))
        return tuple(found.values())

    def _fields(self, item: str) -> tuple[cronspec.Field, ...]:
        hour, minute = spread(self.id)
        frame = _ALIASES.get(item)
        return cronspec.read(frame.format(hour=hour, minute=minute) if frame else item, original=self.original)


class _Value(NamedTuple):
    """The value of a key, and the line in which it stands, from ``start`` on."""

    text: str = ""
    whole: str = ""
    start: int = 0
    line: int = 1

    def wrong(self, reason: str, start: int, length: int) -> ScheduleError:
        return fault(ScheduleError, reason, self.whole, self.start + start, length, line=self.line)


class _Lxd:
    name = "lxd"

    def parse(self, text: str, context: Context) -> LxdSchedule:
        config = _json(text) if context.json else _config(text)
        items = _items(config.get(SCHEDULE, _Value()), original=context.original)
        return LxdSchedule(items, _expiry(config.get(EXPIRY, _Value())), context.zone, context.id, context.original)

    def from_rules(self, rules: Sequence[Rule]) -> LxdSchedule:
        from blockdiff.pool.lxd.convert import config_of

        return LxdSchedule(*config_of(rules))


LANGUAGE = _Lxd()


def parse_schedule(text: str, *, original: bool = False) -> tuple[str, ...]:
    """The items of ``snapshots.schedule``, checked, in small letters. Raises ScheduleError with the column."""
    return _items(_Value(text, text), original=original)


def _items(value: _Value, *, original: bool) -> tuple[str, ...]:
    found, at = [], 0
    for item in value.text.split(", ") if value.text else ():
        _check(item, at, value, original=original)
        found.append(item.lower())
        at += len(item) + 2
    return tuple(found)


def _check(item: str, at: int, value: _Value, *, original: bool) -> None:
    if item.lower() in ALIASES:
        return
    try:
        cronspec.read(item.lower(), original=original)
    except cronspec.CronFault as error:
        hint = "" if " " in item and "@" not in item else f"; or one of {', '.join(ALIASES)}, with ', ' between them"
        raise value.wrong(error.reason + hint, at + error.start, error.length) from None


def _expiry(value: _Value) -> Expiry | None:
    try:
        return Expiry.parse(value.text)
    except ExpiryError as error:
        raise value.wrong(error.reason, error.column - 1, error.excerpt.count("^")) from None


# ---- the configuration around it ----


def _config(text: str) -> dict[str, _Value]:
    """The keys of lines ``KEY: VALUE``; a text that has none is a schedule."""
    text = text.removesuffix("\n")
    if not text.lower().startswith("snapshots."):
        return {SCHEDULE: _Value(text, text)}
    found: dict[str, _Value] = {}
    for number, line in enumerate(text.split("\n"), 1):
        key, colon, rest = line.partition(":")
        if not colon or key not in (SCHEDULE, EXPIRY) or key in found:
            reason = f"{key} is given twice" if key in found else f"lines of {SCHEDULE} and {EXPIRY} are wanted"
            raise fault(ScheduleError, reason, line, 0, len(key), line=number)
        value = _unquoted(rest.strip(" "))
        found[key] = _Value(value, line, line.index(value, len(key) + 1) if value else len(line), number)
    return found


def _unquoted(text: str) -> str:
    """A plain YAML scalar, or one in quotes; a schedule has no use for escapes."""
    for quote in "'\"":
        if len(text) > 1 and text.startswith(quote) and text.endswith(quote) and quote not in text[1:-1]:
            return text[1:-1]
    return text


def _scalar(text: str) -> str:
    """As YAML: what it would not take for a plain text stands in quotes."""
    return f"'{text}'" if not text or text[0] in "@*?0123456789" else text


def _json(text: str) -> dict[str, _Value]:
    try:
        found = msgspec.json.decode(text, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidInput(f"no configuration: {error}") from None
    unknown = sorted(found.keys() - {SCHEDULE, EXPIRY})
    if unknown:
        raise InvalidInput(f"no schedule has {', '.join(map(quoted, unknown))}: accepted are {SCHEDULE} and {EXPIRY}")
    return {key: _Value(value, value) for key, value in found.items()}
