"""What names say of snapshots: tags in every language, and SnapSentry's own names in its own."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

from blockdiff.retention.entry import NO_TAG, point_of, tag_of
from blockdiff.retention.verdict import Point

if TYPE_CHECKING:
    from blockdiff.schedule.words import Period

# managed-daily-VOLUME-2026-01-31T14:00:00+01:00: the policy, the volume, and the start of its window
_SNAPSENTRY = re.compile(
    r"managed-(express|daily|weekly|monthly)-(.+)-([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(?:Z|[+-][0-9]{2}:[0-9]{2}))",
    re.ASCII | re.DOTALL,
)


def named_point(name: str, language: str) -> Point:
    """What a name says; of one that says nothing ``foreign`` is NO_TAG."""
    match = _SNAPSENTRY.fullmatch(name) if language == "snapsentry" else None
    if match is None:
        return point_of(name)
    try:
        return Point(name, dt.datetime.fromisoformat(match[3]), series=match[2], rule=match[1])
    except ValueError:
        return Point(name, None, foreign=NO_TAG)


def period_of(point: Point) -> Period | None:
    """That of a tag; None for another name."""
    tag = tag_of(point.name)
    return None if tag is None else tag.period
