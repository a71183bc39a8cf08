"""Goes over the pairs of a plan: one verdict for each pair and each group, and an exit code for all.

A pair that fails does not end the run. Trouble wins over a finding, a finding over none; a group that lacks something
is never as good as one that is whole.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from blockdiff.engine.catalog import check_identity
from blockdiff.engine.planfile import read_plan
from blockdiff.engine.registry import open_device
from blockdiff.errors import BlockdiffError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from blockdiff._fast import Extents
    from blockdiff.cli.paired.output import Sink
    from blockdiff.engine.planfile import FileGroup, FilePair, FileSnapshot, PlanFile

    OnRanges = Callable[[Extents], None]

FAILED, UNFINISHED, INCOMPLETE = "failed", "unfinished", "incomplete"
EMPTY, INTERRUPTED = "empty", "interrupted"


class Done(NamedTuple):
    """What came of a pair: a verdict, facts for JSON, and a line for people."""

    verdict: str
    facts: dict[str, Any]
    line: str
    error: BlockdiffError | None = None


class Work(Protocol):
    """What is done with each pair. ``good`` is the verdict of a pair without a finding, ``found`` of one with."""

    command: str
    good: str
    found: str
    opener: Opener

    def run(self, pair: FilePair, on_ranges: OnRanges) -> Done:
        """Does it, and gives the ranges that it finds to ``on_ranges``."""
        ...


class Result(NamedTuple):
    """The end of a run. ``groups`` are (group, verdict) in the order of the plan."""

    verdict: str
    counts: dict[str, int]
    groups: list[tuple[FileGroup, str]]
    code: int


def load_plan(name: str, purpose: str, *, allow_empty: bool) -> PlanFile:
    """The plan in a file or on stdin (-), which has to be for this. InvalidInput for another one, and for an empty."""
    from blockdiff.cli.paired.reading import read_input

    shown = "stdin" if name == "-" else name
    plan = read_plan(read_input(name), shown)
    if plan.purpose != purpose:
        raise InvalidInput(f"{shown} is a plan for {plan.purpose}: make one with blockdiff pairs --for {purpose}")
    if not plan.pairs and not allow_empty:
        raise InvalidInput(
            f"the plan of {shown} has no pairs, so nothing can be said: see what blockdiff pairs tells, or give "
            "--allow-empty"
        )
    for pair in plan.pairs:
        for snapshot in pair.named.values():
            if not snapshot.url:
                raise InvalidInput(
                    f"{shown}: pair {pair.number}: nothing says how to open {snapshot}: its list has no url"
                )
    return plan


def go_over(plan: PlanFile, work: Work, sink: Sink) -> Result:
    """Runs every pair; what was done is told also when Ctrl-C ends it."""
    done: dict[int, Done] = {}
    groups = {group.number: group for group in plan.groups}
    try:
        sink.begin(plan)
        for pair in plan.pairs:
            sink.pair(pair, groups[pair.group])
            found = _one(work, pair, sink)
            done[pair.number] = found
            sink.done(pair, groups[pair.group], found)
    except KeyboardInterrupt:
        sink.end(plan, _result(plan, work, done)._replace(verdict=INTERRUPTED))
        raise
    finally:
        work.opener.close()
    result = _result(plan, work, done)
    sink.end(plan, result)
    return result


class Opener:
    """Opens the snapshots of a pair, each checked to be what the plan names.

    Those of the last pair stay open until the next ones are: so the connections to their clusters stay too.
    """

    def __init__(self) -> None:
        self._kept = ExitStack()

    @contextmanager
    def opened(self, *snapshots: FileSnapshot) -> Iterator[Sequence[Any]]:
        """Their devices. Raises what opening does, and SnapshotReplaced."""
        with ExitStack() as stack:
            devices = []
            for snapshot in snapshots:
                device = open_device(snapshot.url)
                stack.callback(device.close)
                check_identity(device, identity=snapshot.identity, handle=snapshot.id, size=snapshot.size)
                devices.append(device)
            self.close()
            yield devices
            self._kept = stack.pop_all()

    def close(self) -> None:
        """Closes what is still open."""
        kept, self._kept = self._kept, ExitStack()
        kept.close()


def _one(work: Work, pair: FilePair, sink: Sink) -> Done:
    try:
        return work.run(pair, sink.ranges)
    except BlockdiffError as error:
        return Done(FAILED, {}, str(error), error)


def _result(plan: PlanFile, work: Work, done: dict[int, Done]) -> Result:
    counts = dict.fromkeys((work.good, work.found, FAILED), 0)
    for found in done.values():
        counts[found.verdict] += 1
    groups = [(group, _verdict(group, work, done)) for group in plan.groups]
    all_ = {verdict for _, verdict in groups}
    order = (FAILED, work.found, UNFINISHED, INCOMPLETE, work.good)
    verdict = next((verdict for verdict in order if verdict in all_), EMPTY) if plan.pairs else EMPTY
    return Result(verdict, counts, groups, _code(verdict, work, done))


def _verdict(group: FileGroup, work: Work, done: dict[int, Done]) -> str:
    """The worst of its pairs; some were not reached if Ctrl-C ended the run."""
    found = {done[number].verdict if number in done else UNFINISHED for number in group.pairs}
    for verdict in (FAILED, work.found, UNFINISHED):
        if verdict in found:
            return verdict
    return work.good if group.complete else INCOMPLETE


def _code(verdict: str, work: Work, done: dict[int, Done]) -> int:
    if verdict == FAILED:
        codes = {found.error.exit_code for found in done.values() if found.error is not None}
        return codes.pop() if len(codes) == 1 else BlockdiffError.exit_code
    return int(verdict in (work.found, INCOMPLETE))
