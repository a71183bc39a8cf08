"""``snapshots.schedule``: ``@daily, 0,30 8-17 * * mon-fri``, as one of the languages of schedules.

Beside the text alone there is the configuration that it stands in, as ``lxc config show`` prints it, with the age at
which snapshots expire (docs/schedules/lxd.md):

    snapshots.schedule: '@daily'
    snapshots.expiry: 7d
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from blockdiff.errors import InvalidInput
from blockdiff.pool.lxd import cronspec
from blockdiff.pool.lxd.expiry import Expiry
from blockdiff.schedule.rule import Rule
from blockdiff.schedule.spot import Spot
from blockdiff.schedule.words import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdiff.schedule.calendar import Calendar
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

    @property
    def never(self) -> tuple[str, ...]:
        """The items that are never due; no rule stands for them."""
        return tuple(dict.fromkeys(item for item in self.items if item != STARTUP and self._calendar(item) is None))

    def timed(self) -> tuple[Rule, ...]:
        """The rules of all items but ``@startup``."""
        found: dict[object, Rule] = {}
        keep = self.expiry.keep() if self.expiry else None
        for item in self.items:
            calendar = self._calendar(item)
            if calendar is not None:
                found.setdefault(calendar, Rule(calendar, self.zone, keep, name=item))
        return tuple(found.values())

    def _calendar(self, item: str) -> Calendar | None:
        return None if item in _SPECIAL else cronspec.meaning(self._fields(item))

    def _fields(self, item: str) -> tuple[cronspec.Field, ...]:
        hour, minute = spread(self.id)
        frame = _ALIASES.get(item)
        return cronspec.read(frame.format(hour=hour, minute=minute) if frame else item, original=self.original)


class _Lxd:
    name = "lxd"

    def parse(self, text: str, context: Context) -> LxdSchedule:
        config = _json(text) if context.json else _config(text)
        items = _items(config.get(SCHEDULE, Spot.of("")), original=context.original)
        return LxdSchedule(
            items, Expiry.read(config.get(EXPIRY, Spot.of(""))), context.zone, context.id, context.original
        )

    def from_rules(self, rules: Sequence[Rule]) -> LxdSchedule:
        from blockdiff.pool.lxd.convert import config_of

        return LxdSchedule(*config_of(rules))


LANGUAGE = _Lxd()


def parse_schedule(text: str, *, original: bool = False) -> tuple[str, ...]:
    """The items of ``snapshots.schedule``, checked, in small letters. Raises ScheduleError with the column."""
    return _items(Spot.of(text), original=original)


def _items(spot: Spot, *, original: bool) -> tuple[str, ...]:
    found, at = [], 0
    for item in spot.text.split(", ") if spot.text else ():
        _check(spot.after(at).first(len(item)), original=original)
        found.append(item.lower())
        at += len(item) + 2
    return tuple(found)


def _check(item: Spot, *, original: bool) -> None:
    text = item.text.lower()
    if text in ALIASES:
        return
    try:
        cronspec.read(text, original=original)
    except cronspec.CronFault as error:
        hint = "" if " " in text and "@" not in text else f"; or one of {', '.join(ALIASES)}, with ', ' between them"
        raise item.after(error.start).first(error.length).wrong(error.reason + hint) from None


# ---- the configuration around it ----


def _config(text: str) -> dict[str, Spot]:
    """The keys of lines ``KEY: VALUE``, indented or not; a text that has none is a schedule."""
    whole = Spot.of(text.removesuffix("\n"))
    if not whole.text.lstrip().lower().startswith("snapshots."):
        return {SCHEDULE: whole}
    found: dict[str, Spot] = {}
    for line in whole.split("\n"):
        key, colon, value = line.stripped().partition(":")
        if not colon or key.text not in (SCHEDULE, EXPIRY):
            raise key.wrong(f"lines of {SCHEDULE} and {EXPIRY} are wanted")
        if key.text in found:
            raise key.wrong(f"{key.text} is given twice")
        found[key.text] = _unquoted(value.stripped())
    return found


def _unquoted(value: Spot) -> Spot:
    """A plain YAML scalar, or one in quotes; a schedule has no use for escapes."""
    text = value.text
    for quote in "'\"":
        if len(text) > 1 and text.startswith(quote) and text.endswith(quote) and quote not in text[1:-1]:
            return value.after(1).first(len(text) - 2)
    return value


def _scalar(text: str) -> str:
    """As YAML: what it would not take for a plain text stands in quotes."""
    return f"'{text}'" if not text or text[0] in "@*?0123456789" else text


def _json(text: str) -> dict[str, Spot]:
    try:
        found = msgspec.json.decode(text, type=dict[str, str])
        pairs = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"no configuration: {error}") from None
    if len(pairs) > len(found):
        raise InvalidInput("no configuration: a key is given twice")
    unknown = sorted(found.keys() - {SCHEDULE, EXPIRY})
    if unknown:
        raise InvalidInput(f"no schedule has {', '.join(map(quoted, unknown))}: accepted are {SCHEDULE} and {EXPIRY}")
    return {key: Spot.of(value) for key, value in found.items()}
