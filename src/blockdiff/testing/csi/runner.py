"""Runs the suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.testing.csi import judge_argument, judge_content, judge_end, judge_stream, judge_window
from blockdiff.testing.csi.judge import JUDGES
from blockdiff.testing.csi.result import Broken, Result, Skipped, Status
from blockdiff.testing.csi.rule import BY_ID, RULES
from blockdiff.testing.csi.shape import SHAPE_RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from blockdiff.testing.csi.rule import Rule
    from blockdiff.testing.csi.subject import Subject

__all__ = ["check", "judge", "judge_argument", "judge_content", "judge_end", "judge_stream", "judge_window", "run"]

_ABOUT_ALL = frozenset({*SHAPE_RULES, "max-results"})  # about every stream that was seen, so judged last


def run(
    subject: Subject, rules: Iterable[Rule] = RULES, *, told: Callable[[Rule], object] | None = None
) -> list[Result]:
    """Judges the rules that bind the subject's side; ``told`` hears which one is next.

    Raises RemoteError if there is no server, InvalidInput for snapshots that are too large.
    """
    wanted = [rule for rule in rules if subject.side.name in rule.sides]
    results = {}
    for rule in sorted(wanted, key=lambda rule: rule.id in _ABOUT_ALL):
        if told is not None:
            told(rule)
        results[rule.id] = judge(rule, subject)
    return [results[rule.id] for rule in wanted]


def judge(rule: Rule | str, subject: Subject) -> Result:
    """Judges one rule."""
    rule = BY_ID[rule] if isinstance(rule, str) else rule
    if subject.side.name not in rule.sides:
        return Result(rule, Status.SKIP, "it does not bind this side")
    try:
        return Result(rule, Status.PASS, JUDGES[rule.id](subject))
    except Skipped as why:
        return Result(rule, Status.SKIP, str(why))
    except Broken as why:
        return Result(rule, Status.FAIL, str(why))


def check(rule: Rule | str, subject: Subject) -> None:
    """For pytest: AssertionError with the evidence if the rule is broken; a skip if it cannot be judged."""
    result = judge(rule, subject)
    if result.status == Status.SKIP:
        import pytest

        pytest.skip(result.evidence)
    if result.status == Status.FAIL:
        raise AssertionError(f"{result.rule.id}: {result.rule.text} ({result.rule.where}): {result.evidence}")
