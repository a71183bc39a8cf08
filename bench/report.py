"""Turns a stored run into the tables of docs/performance.md: ``python -m bench.report [RESULT.json] [--write FILE]``.

With ``--write`` the text between the two markers of the file is replaced; what people wrote around it stays.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bench import result, targets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.result import Result, Row

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
EXPLAINED = "A ratio is the peer's cost over blockdiff's, the median over the rounds; above 1 blockdiff is ahead."


def ordered(rows: Iterable[Row]) -> list[Row]:
    """By workload as in the list of goals, not as the files of the suites are named."""
    place = {workload: number for number, workload in enumerate(targets.ORDER)}
    return sorted(rows, key=lambda row: place.get(row.workload, len(place)))


def figure(metric: str, value: float) -> str:
    unit = targets.UNITS[metric]
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 3
    return f"{value:.{digits}f}{'' if unit == 'x' else ' '}{unit}"


def seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def goal(row: Row) -> str:
    if row.goal is None:
        return ""
    sign = "≥" if row.metric in targets.LARGER_IS_BETTER else "≤"
    return f"{sign} {figure(row.metric, row.goal)}"


def reached(row: Row) -> str:
    return "" if row.reached is None else "yes" if row.reached else "NO"


def pad(lines: list[list[str]]) -> list[str]:
    """A Markdown table that is also readable in a terminal."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    text = [f"| {' | '.join(line)} |" for line in padded]
    return [text[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *text[1:]]


def goals(rows: Iterable[Row]) -> list[str]:
    """One line for each goal."""
    head = ["workload", "metric", "peer", "ratio", "goal", "reached"]
    wanted = [row for row in rows if row.goal is not None]
    return (
        pad(
            [
                head,
                *(
                    [row.workload, row.metric, row.peer, figure(row.metric, row.value), goal(row), reached(row)]
                    for row in wanted
                ),
            ]
        )
        if wanted
        else []
    )


def ratios(rows: Iterable[Row]) -> list[str]:
    """One line for each peer of each workload: both ratios and what they are made of."""
    pairs: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        if row.peer:
            pairs.setdefault((row.workload, row.peer), {})[row.metric] = row
    head = ["workload", "peer", "cpu", "wall", "cpu s (ours / peer)", "wall s (ours / peer)"]
    lines = [head]
    for (workload, peer), by in pairs.items():
        cells = [figure(metric, by[metric].value) if metric in by else "" for metric in ("cpu", "wall")]
        costs = [
            f"{seconds(by[metric].ours)} / {seconds(by[metric].theirs)}" if metric in by else ""
            for metric in ("cpu", "wall")
        ]
        lines.append([workload, peer, *cells, *costs])
    return pad(lines) if pairs else []


def own(rows: Iterable[Row]) -> list[str]:
    """Numbers of ours without a peer."""
    alone = [[row.workload, row.metric, figure(row.metric, row.value)] for row in rows if not row.peer]
    return pad([["workload", "metric", "value"], *alone]) if alone else []


def machine(facts: dict[str, object]) -> list[str]:
    tools = facts.get("tools")
    told = ", ".join(f"{name} {version}" for name, version in tools.items()) if isinstance(tools, dict) else ""
    memory = facts.get("memory_bytes")
    return [
        f"- CPU: {facts.get('cpu')}, {facts.get('usable_cores')} cores{' (virtual)' * bool(facts.get('virtual'))}",
        f"- Memory: {int(str(memory or 0)) / (1 << 30):.0f} GiB",
        f"- System: {facts.get('system')}, kernel {facts.get('kernel')}, Python {facts.get('python')}",
        f"- Data on: {facts.get('file_system')}",
        f"- Load before: {' '.join(str(load) for load in list_of(facts.get('load')))}",
        f"- blockdiff {facts.get('blockdiff')}; {told}",
    ]


def list_of(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


def absences(found: Result) -> list[str]:
    lines = [f"- {name}: {why}" for name, why in found.absent.items()]
    return lines + [f"- {name}: not part of this run" for name in found.missing_workloads()]


def markdown(found: Result) -> str:
    """The generated part of docs/performance.md."""
    kind = "quick subset" if found.quick else "full run"
    parts = [
        [f"Run of {found.started} ({kind}, {found.rounds} rounds). {EXPLAINED}"],
        machine(found.machine),
        found.caveats(),
        ["### Goals"],
        goals(ordered(found.rows)),
        ["### Every peer"],
        ratios(ordered(found.rows)),
        ["### Without a peer"],
        own(ordered(found.rows)),
        ["### Data"],
        [f"- {workload}: {'; '.join(dict.fromkeys(texts))}" for workload, texts in found.notes.items()],
        ["### Not run"],
        absences(found) or ["Everything ran."],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def terminal(found: Result) -> str:
    """The summary at the end of a run."""
    parts = [
        found.caveats(),
        goals(ordered(found.rows)),
        ratios(ordered(found.rows)),
        own(ordered(found.rows)),
        [f"{workload}: {'; '.join(dict.fromkeys(texts))}" for workload, texts in found.notes.items()],
        ["not run:", *absences(found)] if absences(found) else [],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def replaced(text: str, generated: str) -> str:
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"the file has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n\n{generated}\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description="Markdown of a stored run.")
    parser.add_argument("result", nargs="?", type=Path, help="a file in bench/results (default: the newest full run)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace the generated part of this file")
    options = parser.parse_args()
    generated = markdown(result.load(options.result or result.newest()))
    if options.write:
        options.write.write_text(replaced(options.write.read_text(), generated))
    else:
        print(generated, end="")


if __name__ == "__main__":
    main()
