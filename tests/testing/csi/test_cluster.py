"""The suite finds the sidecar in a cluster by itself."""

import base64
import json
import random

import pytest

from blockdiff.csi.provider.catalog import parse_sources
from blockdiff.csi.provider.driver import Provider
from blockdiff.testing.csi.__main__ import main
from tests.fixtures.sidecar import AUDIENCE, DRIVER, api, content, driver, files, sidecar, snapshot

__all__ = ["api", "driver", "files", "sidecar"]


@pytest.fixture
def cluster(tmp_path, api, files, sidecar):
    """Snapshots mon and tue in the namespace app, and a sidecar in front of files; gives the user's kubeconfig."""
    (tmp_path / "snapshots").mkdir()
    data, chance = bytearray(1 << 20), random.Random(2)
    for name in ("mon", "tue"):
        for _ in range(40):
            at = chance.randrange(len(data) - 4096)
            data[at : at + 4096] = chance.randbytes(4096)
        (tmp_path / "snapshots" / name).write_bytes(data)
        api.add("volumesnapshots", snapshot(name))
        api.add("volumesnapshotcontents", content(name, handle=name))
    started = sidecar(behind=Provider(parse_sources([f"dir:{tmp_path}/snapshots"]), name=DRIVER))
    spec = {
        "address": f"localhost:{started.server.listener.port}",
        "audience": AUDIENCE,
        "caCert": base64.b64encode(files.ca_pem).decode(),
    }
    api.add("snapshotmetadataservices", {"metadata": {"name": DRIVER}, "spec": spec})
    return api.kubeconfig(tmp_path / "user.conf", "app", "backup")


ABOUT = ("--namespace", "app", "--snapshot", "tue", "--clients", "4", "-o", "json")


@pytest.mark.parametrize("base", [("--base-name", "mon"), ("--base", "mon")], ids=["name", "handle"])
@pytest.mark.parametrize("account", [(), ("--service-account", "backup"), ("--service-account", "app/backup")], ids=len)
def test_by_kubeconfig(capsys, cluster, base, account):
    code = main(["--kubeconfig", cluster, *ABOUT, *base, *account, "--rule", "delta-self", "--rule", "start-complete"])
    report = json.loads(capsys.readouterr().out)
    assert (code, report["side"], report["base"], report["pass"]) == (0, "kube", "mon", 2), report


def test_all_rules(capsys, cluster):
    code = main(["--kubeconfig", cluster, *ABOUT, "--base-name", "mon"])
    report = json.loads(capsys.readouterr().out)
    assert (code, report["fail"]) == (0, 0), report
    assert {result["id"] for result in report["results"] if result["status"] == "skip"} <= {
        "deadline",
        "content-allocated",
        "content-delta",
        "content-unallocated",
    }


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--snapshot", "no", "--base", "mon"), 5, "volumesnapshots"),
        (("--base-name", "no"), 5, "volumesnapshots"),
        (("--service-account", "app/nobody"), 5, "nobody"),
    ],
)
def test_what_is_not_there(capsys, cluster, words, code, text):
    assert main(["--kubeconfig", cluster, *ABOUT, *words]) == code
    assert text in json.loads(capsys.readouterr().err)["message"]
