"""The page: everything about the runs in one HTML file that asks nobody for anything.

The policy in its head lets only this very script and style run; whatever is in a report is text.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from blockdiff.report import strip, tree
from blockdiff.report.consistency import is_repaired
from blockdiff.report.findings import MOST, findings
from blockdiff.report.packing import pack
from blockdiff.report.verdict import judge
from blockdiff.units import format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Template

    from blockdiff.report.reading import Run

SCRIPTS = ("unpack.js", "volume.js", "map.js", "table.js", "main.js")
DETAILED = 20  # of the newest runs the map and the ranges are in the page; of older ones a line in the history
GENERATOR = "blockdiff report"
SECTIONS = {  # what later versions may say is shown below these, by its key
    "sample": "Sample",
    "ledger": "Coverage",
    "estimate": "Estimate",
    "checkpoint": "Checkpoint",
    "recheck": "Recheck",
    "triage": "Triage",
    "repair": "Repair",
    "receipt": "Receipt",
}


def render(runs: Sequence[Run], *, title: str, made_at: str, receipt: dict[str, Any] | None = None) -> bytes:
    """The page as bytes; ``runs`` are in order, the newest last, which is the one that it opens with."""
    script, style = "\n".join(_part(name) for name in SCRIPTS), _part("page.css")
    detailed = range(max(0, len(runs) - DETAILED), len(runs))
    context = {
        "title": title,
        "made_at": made_at,
        "version": version("blockdiff"),
        "generator": f"{GENERATOR} {version('blockdiff')}",
        "policy": _policy(script, style),
        "script": script,
        "style": style,
        "runs": [_view(number, run, detailed=number in detailed) for number, run in enumerate(runs)],
        "same_volume": len({(run.facts.source.url, run.facts.target.url) for run in runs}) == 1,
        "bars": _bars(runs),
        "data": _data([(number, runs[number]) for number in detailed]),
        "receipt": receipt,
        "size": format_size,
        "entries": tree.entries,
    }
    return _template().render(context).encode(errors="replace")  # words of a command line may be no text


@cache
def _part(name: str) -> str:
    return (files("blockdiff.report") / name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_part), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html")


def _policy(script: str, style: str) -> str:
    """Nothing may be fetched or sent, and no other script or style runs."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _view(number: int, run: Run, *, detailed: bool) -> dict[str, Any]:
    """What the template says about a run."""
    facts = run.facts
    return {
        "number": number,
        "name": run.name,
        "facts": facts,
        "size": run.size,
        "verdict": judge(run),
        "detailed": detailed,
        "repaired": is_repaired(run.sections),
        "started": facts.started_at.replace("T", " ").split(".")[0].removesuffix("Z") or "not known",
        "duration": duration(facts.elapsed_seconds),
        "rate": f"{format_size(facts.length / facts.elapsed_seconds)}/s" if facts.elapsed_seconds > 0 else "",
        "listed": run.listed.count,
        "kept": run.listed.kept,
        "strip": strip.draw(run) if detailed else [],
        "sections": [(SECTIONS[key], run.sections[key]) for key in SECTIONS if key in run.sections] if detailed else [],
        "others": {key: value for key, value in run.sections.items() if key not in SECTIONS} if detailed else {},
    }


def _data(runs: list[tuple[int, Run]]) -> list[dict[str, Any]]:
    """What the script is given, the newest run last; of findings the newest have the first choice."""
    room = MOST
    made = []
    for number, run in reversed(runs):
        found = findings(run, room)
        room -= len(found)
        made.append({"number": number, "findings": found, **_numbers(run), **pack(run)})
    return made[::-1]


def _numbers(run: Run) -> dict[str, Any]:
    facts = run.facts
    return {
        "size": run.size,
        "granularity": facts.granularity,
        "command": facts.command,
        "found": facts.difference_count,
    }


def _bars(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The bytes that differ in each run as bars: their height is that of the number's length."""
    shown = runs[-60:]
    counts = [run.facts.differing_bytes for run in shown]
    most = max([count.bit_length() for count in counts], default=0) or 1
    return [
        {
            "x": number * 10,
            "height": round(6 + 54 * count.bit_length() / most, 1) if count else 3,
            "tone": judge(run).tone,
            "title": f"{run.facts.started_at or run.name}: {judge(run).word}, {format_size(count)} differ",
        }
        for number, (run, count) in enumerate(zip(shown, counts, strict=True))
    ]


def duration(seconds: float) -> str:
    """For people: ``0.04 s``, ``12.3 s``, ``4 min 07 s``, ``3 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02} min"
