"""The forms in which snapshots are listed as JSON: our own objects, and those of ``rbd snap ls --format json``."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import msgspec

from blockdiff.errors import InvalidInput

Time = Annotated[dt.datetime, msgspec.Meta(tz=True)]


class OurSnapshot(msgspec.Struct, forbid_unknown_fields=True):
    """A snapshot in our words; docs/schemas/snapshots.schema.json."""

    name: str
    id: str | int = ""
    created: Time | None = None
    content: str = ""
    volume: str = ""
    size: Annotated[int, msgspec.Meta(ge=0)] | None = None
    url: str = ""
    identity: str = ""


class RbdSnapshot(msgspec.Struct):
    """One in the words of ``rbd snap ls``. Its time is of an unstated zone."""

    id: int
    name: str
    size: int
    protected: str | bool = "false"
    timestamp: str = ""
    namespace: dict[str, Any] = {}

    @property
    def kind(self) -> str:
        """``user``, or what Ceph itself made it for."""
        kind: str = self.namespace.get("type", "user")
        return kind


def decode_list(data: bytes | str, where: str, form: str) -> list[dict[str, Any]]:
    """The objects of a list. ``where`` names it, ``form`` says what is accepted, for messages. Raises InvalidInput."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{where} is no JSON: {error}; {form}") from None
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidInput(f"{where} is no list of snapshots: {form}")
    return value


def of_rbd(value: list[dict[str, Any]], ours: type[OurSnapshot], where: str, form: str) -> list[RbdSnapshot]:
    """Snapshots of rbd, by id: ids ascend with time. ``ours``: whose further words rbd never uses.

    Raises InvalidInput where both ways of saying it are mixed; msgspec.ValidationError.
    """
    foreign = [field for field in ours.__struct_fields__ if field not in RbdSnapshot.__struct_fields__]
    for item in value:
        if mixed := [key for key in foreign if key in item]:
            raise InvalidInput(f"{where} is in the words of rbd, which has no {mixed[0]!r}: {form}")
    return sorted(msgspec.convert(value, list[RbdSnapshot]), key=lambda snap: snap.id)


def refuse_nameless(volumes: list[str], names: list[str], where: str) -> None:
    """InvalidInput where the volume of some snapshots is named, and of others not."""
    nameless = [name for volume, name in zip(volumes, names, strict=True) if not volume]
    if nameless and len(nameless) < len(names):
        raise InvalidInput(f"{where} names the volume of some snapshots, and of {nameless[0]!r} not")
