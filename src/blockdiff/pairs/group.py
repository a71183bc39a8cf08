"""Consistency groups: the volumes of one machine at one tag, and which of them lack it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from blockdiff.pairs.merging import merged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from blockdiff.pairs.match import Comparison
    from blockdiff.snapshot import Snapshot

    Grouping = Callable[[str, str], str]
    """(volume, name of a snapshot or empty) -> the name of its group, such as "vm 4"."""


class Group(NamedTuple):
    """One tag of one group. ``lacking`` are members that have no snapshot of that tag, so that it is not whole."""

    name: str
    tag: str
    members: tuple[tuple[str, Snapshot], ...]
    lacking: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Every volume of the group has the tag."""
        return not self.lacking

    def __str__(self) -> str:
        return f"{self.name}@{self.tag}"


def each_alone(volume: str, _tag: str) -> str:
    """The grouping of those who want none: a volume is a group."""
    return volume


def all_together(_volume: str, _tag: str) -> str:
    """One group of all volumes."""
    return ""


def groups(volumes: Mapping[str, Sequence[Snapshot]], grouping: Grouping) -> list[Group]:
    """Each tag of each group, in an order that follows those of the volumes.

    The volumes of a group are those it has by their own name, and those with a snapshot that names it. Whether a
    volume was made only after a tag is not known here: it lacks the tag all the same.
    """
    keys = {volume: [(grouping(volume, one.name), one.name) for one in made] for volume, made in volumes.items()}
    known: dict[str, dict[str, None]] = {}
    for volume, made in keys.items():
        for name in (*dict.fromkeys(name for name, _ in made), grouping(volume, "")):
            known.setdefault(name, {})[volume] = None
    tags: dict[tuple[str, str], list[tuple[str, Snapshot]]] = {}
    for volume, place in merged(keys):
        tags.setdefault(keys[volume][place], []).append((volume, volumes[volume][place]))
    found: list[Group] = []
    for (name, tag), members in tags.items():
        have = {volume for volume, _ in members}
        found.append(Group(name, tag, tuple(members), tuple(volume for volume in known[name] if volume not in have)))
    return found


def common_base(compared: Mapping[str, Comparison]) -> str | None:
    """The newest tag that all volumes of a group have in common with their copies, under one name on both sides.

    The order is that of the first volume. None if there is no such tag: the group has no base.
    """
    if not compared:
        return None
    first, *rest = (
        dict.fromkeys(match.source.name for match in one.matches if not match.renamed) for one in compared.values()
    )
    common = [name for name in first if all(name in other for other in rest)]
    return common[-1] if common else None
