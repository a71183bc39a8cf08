"""Each rule finds the server that breaks it, and none blames one that keeps them all."""

import random

import pytest

from blockdiff.testing.csi import RULES, CsiSide, KubeSide, Status, Subject, judge, run
from blockdiff.testing.csi.judge import JUDGES
from tests.fixtures.broken_csi import BROKEN, BROKEN_KUBE, FIXED, MIB, SLY, TOKEN, Honest, serving


@pytest.fixture(scope="module")
def devices(tmp_path_factory):
    """What Honest's snapshots hold: random data where it says so, and the changes."""
    place, model = tmp_path_factory.mktemp("content"), Honest()
    data = bytearray(MIB)
    for at, length in model.allocated:
        data[at : at + length] = random.Random(at).randbytes(length)
    (place / "b").write_bytes(data)
    for at, length in model.changed:
        data[at : at + length] = random.Random(-at - 1).randbytes(length)
    (place / "a").write_bytes(data)
    return {"snapshot_device": str(place / "b"), "base_device": str(place / "a")}


def csi_subject(address, devices, **options):
    return Subject(CsiSide(address), snapshot="b", base="a", timeout=20, clients=12, **devices, **options)


def kube_subject(address, token=TOKEN, **options):
    side = KubeSide(address, namespace="app", token=token)
    return Subject(side, snapshot="b", base="a", handle="b", timeout=20, clients=12, **options)


def test_every_rule_has_a_judge_and_a_server_that_breaks_it():
    ids = {rule.id for rule in RULES}
    assert len(ids) == len(RULES)
    assert set(JUDGES) == ids
    assert set(BROKEN) | set(BROKEN_KUBE) == ids


@pytest.mark.parametrize("kind", ["variable", "fixed", "nothing"])
def test_a_server_that_keeps_all_rules(tmp_path, devices, kind):
    models = {"fixed": Honest(kind=FIXED), "nothing": Honest(allocated=[], changed=[])}
    content = devices if kind != "nothing" else {}
    with serving(models.get(kind, Honest()), tmp_path / "s") as address:
        subject = csi_subject(address, content)
        with subject.side:
            results = run(subject)
    assert [result for result in results if result.status == Status.FAIL] == []
    skipped = {result.rule.id for result in results if result.status == Status.SKIP}
    assert skipped <= (
        {"deadline"} if content else {"deadline", "content-allocated", "content-delta", "content-unallocated"}
    )
    assert all(result.evidence for result in results)


def test_a_sidecar_that_keeps_all_rules(devices):
    with serving(Honest(), "127.0.0.1:0") as address:
        subject = kube_subject(address, **devices)
        with subject.side:
            results = run(subject)
    assert [result for result in results if result.status == Status.FAIL] == []
    assert {"wrong-token", "missing-namespace"} < {result.rule.id for result in results}
    assert not any(result.rule.id.startswith("identity") for result in results)


@pytest.mark.parametrize("rule_id", BROKEN)
def test_a_driver_that_breaks_a_rule(tmp_path, devices, rule_id):
    with serving(BROKEN[rule_id](), tmp_path / "s") as address:
        subject = csi_subject(address, devices)
        with subject.side:
            result = judge(rule_id, subject)
    assert result.status == Status.FAIL, result
    assert result.evidence


@pytest.mark.parametrize("rule_id", SLY)
def test_a_driver_that_is_wrong_in_one_half_only(tmp_path, devices, rule_id):
    with serving(SLY[rule_id](), tmp_path / "s") as address:
        subject = csi_subject(address, devices)
        with subject.side:
            result = judge(rule_id, subject)
    assert result.status == Status.FAIL, result


@pytest.mark.parametrize("rule_id", BROKEN_KUBE)
def test_a_sidecar_that_breaks_a_rule(tmp_path, rule_id):
    with serving(BROKEN_KUBE[rule_id](), tmp_path / "s") as address:
        subject = kube_subject(address)
        with subject.side:
            result = judge(rule_id, subject)
    assert result.status == Status.FAIL, result


@pytest.mark.parametrize("rule_id", ["missing-token", "identity-probe"])
def test_rules_of_the_other_side_are_skipped(tmp_path, rule_id):
    with serving(Honest(), tmp_path / "s") as address:
        subject = csi_subject(address, {}) if rule_id == "missing-token" else kube_subject(address)
        with subject.side:
            assert judge(rule_id, subject).status == Status.SKIP
