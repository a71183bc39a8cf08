"""What is printed of a run over pairs: lines for people, rows, one JSON object, or JSON lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from blockdiff._fast import Template, format_extents
from blockdiff.cli.reportwriter import encode, write
from blockdiff.cli.streams import say
from blockdiff.extent import Kind

if TYPE_CHECKING:
    from blockdiff._fast import Extents
    from blockdiff.cli.paired.running import Done, Result
    from blockdiff.engine.planfile import FileGroup, FilePair, PlanFile


class Sink:
    """``key`` names the list of ranges, ``label`` what each range has beside its place."""

    def __init__(self, command: str, progress: Any, *, key: str, label: str) -> None:
        self.command, self._progress, self._key, self._label = command, progress, key, label

    def begin(self, plan: PlanFile) -> None:
        """Before the first pair."""

    def pair(self, pair: FilePair, group: FileGroup) -> None:
        """Before each pair."""

    def ranges(self, batch: Extents) -> None:
        """What was found of the pair."""
        self._progress.differing += batch.total()

    def done(self, pair: FilePair, group: FileGroup, found: Done) -> None:
        """After each pair."""

    def end(self, plan: PlanFile, result: Result) -> None:
        """After the last pair, or Ctrl-C."""

    def _summary(self, plan: PlanFile, result: Result) -> dict[str, Any]:
        return {
            "schema_version": 1,
            "command": self.command,
            "verdict": result.verdict,
            **({"identical": result.verdict == "identical"} if self.command == "verify" else {}),
            "counts": result.counts,
            "missing": len(plan.missing),
        }


_NOT_TOLD = ("identical", "unchanged", "changed", "unfinished")


class QuietSink(Sink):
    """The exit code says it; what failed is told on stderr."""

    def done(self, pair: FilePair, group: FileGroup, found: Done) -> None:
        if found.error is not None:
            say(f"blockdiff: error: pair {pair.number}: {found.error}")


class TableSink(Sink):
    """A row for each pair."""

    def done(self, pair: FilePair, group: FileGroup, found: Done) -> None:
        self._progress.pause()
        self._line(f"{found.verdict:<9}  {pair.number:>4}  {pair.volume}@{pair.source.name}  {found.line}")

    def _line(self, text: str) -> None:
        shown = text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
        write(shown.encode(errors="surrogateescape") + b"\n")
        sys.stdout.buffer.flush()


class HumanSink(TableSink):
    """A row for each pair, a line for each group that is not as it should be, and the sums."""

    def end(self, plan: PlanFile, result: Result) -> None:
        for group, verdict in result.groups:
            if verdict not in _NOT_TOLD and (len(group.pairs) != 1 or group.lacking):
                lacking = "".join(f"; {lack.volume}: {lack.reason}" for lack in group.lacking)
                self._line(f"{group}: {verdict}{lacking}")
        counts = ", ".join(f"{count} {verdict}" for verdict, count in result.counts.items() if count)
        text = f"{result.verdict}: {_plural(len(plan.pairs), 'pair')}" + (f" ({counts})" if counts else "")
        if len(plan.groups) != len(plan.pairs):
            text += f" in {_plural(len(plan.groups), 'group')}"
        if plan.missing:
            text += f"; {_plural(len(plan.missing), 'snapshot')} only on the source"
        self._line(text)


class JsonSink(Sink):
    """One object, written as it grows."""

    def begin(self, plan: PlanFile) -> None:
        tails = {kind: b',"%s":"%s"}' % (self._label.encode(), kind.label.encode()) for kind in Kind}
        self._template = Template({k: (b'{"offset":', b',"length":', tails[k]) for k in Kind}, separator=b",")
        self._open, self._ranges, self._pairs = False, 0, 0
        write(b'{"pairs":[')

    def pair(self, pair: FilePair, group: FileGroup) -> None:
        head = (b"," if self._pairs else b"") + encode(pair_facts(pair, group))[:-1] + b',"%s":[' % self._key.encode()
        self._pairs += 1
        self._open, self._ranges = True, 0  # before it is written: Ctrl-C then finds what is to be closed
        write(head)

    def ranges(self, batch: Extents) -> None:
        super().ranges(batch)
        format_extents(batch, self._template, write, first=not self._ranges)
        self._ranges += len(batch)

    def done(self, pair: FilePair, group: FileGroup, found: Done) -> None:
        self._close(result_facts(found))

    def _close(self, facts: dict[str, Any]) -> None:
        tail = b"]," + encode(facts)[1:]
        self._open = False
        write(tail)
        sys.stdout.buffer.flush()

    def end(self, plan: PlanFile, result: Result) -> None:
        if self._open:
            self._close({"verdict": "interrupted"})
        groups = [group_facts(group, verdict) for group, verdict in result.groups]
        write(b"]," + encode({**self._summary(plan, result), "groups": groups})[1:] + b"\n")


class JsonlSink(Sink):
    """A line for each range as it is found, for each pair, for each group, and the sums last."""

    def pair(self, pair: FilePair, group: FileGroup) -> None:
        head = b'{"pair":%d,"offset":' % pair.number
        self._template = Template(
            {k: (head, b',"length":', b',"%s":"%s"}\n' % (self._label.encode(), k.label.encode())) for k in Kind}
        )

    def ranges(self, batch: Extents) -> None:
        super().ranges(batch)
        format_extents(batch, self._template, write)
        sys.stdout.buffer.flush()

    def done(self, pair: FilePair, group: FileGroup, found: Done) -> None:
        write(encode({**pair_facts(pair, group), **result_facts(found)}) + b"\n")
        sys.stdout.buffer.flush()

    def end(self, plan: PlanFile, result: Result) -> None:
        for group, verdict in result.groups:
            write(encode(group_facts(group, verdict)) + b"\n")
        write(encode(self._summary(plan, result)) + b"\n")


def make_sink(output: str, command: str, progress: Any, *, quiet: bool, key: str, label: str) -> Sink:
    """The output that ``-o`` asks for."""
    if quiet and output in ("human", "table"):
        return QuietSink(command, progress, key=key, label=label)
    kinds = {"human": HumanSink, "table": TableSink, "json": JsonSink, "jsonl": JsonlSink}
    return kinds[output](command, progress, key=key, label=label)


def pair_facts(pair: FilePair, group: FileGroup) -> dict[str, Any]:
    """What the plan says of a pair."""
    return {
        "number": pair.number,
        "group": pair.group,
        "tag": group.tag,
        "volume": pair.volume,
        **{key: {"url": one.url, "id": one.id} for key, one in pair.named.items()},
    }


def result_facts(found: Done) -> dict[str, Any]:
    """What came of a pair."""
    facts = {"verdict": found.verdict, **found.facts}
    if found.error is not None:
        facts["error"] = {
            "error": type(found.error).__name__,
            "message": str(found.error),
            "exit_code": found.error.exit_code,
            "retryable": found.error.retryable,
        }
    return facts


def group_facts(group: FileGroup, verdict: str) -> dict[str, Any]:
    """What came of a group."""
    return {
        "group": group.number,
        "name": group.name,
        "tag": group.tag,
        "verdict": verdict,
        "complete": group.complete,
        "pairs": group.pairs,
        "lacking": [{"volume": lack.volume, "reason": lack.reason} for lack in group.lacking],
    }


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
