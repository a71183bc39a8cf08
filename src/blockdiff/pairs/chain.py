"""Chains of diffs, as an archive keeps them: what can be restored from it, and where links are missing. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Link(NamedTuple):
    """One diff: on top of the snapshot ``base`` it makes ``target``. An empty base: it is the whole image.

    ``name`` is what the archive calls it, such as a file. Snapshots are named as they are told apart: by id or name.
    """

    base: str
    target: str
    name: str = ""

    def __str__(self) -> str:
        return self.name or f"{self.base or 'nothing'} -> {self.target}"


class Gap(NamedTuple):
    """A base that no link makes, and the snapshots that are lost with it."""

    base: str
    lost: tuple[str, ...]


class Chains(NamedTuple):
    """What an archive of diffs is worth.

    ``restorable``: each snapshot that can be made, with its links in the order of their use: the fewest, of equals
    the first listed. ``lost``: those that cannot. ``gaps``: where links are missing. ``forks``: snapshots that more
    than one is made from, with these. ``doubles``: snapshots that more than one link makes. ``cycles``: snapshots
    that are made from each other.
    """

    restorable: Mapping[str, Link]
    lost: tuple[str, ...]
    gaps: tuple[Gap, ...]
    forks: tuple[tuple[str, tuple[str, ...]], ...]
    doubles: tuple[tuple[str, tuple[Link, ...]], ...]
    cycles: tuple[tuple[str, ...], ...]

    @property
    def whole(self) -> bool:
        """Everything can be restored, each in one way."""
        return not (self.lost or self.gaps or self.doubles or self.cycles)

    def path(self, target: str) -> tuple[Link, ...]:
        """The links that make a snapshot, first the whole image. InvalidInput if it cannot be restored."""
        links: list[Link] = []
        while target:
            link = self.restorable.get(target)
            if link is None:
                raise InvalidInput(f"the snapshot {target!r} cannot be restored from these links")
            links.append(link)
            target = link.base
        return tuple(reversed(links))


def chains(links: Iterable[Link]) -> Chains:
    """What these links make. Everything is listed in the order of the links. InvalidInput for one without a target."""
    links = list(links)
    makers, users = _index(links)
    last = _reach(users, [""])
    restorable = {target: last[target] for target in makers if target in last}
    lost = tuple(target for target in makers if target not in last)
    return Chains(
        restorable,
        lost,
        tuple(_gaps(makers, users, last)),
        tuple(_forks(users)),
        tuple((target, tuple(made)) for target, made in makers.items() if len(made) > 1),
        tuple(_cycles(makers, users)),
    )


def _index(links: Sequence[Link]) -> tuple[dict[str, list[Link]], dict[str, list[Link]]]:
    """The links that make each snapshot, and those that are on top of each."""
    makers: dict[str, list[Link]] = {}
    users: dict[str, list[Link]] = {}
    for link in links:
        if not link.target:
            raise InvalidInput(f"the link {link} makes no snapshot: its target is empty")
        makers.setdefault(link.target, []).append(link)
        users.setdefault(link.base, []).append(link)
    return makers, users


def _reach(users: Mapping[str, Sequence[Link]], begin: Sequence[str]) -> dict[str, Link]:
    """What is made from these, each with its last link: breadth first, so in the fewest links."""
    found: dict[str, Link] = {}
    row = list(begin)
    while row:
        following: list[str] = []
        for base in row:
            for link in users.get(base, ()):
                if link.target not in found and link.target not in begin:
                    found[link.target] = link
                    following.append(link.target)
        row = following
    return found


def _gaps(
    makers: Mapping[str, Sequence[Link]], users: Mapping[str, Sequence[Link]], restorable: Mapping[str, Link]
) -> Iterable[Gap]:
    """Each loss is told once: at the first base that it goes back to."""
    told: set[str] = set()
    places = {name: place for place, name in enumerate(makers)}
    for base in users:
        if base and base not in makers:
            lost: list[str] = []
            row = [base]
            while row:
                for link in users.get(row.pop(), ()):
                    if link.target not in restorable and link.target not in told:
                        told.add(link.target)
                        lost.append(link.target)
                        row.append(link.target)
            yield Gap(base, tuple(sorted(lost, key=places.__getitem__)))


def _forks(users: Mapping[str, Sequence[Link]]) -> Iterable[tuple[str, tuple[str, ...]]]:
    for base, made in users.items():
        targets = tuple(dict.fromkeys(link.target for link in made))
        if base and len(targets) > 1:
            yield base, targets


def _cycles(makers: Mapping[str, object], users: Mapping[str, Sequence[Link]]) -> Iterable[tuple[str, ...]]:
    """Sets of snapshots that are made from each other (strongly connected), by Tarjan's algorithm without recursion."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    open_: dict[str, None] = {}
    for root in makers:
        if root in number:
            continue
        work = [(root, iter(users.get(root, ())))]
        number[root] = low[root] = len(number)
        open_[root] = None
        while work:
            node, rest = work[-1]
            link = next(rest, None)
            if link is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == number[node]:
                    yield from _closed(node, open_, users)
            elif link.target not in number:
                number[link.target] = low[link.target] = len(number)
                open_[link.target] = None
                work.append((link.target, iter(users.get(link.target, ()))))
            elif link.target in open_:
                low[node] = min(low[node], number[link.target])


def _closed(node: str, open_: dict[str, None], users: Mapping[str, Sequence[Link]]) -> Iterable[tuple[str, ...]]:
    found: list[str] = []
    while not found or found[-1] != node:
        found.append(open_.popitem()[0])
    if len(found) > 1 or any(link.target == node for link in users.get(node, ())):
        yield tuple(reversed(found))
