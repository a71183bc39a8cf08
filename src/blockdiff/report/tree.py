"""Whatever a report says of a feature, as something that a page can show: names, values and tables."""

from __future__ import annotations

from typing import Any, NamedTuple

from blockdiff.units import format_size

MAX_ROWS = 200
MAX_COLUMNS = 12
MAX_TEXT = 2000


class Table(NamedTuple):
    """Rows of equal things; ``left_out`` of them are not shown."""

    head: list[str]
    rows: list[list[str]]
    left_out: int


class Entry(NamedTuple):
    """A name with a text, or with a table, or with entries of its own."""

    name: str
    text: str = ""
    table: Table | None = None
    entries: list[Entry] | None = None


def entries(value: Any) -> list[Entry]:
    """A JSON object as entries; anything else as one without a name."""
    if isinstance(value, dict):
        shown = [_entry(str(key), item) for key, item in list(value.items())[:MAX_ROWS]]
        if len(value) > MAX_ROWS:
            shown.append(Entry("", f"and {len(value) - MAX_ROWS} more"))
        return shown
    return [_entry("", value)]


def _entry(key: str, value: Any) -> Entry:
    name = words(key)
    if isinstance(value, dict) and value and all(_is_flat(item) for item in value.values()):
        return Entry(name, table=_table([{name.lower(): key, **item} for key, item in value.items()]))
    if isinstance(value, dict):
        return Entry(name, entries=entries(value)) if value else Entry(name, "none")
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return Entry(name, table=_table(value))
    return Entry(name, text(key, value))


def _is_flat(value: Any) -> bool:
    """An object of single values: a row of a table."""
    return isinstance(value, dict) and bool(value) and not any(isinstance(item, dict | list) for item in value.values())


def _table(items: list[dict[str, Any]]) -> Table:
    shown = items[:MAX_ROWS]
    head = list(dict.fromkeys(key for item in shown for key in item))[:MAX_COLUMNS]
    rows = [[text(key, item[key]) if key in item else "" for key in head] for item in shown]
    return Table([words(key) for key in head], rows, len(items) - len(shown))


def words(key: str) -> str:
    """A key as a name for people."""
    name = key.replace("_", " ").replace("-", " ").strip()
    return (name[:1].upper() + name[1:])[:MAX_TEXT]


def text(key: str, value: Any) -> str:
    """A value for people; sizes also in units."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        size = key.endswith(("bytes", "size", "_length")) or key in ("bytes", "length", "size")
        return f"{value:,} ({format_size(value)})" if size and 1024 <= value < 1 << 63 else f"{value:,}"[:MAX_TEXT]
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, list):
        shown = ", ".join(text(key, item) for item in value[:MAX_ROWS])
        rest = f", and {len(value) - MAX_ROWS} more" if len(value) > MAX_ROWS else ""
        return (shown[:MAX_TEXT] or "none") + rest
    if isinstance(value, dict):
        return ", ".join(f"{words(str(name))}: {text(str(name), item)}" for name, item in list(value.items())[:20])[
            :MAX_TEXT
        ]
    return str(value)[:MAX_TEXT] + ("..." if len(str(value)) > MAX_TEXT else "")
