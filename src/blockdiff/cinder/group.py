"""Volumes by the server they are attached to, so that all disks of one machine are handled together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Volume(NamedTuple):
    """A volume; ``servers`` are the ids of the servers it is attached to, one for each attachment."""

    id: str
    servers: tuple[str, ...] = ()


class Groups(NamedTuple):
    """``attached`` has the volumes of each server, servers in the order in which they are first named."""

    attached: dict[str, list[Volume]]
    multi_attached: list[Volume]
    unattached: list[Volume]


def group_by_server(volumes: Iterable[Volume]) -> Groups:
    """Groups volumes; each list keeps the order given. One with more than one attachment is in no server's list."""
    found = Groups({}, [], [])
    for volume in volumes:
        match volume.servers:
            case ():
                found.unattached.append(volume)
            case (server,):
                found.attached.setdefault(server, []).append(volume)
            case _:
                found.multi_attached.append(volume)
    return found
