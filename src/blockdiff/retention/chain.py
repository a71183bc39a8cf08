"""Chains of differences: what one that is kept stands on must stay, and what stands on a broken one is broken."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping


class State(IntEnum):
    """What has become of a snapshot or of a copy of one; a greater one is worse."""

    COMPLETE = 0
    INCOMPLETE = 1
    """In the making: it is left alone, and counts for nothing."""
    FAILED = 2
    """It will never be complete."""


def checked(depends: Mapping[str, str], names: Collection[str]) -> None:
    """Raises InvalidInput for a name that is not there, and for a circle: what is needed could not be told."""
    for name, base in depends.items():
        if name not in names:
            raise InvalidInput(f"{name!r} is said to stand on {base!r}, but is not among the snapshots")
        if base not in names:
            raise InvalidInput(f"{name!r} stands on {base!r}, which is not among the snapshots: give the whole chain")
    sound: set[str] = set()
    for name in depends:
        path = {name: None}
        for base in bases(name, depends):
            if base in path:
                circle = [*path, base][list(path).index(base) :]
                raise InvalidInput(f"{base!r} stands on itself: {' on '.join(circle)}")
            if base in sound:
                break
            path[base] = None
        sound.update(path)


def bases(name: str, depends: Mapping[str, str]) -> Iterator[str]:
    """What a snapshot stands on, the nearest first."""
    while (base := depends.get(name)) is not None:
        yield base
        name = base


def worst(states: Mapping[str, State], depends: Mapping[str, str]) -> dict[str, State]:
    """The state of each with all that it stands on: a difference to a failed base is as good as failed."""
    found: dict[str, State] = {}
    for name in states:
        path = [name]
        for base in bases(name, depends):
            if base in found:
                break
            path.append(base)
        for link in reversed(path):
            below = found.get(depends.get(link, ""), State.COMPLETE)
            found[link] = max(states[link], below)
    return found


def needed(kept: Iterable[str], depends: Mapping[str, str]) -> dict[str, str]:
    """What those that are kept stand on, each with the first of them that does."""
    found: dict[str, str] = {}
    for name in kept:
        for base in bases(name, depends):
            if base in found:
                break
            found[base] = name
    return found
