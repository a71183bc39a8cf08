"""Which snapshots of a volume must be sent to its copy, and which of the copy's are not the source's.

The rule is LXD's CompareSnapshots, exactly: the same name with another creation date or id is another snapshot. Its
JSON has the keys ``Name``, ``ID`` and ``CreationDate``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

from blockdiff.errors import InvalidInput
from blockdiff.pool.instant import Instant
from blockdiff.schedule.words import quoted

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence


class _Wire(msgspec.Struct, forbid_unknown_fields=True):
    name: str = msgspec.field(name="Name")
    created: str = msgspec.field(name="CreationDate")
    id: str = msgspec.field(name="ID", default="")


class ComparableSnapshot(NamedTuple):
    """``name`` without that of the volume; ``id`` stays empty where snapshots have none that a copy shares."""

    name: str
    created: Instant
    id: str = ""

    @classmethod
    def make(cls, name: str, created: dt.datetime | str | Instant, id: str = "") -> Self:  # noqa: A002 its name
        """With the creation date as a time with a zone, or as RFC 3339. Raises InvalidInput."""
        return cls(name, Instant.of(created), id)

    def to_json(self) -> bytes:
        """The JSON object, the date in UTC. Raises InvalidInput for a name that is no Unicode."""
        try:
            return msgspec.json.encode({"Name": self.name, "ID": self.id, "CreationDate": str(self.created)})
        except UnicodeError:
            raise InvalidInput(f"the name {quoted(self.name)} or id {quoted(self.id)} is no Unicode") from None

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The snapshot of its JSON object. Raises InvalidInput."""
        try:
            wire = msgspec.json.decode(text, type=_Wire)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise InvalidInput(f"no snapshot: {error}") from None
        return cls.make(wire.name, wire.created, wire.id)


class Comparison(NamedTuple):
    """Indexes in the order of the input. A snapshot that was made anew is in both."""

    sync_source: tuple[int, ...]
    delete_target: tuple[int, ...]


def compare_snapshots(source: Sequence[ComparableSnapshot], target: Sequence[ComparableSnapshot]) -> Comparison:
    """What to send of ``source``, and what to delete of ``target`` before.

    Of snapshots with one name in one list the last stands for all: the others differ from it or are the same.
    """
    here = {one.name: one for one in source}
    there = {one.name: one for one in target}
    return Comparison(
        tuple(index for index, one in enumerate(source) if there.get(one.name) != one),
        tuple(index for index, one in enumerate(target) if here.get(one.name) != one),
    )
