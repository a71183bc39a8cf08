"""The conformance suite, asked of the sidecar: in front of files, in a cluster and without one."""

import random

import pytest

from blockdiff.csi.provider.catalog import parse_sources
from blockdiff.csi.provider.driver import Provider
from blockdiff.csi.sidecar.grants import Grants
from blockdiff.csi.sidecar.plaingate import PlainGate
from blockdiff.testing.csi import KubeSide, Status, Subject, run
from tests.fixtures.sidecar import DRIVER, content, snapshot

TOKEN = "0123456789abcdef"


@pytest.fixture
def behind(tmp_path):
    """Two snapshots of a volume with holes."""
    (tmp_path / "snapshots" / "app").mkdir(parents=True)
    chance = random.Random(1)
    blocks = {number: chance.randbytes(4096) for number in range(0, 700, 3)}
    for name in ("monday", "tuesday"):
        with open(tmp_path / "snapshots" / "app" / name, "wb") as file:
            for number, block in blocks.items():
                file.seek(number * 4096)
                file.write(block)
            file.truncate(700 * 4096)
        blocks |= {number: chance.randbytes(4096) for number in range(0, 700, 11)}
    return Provider(parse_sources([f"dir:{tmp_path}/snapshots"]), name=DRIVER)


def judge(side, tmp_path, snapshot, base):
    devices = {
        "snapshot_device": f"{tmp_path}/snapshots/app/tuesday",
        "base_device": f"{tmp_path}/snapshots/app/monday",
    }
    with side:
        results = run(Subject(side, snapshot=snapshot, base=base, handle="app/tuesday", clients=8, **devices))
    assert {result.rule.id: result.evidence for result in results if result.status == Status.FAIL} == {}
    assert {result.rule.id for result in results if result.status == Status.SKIP} <= {"deadline"}  # the list is short


def test_in_a_cluster(sidecar, api, behind, files, tmp_path):
    api.add("volumesnapshots", snapshot("tue"))
    api.add("volumesnapshotcontents", content("tue", handle="app/tuesday"))
    started = sidecar(behind=behind)
    address = f"localhost:{started.server.listener.port}"
    side = KubeSide(address, namespace="app", token=started.client.token, ca=files.ca_pem)
    judge(side, tmp_path, "tue", "app/monday")


def test_without_one(sidecar, behind, files, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN} app\n")
    tokens.chmod(0o600)
    gate = PlainGate(tokens=Grants(str(tokens), secret=True), handle="{namespace}/{name}")
    started = sidecar(behind=behind, gate=gate)
    side = KubeSide(f"localhost:{started.server.listener.port}", namespace="app", token=TOKEN, ca=files.ca_pem)
    judge(side, tmp_path, "tuesday", "app/monday")
