"""Rules about what streams look like, and that they are complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.testing.csi.answer import missing, shown
from blockdiff.testing.csi.judge import judges
from blockdiff.testing.csi.judge_window import limits, starts
from blockdiff.testing.csi.result import Broken, Skipped
from blockdiff.testing.csi.shape import SHAPE_RULES

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdiff.testing.csi.answer import Answer
    from blockdiff.testing.csi.subject import Subject


def _shape(rule_id: str) -> Callable[[Subject], str]:
    """A judge of what was seen in all streams; it makes sure that enough of them were."""

    def judge(subject: Subject) -> str:
        for look in (subject.ways, lambda: limits(subject), lambda: starts(subject)):
            look()
            if rule_id in subject.violations.first:
                raise Broken(subject.violations.first[rule_id])
        if not subject.violations.messages:
            raise Skipped("the server sent no message")
        return str(subject.violations)

    return judge


for _rule in SHAPE_RULES:
    if _rule != "empty-list":
        judges(_rule)(_shape(_rule))


def need(answer: Answer) -> str:
    """The end of a stream, which must be a clean one."""
    if not answer.ok:
        raise Broken(answer.end)
    return answer.end


@judges("allocated-complete")
def allocated_complete(subject: Subject) -> str:
    """A clean end."""
    return need(subject.whole)


@judges("delta-complete")
def delta_complete(subject: Subject) -> str:
    """A clean end, or a reason why a full backup must be made."""
    return need(subject.changes)


@judges("deterministic")
def deterministic(subject: Subject) -> str:
    """Asked again."""
    for first, ask in subject.ways():
        need(first)
        again = ask()
        need(again)
        lost, added = missing(first.ranges(), again.ranges()), missing(again.ranges(), first.ranges())
        if lost or added:
            raise Broken(f"{first.question}, asked again: not listed any more {shown(lost)}, new {shown(added)}")
    return "asked twice"


@judges("empty-list")
def empty_list(subject: Subject) -> str:
    """As far as such streams were seen."""
    said = _shape("empty-list")(subject)
    quiet = subject.allocated(subject.capacity())
    if quiet.code not in ("OK", "OUT_OF_RANGE"):
        raise Broken(quiet.end)
    return said


@judges("delta-self")
def delta_self(subject: Subject) -> str:
    """Empty; a server may also refuse the question."""
    if not subject.handle:
        raise Skipped("the handle of the snapshot was not given")
    answer = subject.delta(base=subject.handle)
    if answer.code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION"):
        return f"refused: {answer.end}"
    need(answer)
    if answer.total:
        raise Broken(f"{answer.question}: {shown(answer.ranges())} changed")
    return answer.end


@judges("same-capacity")
def same_capacity(subject: Subject) -> str:
    """Both are about the target."""
    found = {message.capacity for answer in (subject.whole, subject.changes) for message in answer.messages[:1]}
    if len(found) > 1:
        raise Broken(f"capacities {sorted(found)}")
    return f"capacity {found.pop()}" if found else "no message"
