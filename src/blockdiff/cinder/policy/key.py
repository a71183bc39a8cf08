"""The names of metadata keys. A key is SnapSentry's in any case of its letters; all others belong to somebody else."""

from __future__ import annotations

PREFIX = "x-snapsentry-"
MANAGED = PREFIX + "managed"
OLD_DAY = PREFIX + "monthly-day-of-month"  # the original writes this one and reads START_DAY
START_DAY = PREFIX + "monthly-start-day-of-month"

_ALL = ("enabled", "retention-days", "retention-type", "timezone")
SUFFIXES: dict[str, tuple[str, ...]] = {
    "express": (*_ALL, "interval-hours"),
    "daily": (*_ALL, "start-time"),
    "weekly": (*_ALL, "start-time", "start-day-of-week"),
    "monthly": (*_ALL, "start-time", "start-day-of-month"),
}
"""What follows ``x-snapsentry-KIND-``, by kind of policy, in the order in which the original works through them."""


def key_of(kind: str, suffix: str) -> str:
    """The key of one value of a policy."""
    return f"{PREFIX}{kind}-{suffix}"


KNOWN = {key_of(kind, suffix): (kind, suffix) for kind, suffixes in SUFFIXES.items() for suffix in suffixes}
KNOWN[OLD_DAY] = ("monthly", "day-of-month")


def is_ours(key: str) -> bool:
    """Whether a key is SnapSentry's, also a misspelt one: blanks around it, underscores, no hyphen."""
    return _folded(key).startswith(PREFIX[:-1])


def kind_of(key: str) -> str:
    """The kind of policy that a key is about, known or not; empty if none can be told."""
    words = _folded(key).removeprefix(PREFIX).split("-")
    return words[0] if words[0] in SUFFIXES else ""


def _folded(key: str) -> str:
    return key.strip().casefold().replace("_", "-")


def accepted(key: str) -> str:
    """What could have been meant by a key that is not known, in words."""
    from difflib import get_close_matches

    kind = kind_of(key)
    near = get_close_matches(_folded(key)[:100], [MANAGED, *KNOWN], n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    if kind:
        return f"{hint}accepted are {key_of(kind, '')}" + ", ".join(f"{one}" for one in SUFFIXES[kind])
    return f"{hint}accepted are {MANAGED} and those that begin with {', '.join(key_of(one, '') for one in SUFFIXES)}"
