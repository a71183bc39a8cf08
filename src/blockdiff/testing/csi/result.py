"""What the suite says of a rule."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from blockdiff.testing.csi.rule import Rule


class Status(StrEnum):
    """How a rule came out."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    SKIP = "skip"


class Result(NamedTuple):
    """A rule, how it came out, and what was seen."""

    rule: Rule
    status: Status
    evidence: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**self.rule._asdict(), "status": str(self.status), "evidence": self.evidence}


class Broken(Exception):
    """A rule is broken; the text is the evidence."""


class Skipped(Exception):
    """A rule cannot be judged; the text says why."""
