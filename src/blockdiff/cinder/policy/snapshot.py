"""What is written on a snapshot, both ways: name, description and metadata. The times are whole seconds."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, TypeVar

from blockdiff.cinder.policy import value
from blockdiff.cinder.policy.key import MANAGED, PREFIX
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DESCRIPTION = "Created and managed by Snapsentry"
EXPIRY = PREFIX + "snapshot-expiry-date"
EXPIRY_LOCAL = PREFIX + "snapshot-expiry-date-user-tz"
KIND = PREFIX + "snapshot-policy-type"
RETENTION = PREFIX + "snapshot-retention-days"
RETENTION_TYPE = PREFIX + "snapshot-retention-type"  # of ours, and only if it is a count

_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?(Z|([+-])([0-9]{2}):([0-9]{2}))",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A snapshot as Cinder lists it. ``status`` is Cinder's word, such as ``available``, ``creating`` or ``error``.

    ``created`` is kept in UTC. Raises InvalidInput for a time without a zone.
    """

    id: str
    volume: str
    created: dt.datetime
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    status: str = "available"
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "created", instant(self.created))


@dataclass(frozen=True, slots=True)
class SnapshotMetadata:
    """What says that a snapshot is managed, by which kind of policy, and when it expires: None is never, or by count.

    ``retention`` is days, or a count if ``retention_type`` says so. ``expiry`` has the offset of the policy's zone.
    """

    kind: str
    retention: int
    expiry: dt.datetime | None = None
    retention_type: str = value.TIME
    managed: bool = True

    def __post_init__(self) -> None:
        if self.expiry is not None:
            fixed = dt.timezone(dt.timedelta(minutes=_minutes(self.expiry)))
            object.__setattr__(self, "expiry", instant(self.expiry).replace(microsecond=0).astimezone(fixed))

    def to_metadata(self) -> dict[str, str]:
        """The keys and values; without an expiry its values are empty."""
        found = {
            MANAGED: "true" if self.managed else "false",
            EXPIRY: rfc3339(self.expiry.astimezone(dt.UTC)) if self.expiry else "",
            EXPIRY_LOCAL: rfc3339(self.expiry) if self.expiry else "",
            KIND: self.kind,
            RETENTION: str(self.retention),
        }
        return found if self.retention_type == value.TIME else found | {RETENTION_TYPE: self.retention_type}

    @classmethod
    def parse(cls, metadata: Mapping[str, object]) -> Self:
        """What the metadata of a snapshot says. Raises InvalidInput with the key of what cannot be read.

        Of two expiry dates that differ the later one holds.
        """
        found = _texts(metadata)
        expiry, local = _read(EXPIRY, found, _expiry), _read(EXPIRY_LOCAL, found, _expiry)
        if expiry is not None and local is not None:  # without the first there is no date; the second is for people
            expiry = max(local, expiry)
        return cls(
            kind=found.get(KIND, ""),
            retention=_read(RETENTION, found, value.number) or 0,
            expiry=expiry,
            retention_type=_read(RETENTION_TYPE, found, value.retention_type) or value.TIME,
            managed=_read(MANAGED, found, value.boolean) or False,
        )


def snapshot_name(kind: str, volume: str, start: dt.datetime) -> str:
    """The name of the snapshot of a window that begins at ``start`` (as the clocks of the policy show it)."""
    return f"managed-{kind}-{volume}-{rfc3339(start)}"


def rfc3339(time: dt.datetime) -> str:
    """A time as Go writes it: whole seconds, ``Z`` if the clocks show UTC."""
    minutes = _minutes(time)
    shown = (instant(time) + dt.timedelta(minutes=minutes)).replace(tzinfo=None, microsecond=0)
    hour, minute = divmod(abs(minutes), 60)
    return shown.isoformat() + (f"{'-' if minutes < 0 else '+'}{hour:02}:{minute:02}" if minutes else "Z")


def instant(time: dt.datetime) -> dt.datetime:
    """The time in UTC. Times of one zone are compared by what its clocks show, which they show twice in autumn.

    Raises InvalidInput for a time without a zone, and outside the years 2 to 9998.
    """
    if time.utcoffset() is None:
        raise InvalidInput(f"the time {time.isoformat()} has no time zone")
    if not dt.MINYEAR < time.year < dt.MAXYEAR:
        raise InvalidInput(f"the time {time.isoformat()} is out of range: the years 2 to 9998 are accepted")
    return time.astimezone(dt.UTC)


def _minutes(time: dt.datetime) -> int:
    """Those of the offset; old ones have seconds, which no text can say."""
    return int((time.utcoffset() or dt.timedelta()) / dt.timedelta(minutes=1))


def _texts(metadata: Mapping[str, object]) -> dict[str, str]:
    """The keys in small letters."""
    found: dict[str, str] = {}
    for key, text in metadata.items():
        name = key.lower()
        if not name.startswith(PREFIX):
            continue
        if not isinstance(text, str):
            raise InvalidInput(f"{name}: invalid value {value.shown(repr(text))[1:-1]}; must be a text")
        if found.setdefault(name, text) != text:
            raise InvalidInput(f"{name}: it is given twice, {value.shown(found[name])} and {value.shown(text)}")
    return found


_T = TypeVar("_T")


def _read(key: str, found: Mapping[str, str], read: Callable[[str], _T]) -> _T | None:
    try:
        return read(found[key]) if key in found else None
    except InvalidInput as error:
        raise InvalidInput(f"{key}: {error}") from None


def _expiry(text: str) -> dt.datetime | None:
    """A time in strict RFC 3339, rounded up to seconds; None if empty, or the zero time of Go."""
    if not text:
        return None
    match = _RFC3339.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        hours, minutes = int(match[10] or 0), int(match[11] or 0)
        if hours > 23 or minutes > 59:
            raise ValueError
        offset = dt.timedelta(hours=hours, minutes=minutes) * (-1 if match[9] == "-" else 1)
        more = dt.timedelta(seconds=bool((match[7] or "").strip(".0")))
        time = dt.datetime(*(int(part) for part in match.groups()[:6]), tzinfo=dt.timezone(offset)) + more  # type: ignore[arg-type, misc]
        return None if time.year == dt.MINYEAR else instant(time).astimezone(time.tzinfo)
    except (ValueError, OverflowError, InvalidInput):
        raise InvalidInput(
            f"invalid time {value.shown(text)}; must be such as 2026-01-31T14:00:00Z or 2026-01-31T15:00:00+01:00"
        ) from None
