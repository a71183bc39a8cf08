"""A plan for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

WHAT = {"verify": "compare", "diff": "list changes of", "copy": "send"}


def plan_lines(plan: dict[str, Any]) -> Iterator[str]:
    """The pairs, then everything that cannot be paired, under a heading each."""
    yield from _pairs(plan)
    for group in plan["groups"] if plan["group"] != "none" else ():
        for lack in group["lacking"]:
            yield f"incomplete: {_group(group)}: {lack['volume']}: {lack['reason']}"
    for key in ("conflicts", "unproven"):
        for item in plan[key]:
            label = key.removesuffix("s")
            yield f"{label}: {item['volume']}@{item['source']['name']}: {item['reason']}"
    for item in plan["renamed"]:
        yield f"renamed: {item['volume']}@{item['source']['name']} is @{item['target']['name']} on the target"
    yield from _alone(plan["missing"], "only on the source")
    yield from _alone(plan["extra"], "only on the target")
    for key, where in (("missing_volumes", "source"), ("extra_volumes", "target")):
        if plan[key]:
            yield f"volumes only on the {where}: {', '.join(plan[key])}"
    for gap in plan.get("gaps", ()):
        volume = f"{gap['volume']}: " if gap["volume"] else ""
        ticks = f"{gap['ticks']} snapshots were" if gap["ticks"] != 1 else "a snapshot was"
        until = f" until {gap['last']}" if gap["ticks"] != 1 else ""
        yield f"gap: {volume}{ticks} due and not taken, {gap['first']}{until}"
    yield from (f"note: {note}" for note in plan["notes"])
    if plan["unproven"] and plan["match"] == "proven":
        yield "note: --match name takes what is unproven for the same, so that it is compared"


def _pairs(plan: dict[str, Any]) -> Iterator[str]:
    groups = {group["number"]: group for group in plan["groups"]}
    rows: list[Sequence[str]] = []
    for pair in plan["pairs"]:
        source = f"{pair['volume']}@{pair['source']['name']}"
        if plan["for"] == "verify":
            name = pair["target"]["name"]
            other, more = "" if name == pair["source"]["name"] else f"is @{name}", f"by {pair['by']}"
        else:
            other = "since " + (f"@{pair['base']['name']}" if pair["base"] else "nothing")
            more = f"to {pair['target_url']}" if pair.get("target_url") else ""
        rows.append((str(pair["number"]), _group(groups[pair["group"]]), source, other, more))
    if plan["group"] == "none":
        rows = [(number, *rest) for number, _, *rest in rows]
    head = f"{len(rows)} pairs to {WHAT[plan['for']]}" if len(rows) != 1 else f"1 pair to {WHAT[plan['for']]}"
    if plan["group"] != "none":
        whole = sum(group["complete"] for group in plan["groups"])
        head += f", in {len(groups)} group{'s' * (len(groups) != 1)} ({len(groups) - whole} incomplete)"
    yield head
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True) if width]
        cells[0] = row[0].rjust(widths[0])
        yield "  ".join(cells).rstrip()


def _group(group: dict[str, Any]) -> str:
    return f"{group['name']}@{group['tag']}"


def _alone(items: Iterable[dict[str, Any]], where: str) -> Iterator[str]:
    names: dict[str, list[str]] = {}
    for item in items:
        names.setdefault(item["volume"], []).append(f"@{item['snapshot']['name']}")
    for volume, found in names.items():
        yield f"{where}: {volume and f'{volume}: '}{', '.join(found)}"
