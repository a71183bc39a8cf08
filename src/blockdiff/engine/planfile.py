"""Plans of pairs as JSON: written by ``blockdiff pairs``, read by ``verify --pairs`` and ``diff --pairs``.

The format is docs/schemas/pairs.schema.json: one object; or lines, each pair in one and the rest in the last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from blockdiff.engine.catalog import Entry
    from blockdiff.pairs.match import Comparison
    from blockdiff.pairs.plan import Plan
    from blockdiff.snapshot import Snapshot

    Entries = Mapping[Snapshot, Entry]

SCHEMA_VERSION = 1


class FileSnapshot(msgspec.Struct):
    """A snapshot as a plan names it; see ``catalog.Entry`` and ``snapshot.Snapshot``."""

    name: str
    url: str
    volume: str
    id: str
    created: str | None
    content: str
    size: Annotated[int, msgspec.Meta(ge=0)] | None
    identity: str

    def __str__(self) -> str:
        return self.url or f"{self.volume}@{self.name}"


class FilePair(msgspec.Struct):
    """A pair; ``group`` is the number of its group. verify: source, target; diff: base (or None), source."""

    number: int
    group: int
    volume: str
    source: FileSnapshot
    base: FileSnapshot | msgspec.UnsetType | None = msgspec.UNSET
    target: FileSnapshot | None = None
    by: str = ""

    @property
    def named(self) -> dict[str, FileSnapshot]:
        """The snapshots of the pair by their roles."""
        every = {"base": self.base or None, "source": self.source, "target": self.target}
        return {role: one for role, one in every.items() if one is not None}


class FileLack(msgspec.Struct):
    """A volume that has no pair in a group, and why."""

    volume: str
    reason: str


class FileGroup(msgspec.Struct):
    """A group; ``complete`` is false when something is lacking."""

    number: int
    name: str
    tag: str
    complete: bool
    pairs: list[int]
    lacking: list[FileLack]

    def __str__(self) -> str:
        return f"{self.name}@{self.tag}"


class PlanFile(msgspec.Struct, rename={"purpose": "for"}):
    """A plan that was read: what the commands need of it."""

    schema_version: int
    command: str
    purpose: str
    pairs: list[FilePair]
    groups: list[FileGroup]
    missing: list[Any]


def read_plan(data: bytes, name: str) -> PlanFile:
    """A plan of ``blockdiff pairs``; ``name`` is that of the file. InvalidInput says what is wrong, and where."""
    if not data.strip():
        raise InvalidInput(f"{name} is empty: a plan is what blockdiff pairs -o json prints")
    try:
        value = _value(data)
        if not isinstance(value, dict) or value.get("command") != "pairs":
            raise InvalidInput(f"{name} is no plan: blockdiff pairs -o json makes one")
        value.setdefault("pairs", [])  # the only line of a plan that has none
        if value.get("schema_version") != SCHEMA_VERSION:
            raise InvalidInput(f"{name} is a plan of version {value.get('schema_version')!r}, not {SCHEMA_VERSION}")
        plan = msgspec.convert(value, PlanFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{name} is no plan: {error}; blockdiff pairs -o json makes one") from None
    _check(plan, name)
    return plan


def _value(data: bytes) -> Any:
    """One object, or lines of which the last has all but the pairs."""
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError as whole:
        lines = data.split(b"\n")
        while lines and not lines[-1].strip():
            lines.pop()
        if len(lines) < 2:
            raise
        try:
            *pairs, rest = [msgspec.json.decode(line) for line in lines]
        except msgspec.DecodeError:
            raise whole from None
        if isinstance(rest, dict) and "pairs" not in rest:
            rest["pairs"] = pairs
        return rest


def _check(plan: PlanFile, name: str) -> None:
    """What was cut or put together must not pass: every pair is in its group, and every group has its pairs."""
    groups = {group.number: group for group in plan.groups}
    numbers = [pair.number for pair in plan.pairs]
    if len(groups) != len(plan.groups) or len(set(numbers)) != len(numbers):
        raise InvalidInput(f"{name}: a pair or a group has the number of another")
    listed = sorted((number, group.number) for group in plan.groups for number in group.pairs)
    if listed != sorted((pair.number, pair.group) for pair in plan.pairs):
        raise InvalidInput(f"{name}: pairs and groups do not belong together: is a part of the plan missing?")
    for group in plan.groups:
        if group.complete == bool(group.lacking):
            raise InvalidInput(f"{name}: the group {group} is complete, and lacks something")
        if not group.pairs and not group.lacking:
            raise InvalidInput(f"{name}: the group {group} has no pairs, and lacks nothing")
    urls: dict[tuple[str, str], int] = {}
    for pair in plan.pairs:
        verify = plan.purpose == "verify"
        if (pair.target is not None) != verify or (pair.base is msgspec.UNSET) != verify:
            raise InvalidInput(f"{name}: pair {pair.number} is none for {plan.purpose}")
        for role in ("source", "target"):
            one = pair.named.get(role)
            if one is not None and one.url and urls.setdefault((role, one.url), pair.number) != pair.number:
                raise InvalidInput(
                    f"{name}: pairs {urls[role, one.url]} and {pair.number} have one {role}, {one.url}: is one of "
                    "them another's?"
                )


# ---- writing ----


def plan_document(
    plan: Plan, source: Entries, target: Entries, *, facts: Mapping[str, Any], target_url: Any
) -> dict[str, Any]:
    """The plan as plain values. ``facts`` are keys of its own; ``target_url`` gives the URL of a volume there."""
    return {
        "schema_version": SCHEMA_VERSION,
        "command": "pairs",
        "for": plan.purpose.value,
        **facts,
        "pairs": list(_pairs(plan, source, target, target_url)),
        "groups": [
            {
                "number": number,
                "name": group.name,
                "tag": group.tag,
                "complete": group.complete,
                "pairs": [place + 1 for place in group.pairs],
                "lacking": [lack._asdict() for lack in group.lacking],
            }
            for number, group in enumerate(plan.groups, 1)
        ],
        **_findings(plan.comparisons, source, target),
        "missing_volumes": list(plan.missing_volumes),
        "extra_volumes": list(plan.extra_volumes),
        "notes": list(plan.notes),
    }


def _pairs(plan: Plan, source: Entries, target: Entries, target_url: Any) -> Iterator[dict[str, Any]]:
    for number, pair in enumerate(plan.pairs, 1):
        made: dict[str, Any] = {"number": number, "group": pair.group + 1, "volume": pair.volume}
        if plan.purpose != "verify":
            made["base"] = None if pair.base is None else snapshot_dict(source[pair.base])
        made["source"] = snapshot_dict(source[pair.source])
        if pair.target is not None:
            made |= {"target": snapshot_dict(target[pair.target]), "by": pair.by}
        if plan.purpose == "copy":
            made["target_url"] = target_url(pair.volume)
        yield made


def _findings(compared: Mapping[str, Comparison], source: Entries, target: Entries) -> dict[str, Any]:
    """What the sides have in common, and what not."""

    def both(volume: str, one: Snapshot, other: Snapshot, **more: Any) -> dict[str, Any]:
        return {
            "volume": volume,
            "source": snapshot_dict(source[one]),
            "target": snapshot_dict(target[other]),
            **more,
        }

    def each(volumes: Iterable[tuple[str, Comparison]], key: str, side: Entries) -> list[Any]:
        return [
            {"volume": volume, "snapshot": snapshot_dict(side[snapshot])}
            for volume, found in volumes
            for snapshot in getattr(found, key)
        ]

    items = list(compared.items())
    bases = [(volume, found.base) for volume, found in items if found.base is not None]
    return {
        "bases": [both(volume, base.source, base.target, by=base.by.value) for volume, base in bases],
        "renamed": [both(v, match.source, match.target) for v, found in items for match in found.renamed],
        "conflicts": [both(v, d.source, d.target, reason=d.reason) for v, found in items for d in found.conflicts],
        "unproven": [both(v, d.source, d.target, reason=d.reason) for v, found in items for d in found.unproven],
        "missing": each(items, "missing", source),
        "extra": each(items, "extra", target),
    }


def snapshot_dict(entry: Entry) -> dict[str, Any]:
    """A snapshot as a plan names it."""
    snapshot = entry.snapshot
    created = snapshot.created
    return {
        "name": snapshot.name,
        "volume": snapshot.volume,
        "id": snapshot.id,
        "created": None if created is None else created.isoformat().replace("+00:00", "Z"),
        "content": snapshot.content,
        "size": entry.size,
        "url": entry.url,
        "identity": entry.identity,
    }
