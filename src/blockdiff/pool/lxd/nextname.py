"""The name of the next snapshot of a volume, by its ``snapshots.pattern``.

``snap%d`` gives ``snap0``, ``snap1``, ...; ``{{ creation_date|date:'2006-01-02' }}`` a date. The rules are LXD's, with
those of its instances for names that are taken already (docs/schedules/lxd.md).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from blockdiff.errors import InvalidInput
from blockdiff.pool.fault import fault
from blockdiff.pool.lxd.template import PatternError, render
from blockdiff.schedule.spot import Spot
from blockdiff.schedule.words import quoted

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping

KEY = "snapshots.pattern"
DEFAULT = "snap%d"
_INDEX = "%d"
_TOP = 1 << 63
# what Go's Sscanf takes for %d: spaces, a sign, all digits there are
_NUMBER = r"[ \t\r\f\v\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*([+-]?[0-9]++)"
_WRONG = re.compile(r"[/\s\x00-\x1f\x7f]")


def determine_next_snapshot_name(
    volume: str, config: Mapping[str, str], existing: Iterable[str], now: dt.datetime, *, default: str = DEFAULT
) -> str:
    """The name that a snapshot made now gets; never one of ``existing``.

    ``existing`` are the names of the volume's snapshots, alone or behind ``VOLUME/``. ``now`` has the zone whose clock
    the name shows. Raises PatternError for a pattern that is wrong, and InvalidInput for other arguments.
    """
    if now.tzinfo is None:
        raise InvalidInput(f"the time {now.isoformat()} has no time zone")
    taken = {_own(volume, name) for name in existing}
    pattern = config.get(KEY) or default
    rendered = render(pattern, now)
    if rendered.count(_INDEX) > 1:
        raise PatternError("Snapshot pattern may contain '%%d' only once")
    if _INDEX not in rendered:
        if rendered not in taken:
            return _legal(rendered, pattern)
        rendered += "-" + _INDEX
    index = next_index(rendered, taken)
    while (name := rendered.replace(_INDEX, str(index))) in taken:  # of numbers that are none for Go
        index += 1
    return _legal(name, pattern)


def next_index(pattern: str, names: Iterable[str]) -> int:
    """One more than the largest number that stands in place of ``%d`` in a name, 0 if there is none.

    A name counts if it begins like the pattern, as for Go's Sscanf: what follows is ignored.
    """
    before, _, after = pattern.partition(_INDEX)
    match = re.compile(re.escape(before) + _NUMBER + re.escape(after), re.ASCII).match
    found = (int(number[1]) for name in names if (number := match(name)) and len(number[1]) < 1000)
    return max((number for number in found if -1 <= number < _TOP), default=-1) + 1


def _own(volume: str, name: str) -> str:
    """The name of a snapshot without that of its volume. Raises InvalidInput if it is one of another volume."""
    parent, slash, own = name.rpartition("/")
    if slash and parent != volume:
        raise InvalidInput(f"{quoted(name)} is no snapshot of {quoted(volume)}")
    return own


def _legal(name: str, pattern: str) -> str:
    """The name. Raises PatternError for one that no snapshot may have."""
    wrong = _WRONG.search(name)
    if not name or wrong or ".." in name or name == ".":
        what = (
            "is empty" if not name else f"has {quoted(wrong[0])} in it" if wrong else "has only dots, or two in a row"
        )
        hint = "write a date as {{ creation_date|date:'2006-01-02_15-04-05' }}"
        raise fault(PatternError, Spot.of(pattern), f"the name {quoted(name)} {what}: {hint}")
    return name
