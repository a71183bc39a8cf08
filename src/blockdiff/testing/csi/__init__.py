"""A conformance suite for SnapshotMetadata servers: every rule of the specification as pass, fail or skip, with the
evidence. It needs nothing of blockdiff on the other side.

On the command line, exit code 0 if no rule failed, 1 if one did:

    python -m blockdiff.testing.csi --endpoint unix:///run/csi/csi.sock --snapshot ID --base ID

In Python:

    with CsiSide("unix:///run/csi/csi.sock") as side:
        results = run(Subject(side, snapshot="ID", base="ID"))

In pytest:

    @pytest.mark.parametrize("rule", RULES, ids=str)
    def test_conformance(rule, subject):
        check(rule, subject)
"""

from blockdiff.testing.csi.result import Result, Status
from blockdiff.testing.csi.rule import RULES, Rule
from blockdiff.testing.csi.runner import check, judge, run
from blockdiff.testing.csi.side import CsiSide, KubeSide
from blockdiff.testing.csi.subject import Subject

__all__ = ["RULES", "CsiSide", "KubeSide", "Result", "Rule", "Status", "Subject", "check", "judge", "run"]
