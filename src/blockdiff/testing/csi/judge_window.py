"""Rules about starting_offset and max_results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.testing.csi.answer import missing, shown
from blockdiff.testing.csi.judge import judges
from blockdiff.testing.csi.result import Broken, Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blockdiff.testing.csi.answer import Answer
    from blockdiff.testing.csi.subject import Subject

LIMITS = (1, 2, 3, 100)
PARTS = 32  # messages of a list that begins in the middle
MANY = 20_000  # tuples; of more than that not every limit is tried


def starts(subject: Subject) -> dict[str, str]:
    """Asks from many offsets; the first evidence against each rule, and under "" what was done."""
    return subject.once("starts", lambda: _starts(subject))


def _starts(subject: Subject) -> dict[str, str]:
    found: dict[str, str] = {}
    tried = 0
    for whole, ask in subject.ways():
        if not whole.ok or not whole.messages:
            continue
        for offset in subject.offsets(whole):
            tried += 1
            # a server may lose a tuple only where a message begins in the middle of its list
            for answer in (ask(offset), ask(offset, 1 + whole.total // PARTS)):
                for rule_id, evidence in _compare(whole, answer, offset):
                    found.setdefault(rule_id, f"{answer.question}: {evidence}")
    found[""] = f"{tried} offsets tried"
    return found


def _compare(whole: Answer, answer: Answer, start: int) -> Iterator[tuple[str, str]]:
    if not answer.ok:
        yield "start-complete", f"{answer.code} ({answer.details[:200]})"
        return
    early = next(((at, length) for at, length in answer.tuples() if at + length <= start), None)
    if early is not None:
        yield "start-first", f"the tuple byte_offset {early[0]}, size_bytes {early[1]} ends before"
    lost = missing(whole.ranges(start), answer.ranges(start))
    if lost:
        yield "start-complete", f"not listed: {shown(lost)}"
    added = missing(answer.ranges(start), whole.ranges(start))
    if added:
        yield "start-same", f"listed only here: {shown(added)}"
    facts = (whole.messages[0].type, whole.messages[0].capacity)
    for message in answer.messages[:1]:
        if (message.type, message.capacity) != facts:
            yield "start-constant", f"type and capacity {message.type}, {message.capacity}, from the start {facts}"


def _judge_start(rule_id: str) -> Callable[[Subject], str]:
    def judge(subject: Subject) -> str:
        found = starts(subject)
        if rule_id in found:
            raise Broken(found[rule_id])
        if found[""].startswith("0 "):
            raise Skipped("no stream could be listed from the start")
        return found[""]

    return judge


for _rule in ("start-first", "start-complete", "start-same", "start-constant"):
    judges(_rule)(_judge_start(_rule))


@judges("start-at-end")
def start_at_end(subject: Subject) -> str:
    """Where a client goes on that has everything."""
    said = []
    for _, ask in subject.ways():
        answer = ask(subject.capacity())
        if answer.total or answer.code not in ("OK", "OUT_OF_RANGE"):
            raise Broken(answer.end)
        said.append(answer.end)
    return "; ".join(said)


@judges("start-negative")
def start_negative(subject: Subject) -> str:
    """The smallest number, too."""
    return _codes(subject, [(-1, 0), (-(1 << 63), 0)], "OUT_OF_RANGE")


@judges("start-beyond")
def start_beyond(subject: Subject) -> str:
    """The largest number, too."""
    return _codes(subject, [(subject.capacity() + 1, 0), ((1 << 63) - 1, 0)], "OUT_OF_RANGE")


@judges("max-results-negative")
def max_results_negative(subject: Subject) -> str:
    """The smallest number, too."""
    return _codes(subject, [(0, -1), (0, -(1 << 31))], "INVALID_ARGUMENT")


def _codes(subject: Subject, windows: list[tuple[int, int]], wanted: str) -> str:
    said = []
    for _, ask in subject.ways():
        for start, limit in windows:
            answer = ask(start, limit)
            if answer.code != wanted:
                raise Broken(answer.end)
            said.append(answer.end)
    return "; ".join(said)


def limits(subject: Subject) -> list[tuple[Answer, Answer]]:
    """Asks with several limits: the whole, and the same with a limit."""
    return subject.once("limits", lambda: _limits(subject))


def _limits(subject: Subject) -> list[tuple[Answer, Answer]]:
    found = []
    for whole, ask in subject.ways():
        if whole.ok:
            # the tail of a long list is enough: a message a tuple takes its time
            small = whole.total <= MANY
            found += [(whole, ask(0, limit)) for limit in (LIMITS if small else LIMITS[-1:])]
    return found


@judges("max-results")
def max_results(subject: Subject) -> str:
    """In all streams that were seen."""
    tried = limits(subject)
    if "max-results" in subject.violations.first:
        raise Broken(subject.violations.first["max-results"])
    if not tried:
        raise Skipped("no stream could be listed from the start")
    return f"{len(tried)} streams with a limit"


@judges("max-results-complete")
def max_results_complete(subject: Subject) -> str:
    """The same ranges."""
    tried = limits(subject)
    for whole, answer in tried:
        if not answer.ok:
            raise Broken(answer.end)
        lost, added = missing(whole.ranges(), answer.ranges()), missing(answer.ranges(), whole.ranges())
        if lost or added:
            raise Broken(f"{answer.question}: not listed {shown(lost)}, listed only here {shown(added)}")
    if not tried:
        raise Skipped("no stream could be listed from the start")
    return f"{len(tried)} streams with a limit"
