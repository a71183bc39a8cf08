"""Verdicts as a table, as JSON, and as calendars."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from blockdiff.cli.retention.calendar import Day, calendar_lines, columns_of, style_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence

    from blockdiff.cli.retention.judging import Answer


def write(lines: Iterable[str]) -> None:
    """To stdout, past its text layer: names of snapshots may be of any characters."""
    for line in lines:
        sys.stdout.buffer.write(line.encode(errors="surrogateescape") + b"\n")


def table(answers: Sequence[Answer]) -> list[str]:
    """A line each: verdict, name, reason."""
    names = [printable(_name(one)) for one in answers]
    width = max(map(len, names), default=0)
    return [
        f"{_word(one):<8} {name:<{width}}  {printable(one.verdict.reason)}"
        for one, name in zip(answers, names, strict=True)
    ]


def _word(one: Answer) -> str:
    return "expired" if one.verdict.expired else "coming" if one.planned else "keep"


def _name(one: Answer) -> str:
    return f"{one.volume}@{one.verdict.name}" if one.volume else one.verdict.name


def printable(text: str) -> str:
    """What a storage calls its snapshots does not reach the terminal raw."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def json_lines(answers: Sequence[Answer]) -> list[str]:
    """One line; docs/schemas/retention.schema.json."""
    return [json.dumps([_object(one) for one in answers])]


def _object(one: Answer) -> dict[str, object]:
    name, expired, reason, time = one.verdict
    found: dict[str, object] = {"name": name, "expired": expired, "reason": reason}
    found["time"] = time and time.isoformat()
    if one.volume:
        found["volume"] = one.volume
    if one.planned:
        found["planned"] = True
    return found


def calendars(answers: Sequence[Answer], now: dt.datetime, zone: dt.tzinfo) -> list[str]:
    """One for each volume, with its sums."""
    style = style_of(os.environ, terminal=sys.stdout.isatty())
    columns = columns_of(os.environ)
    volumes: dict[str, list[Answer]] = {}
    for one in answers:
        volumes.setdefault(one.volume, []).append(one)
    lines: list[str] = []
    for volume, some in (volumes or {"": []}).items():
        lines += ([""] if lines else []) + ([printable(volume), ""] if volume else [])
        lines += calendar_lines(_days(some, zone), now.astimezone(zone).date(), columns, style)
        lines += ["", *_summary(some)]
    return lines


def _days(answers: Sequence[Answer], zone: dt.tzinfo) -> dict[dt.date, Day]:
    found: dict[dt.date, Day] = {}
    for one in answers:
        if one.verdict.time is not None:
            date = one.verdict.time.astimezone(zone).date()
            kept, expired = found.get(date, Day())
            gone = one.verdict.expired
            found[date] = Day(kept + (not gone), expired + gone)
    return found


def _summary(answers: Sequence[Answer]) -> list[str]:
    gone = sum(one.verdict.expired for one in answers)
    dateless = sum(one.verdict.time is None for one in answers)
    lines = [f"{len(answers)} snapshots: {len(answers) - gone} kept, {gone} expired"]
    if dateless:
        lines.append(f"{dateless} of unknown time: kept, not shown")
    return lines
