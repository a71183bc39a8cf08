"""A calendar for the terminal: each day with what is kept of it and what goes. As lines of text; nothing is printed."""

from __future__ import annotations

import calendar
import datetime as dt
import itertools
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_WEEKDAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
_CELL = 5
_GUTTER = 4
WIDTH = 7 * _CELL
"""Columns of a month."""
_DAY = dt.timedelta(days=1)


class Day(NamedTuple):
    """How many of a day stay, and how many expire."""

    kept: int = 0
    expired: int = 0


class Style(NamedTuple):
    """The marks, which are one column wide each, and whether there are colours."""

    kept: str = "●"
    mixed: str = "◐"
    expired: str = "○"
    gap: str = "·"
    dash: str = "–"
    colour: bool = False


ASCII = Style(kept="#", mixed="%", expired="o", gap=".", dash="-")
_COLOURS = {"kept": "32", "mixed": "33", "expired": "31", "gap": "2"}


def style_of(env: Mapping[str, str], *, terminal: bool) -> Style:
    """UTF-8 only if the locale says so; colours on a terminal that has some, unless NO_COLOR is set."""
    style = Style() if _utf8(env) else ASCII
    return style._replace(colour=terminal and not env.get("NO_COLOR") and env.get("TERM", "dumb") != "dumb")


def _utf8(env: Mapping[str, str]) -> bool:
    found = env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or ""
    if found == "C.UTF-8" and not env.get("LC_ALL") and env.get("LANG", "") in ("", "C", "POSIX"):
        return False  # Python itself sets LC_CTYPE to this where the locale is C
    return found.lower().replace("-", "").partition("@")[0].endswith("utf8")


def calendar_lines(days: Mapping[dt.date, Day], today: dt.date, columns: int, style: Style) -> list[str]:
    """The months from the first day to today or the last one, side by side where there is room; months without any
    snapshot in one line.
    """
    first, last = min(days, default=today), max([*days, today])
    lines: list[str] = []
    row: list[list[str]] = []
    beside = max(1, (columns + _GUTTER) // (WIDTH + _GUTTER))
    shown = {day.replace(day=1) for day in (*days, today)}
    for empty, group in itertools.groupby(_months(first, last), lambda month: month not in shown):
        months = list(group)
        if empty:
            lines += _rows(row, beside)
            row = []
            lines += [*_nothing(months, style), ""]
        else:
            row += [_month(month, days, (min(first, today), today), style) for month in months]
    return [*lines, *_rows(row, beside), *_legend(today, columns, style)]


def _months(first: dt.date, last: dt.date) -> Iterator[dt.date]:
    month = first.replace(day=1)
    while month <= last:
        yield month
        month = (month + 31 * _DAY).replace(day=1)


def _nothing(months: Sequence[dt.date], style: Style) -> list[str]:
    begin, end = months[0], months[-1]
    names = [f"{_MONTHS[one.month - 1]} {one.year}" for one in dict.fromkeys((begin, end))]
    return [f"{f' {style.dash} '.join(names)}: no snapshots"]


def _rows(months: Sequence[Sequence[str]], beside: int) -> list[str]:
    """Months side by side; their lines have the same width on the screen, colours or not."""
    lines: list[str] = []
    for at in range(0, len(months), beside):
        some = months[at : at + beside]
        beside_each_other = itertools.zip_longest(*some, fillvalue=" " * WIDTH)
        lines += [*((" " * _GUTTER).join(parts).rstrip() for parts in beside_each_other), ""]
    return lines


def _month(month: dt.date, days: Mapping[dt.date, Day], span: tuple[dt.date, dt.date], style: Style) -> list[str]:
    """A title, the weekdays, a line for each week, and the sums."""
    count = calendar.monthrange(month.year, month.month)[1]
    dates = [month + _DAY * number for number in range(count)]
    cells = [" " * _CELL] * month.weekday() + [_cell(date, days.get(date), span, style) for date in dates]
    cells += [" " * _CELL] * (-len(cells) % 7)
    weeks = ["".join(cells[at : at + 7]) for at in range(0, len(cells), 7)]
    title = f"{_MONTHS[month.month - 1]} {month.year}".center(WIDTH)
    header = "".join(f" {name}  " for name in _WEEKDAYS)
    return [title, header, *weeks, _sums([days.get(date, Day()) for date in dates])]


def _sums(days: Sequence[Day]) -> str:
    kept, expired = sum(day.kept for day in days), sum(day.expired for day in days)
    return f" {kept} kept, {expired} expired".ljust(WIDTH)


def _cell(date: dt.date, day: Day | None, span: tuple[dt.date, dt.date], style: Style) -> str:
    """``>12●3``: today or not, the day, its mark, and how many where that is more than one."""
    first, today = span
    lead = ">" if date == today else " "
    if day is None:
        kind = "gap" if first <= date <= today else ""
        number = 0
    else:
        kind = "mixed" if day.kept and day.expired else "kept" if day.kept else "expired"
        number = day.kept + day.expired
    mark = (getattr(style, kind) if kind else " ") + ("+" if number > 9 else str(number) if number > 1 else " ")
    shown = f"{lead}{date.day:2}{mark}"
    if not style.colour or not (kind or date == today):
        return shown
    codes = [*(["7"] if date == today else []), *([_COLOURS[kind]] if kind else [])]
    return f"\x1b[{';'.join(codes)}m{shown}\x1b[0m"


def _legend(today: dt.date, columns: int, style: Style) -> list[str]:
    parts = [
        f"{style.kept} kept",
        f"{style.mixed} some kept, some expired",
        f"{style.expired} expired",
        f"{style.gap} none",
        f"> {today}",
        "2..9: how many, +: more",
    ]
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + 3 + len(part) <= columns:
            lines[-1] += f"   {part}"
        else:
            lines.append(part)
    return lines


def columns_of(env: Mapping[str, str], default: int = 80) -> int:
    """The width of the screen: COLUMNS, else what the terminal says, else 80."""
    text = env.get("COLUMNS", "")
    if text.isascii() and text.isdigit() and int(text):
        return int(text)
    try:
        return os.get_terminal_size(1).columns or default
    except OSError:
        return default
