"""Makes plans: lists the snapshots of both sides, and says which volumes are the same and which belong together."""

from __future__ import annotations

import datetime as dt
from contextlib import ExitStack
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff.engine.catalog import Volume, open_catalog
from blockdiff.engine.planfile import plan_document
from blockdiff.errors import InvalidInput
from blockdiff.locator import parse_locator
from blockdiff.pairs.group import all_together, each_alone
from blockdiff.pairs.match import tag_instant
from blockdiff.pairs.plan import Purpose, plan

if TYPE_CHECKING:
    from blockdiff.engine.catalog import Catalog, Entry
    from blockdiff.pairs.group import Grouping
    from blockdiff.snapshot import Snapshot

DAY = 86400  # seconds


class Wish(NamedTuple):
    """How to plan, in the words of the command line. ``listed``: what is a file is a list of snapshots."""

    listed: bool = False
    purpose: str | None = None
    group: str | None = None
    by_name: bool = False
    tolerance: float = 0.0
    schedule: str | None = None
    language: str = "snapper"
    at: str | None = None
    id: str | None = None
    zone: str | None = None


def make_plan(src: str, dst: str | None, wish: Wish) -> dict[str, Any]:
    """The document of a plan. Raises InvalidInput for wishes that do not go together."""
    chosen = Purpose(wish.purpose or ("diff" if dst is None else "verify"))
    if dst is None and chosen is not Purpose.DIFF:
        raise InvalidInput(f"--for {chosen} needs two sides: name DST too")
    if src == dst == "-":
        raise InvalidInput("only one of the two lists can come from stdin")
    if not 0 <= wish.tolerance <= DAY:
        raise InvalidInput(f"a tolerance of {wish.tolerance} is no number of seconds from 0 to {DAY}")
    with ExitStack() as stack:
        source = _catalog(src, listed=wish.listed)
        stack.callback(source.close)
        target = None if dst is None else _catalog(dst, listed=wish.listed)
        if target is not None:
            stack.callback(target.close)
        return _planned(source, target, chosen, wish)


def _planned(source: Catalog, target: Catalog | None, purpose: Purpose, wish: Wish) -> dict[str, Any]:
    ours, theirs = list(source.volumes()), [] if target is None else list(target.volumes())
    if target is not None:
        theirs = _named_alike(source, target, ours, theirs)
        _refuse_same(ours, theirs)
    group = wish.group or ("none" if source.single else "vm")
    here = _snapshots(ours)
    made = plan(
        here,
        None if target is None else _snapshots(theirs),
        purpose,
        grouping=grouping(group),
        by_name=wish.by_name,
        dates=source.dated and (target is None or target.dated),
        tolerance=dt.timedelta(seconds=wish.tolerance),
    )
    urls = {volume.name: volume.url for volume in theirs}
    facts: dict[str, Any] = {
        "source": source.url,
        "target": None if target is None else target.url,
        "group": group,
        "match": "name" if wish.by_name else "proven",
    }
    if wish.schedule is not None:
        from blockdiff.cli.paired.missed import missed

        facts["gaps"] = missed(here, wish)
    return plan_document(
        made,
        _entries(ours),
        _entries(theirs),
        facts=facts,
        target_url=lambda name: urls.get(name) or (target.url_of(name) if target is not None else ""),
    )


def grouping(name: str) -> Grouping:
    """The grouping that ``--group`` asks for."""
    return {"vm": machine, "tag": all_together, "none": each_alone}[name]


def machine(volume: str, tag: str) -> str:
    """The machine that a tag is of, else the one that the name of the image says; a disk without one is alone."""
    if tag_instant(tag) is not None:
        return _machine_of_tag(tag) or volume
    return _machine_of_image(volume.rpartition("/")[2]) or volume


@lru_cache(maxsize=1 << 17)  # all disks of a machine have the same tags
def _machine_of_tag(tag: str) -> str:
    from blockdiff.schedule import Type
    from blockdiff.tag import Tag

    found = Tag.parse(tag)
    return f"vm {found.vm}" if found.type is Type.AUTO else ""


@lru_cache(maxsize=1 << 12)
def _machine_of_image(name: str) -> str:
    from blockdiff.snapper.image import Image, ImageError

    try:
        image = Image.parse(name)
    except ImageError:
        return ""
    return "" if image.persistent else f"vm {image.vm}"


def _catalog(name: str, *, listed: bool) -> Catalog:
    if listed and (name == "-" or parse_locator(name).scheme == "file"):
        from blockdiff.cli.paired.reading import read_input
        from blockdiff.engine.listed import listed_catalog

        return listed_catalog(read_input(name), "stdin" if name == "-" else name)
    if name == "-":
        raise InvalidInput("- is a list of snapshots on stdin: it goes with --json")
    return open_catalog(name)


def _named_alike(source: Catalog, target: Catalog, ours: list[Volume], theirs: list[Volume]) -> list[Volume]:
    """Two volumes that were named may be called otherwise; those of two pools have one name on both sides."""
    if source.single != target.single:
        many, one = (target, source) if source.single else (source, target)
        if not any(volume.entries for volume in theirs):
            return []
        if any(volume.entries for volume in ours):
            raise InvalidInput(f"{one.url} is one volume and {many.url} are many: name two of one kind")
    if source.single and target.single:
        return [volume._replace(name=ours[0].name) for volume in theirs]
    return theirs


def _refuse_same(ours: list[Volume], theirs: list[Volume]) -> None:
    """What is the same as itself proves nothing."""
    known = {entry.identity: entry for volume in ours for entry in volume.entries if entry.identity}
    for volume in theirs:
        for entry in volume.entries:
            if entry.identity in known:
                raise InvalidInput(f"{known[entry.identity].url} and {entry.url} are one and the same: name two sides")


def _snapshots(volumes: list[Volume]) -> dict[str, list[Snapshot]]:
    return {volume.name: [entry.snapshot for entry in volume.entries] for volume in volumes}


def _entries(volumes: list[Volume]) -> dict[Snapshot, Entry]:
    return {entry.snapshot: entry for volume in volumes for entry in volume.entries}
