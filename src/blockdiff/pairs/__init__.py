"""Planning: which snapshots are to be compared, copied or diffed with which. Values and rules, no I/O."""

from __future__ import annotations

from blockdiff.pairs.chain import Chains, Link, chains
from blockdiff.pairs.gap import gaps
from blockdiff.pairs.group import Group, common_base, groups
from blockdiff.pairs.match import Comparison, Doubt, Evidence, Match, best_common_base, compare, tag_instant
from blockdiff.pairs.steps import Steps, increments, next_steps

__all__ = [
    "Chains",
    "Comparison",
    "Doubt",
    "Evidence",
    "Group",
    "Link",
    "Match",
    "Steps",
    "best_common_base",
    "chains",
    "common_base",
    "compare",
    "gaps",
    "groups",
    "increments",
    "next_steps",
    "tag_instant",
]
