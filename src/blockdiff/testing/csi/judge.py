"""Where rules find their judges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.testing.csi.rule import BY_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdiff.testing.csi.subject import Subject

    Judge = Callable[[Subject], str]

JUDGES: dict[str, Judge] = {}


def judges(rule_id: str) -> Callable[[Judge], Judge]:
    """Makes a function the judge of a rule: it gives the evidence, or raises Broken or Skipped."""

    def register(function: Judge) -> Judge:
        assert rule_id in BY_ID, rule_id
        assert rule_id not in JUDGES, rule_id
        JUDGES[rule_id] = function
        return function

    return register
