"""The roles are sufficient and minimal: the real server and the real client run with them and with nothing else."""

import json
import os
import re

import pytest

from tests.deploy.conftest import chart, manifests, of_kind
from tests.fixtures.cli import COMMAND, blockdiff, finish, start
from tests.fixtures.rbac import Granting
from tests.fixtures.sidecar import content, secret, snapshot, snapshot_class
from tests.fixtures.tls import Authority

pytestmark = pytest.mark.slow

SETS = {"manifests": manifests, "chart": lambda: chart("sources")}
SIZE = 1 << 20


@pytest.fixture(params=SETS)
def cluster(request, tmp_path):
    """An API server with these roles, and the snapshots of an application."""
    items = SETS[request.param]()
    (service,) = of_kind(items, "SnapshotMetadataService")
    driver, audience = service["metadata"]["name"], service["spec"]["audience"]
    kube = Granting(items)
    kube.driver, kube.items = driver, items
    kube.add("snapshotmetadataservices", {"metadata": {"name": driver}, "spec": {"audience": audience}})
    parameters = {"name": "csi-snapshotter-secret", "namespace": "csi-driver"}
    kube.add("volumesnapshotclasses", snapshot_class("gold", driver=driver, default=True, **parameters))
    kube.add("volumesnapshotclasses", snapshot_class("named", driver=driver, **parameters))
    kube.add("secrets", secret("csi-driver", "csi-snapshotter-secret", key="value"))
    for name, klass in (("monday", "named"), ("tuesday", None)):  # a class by name, and the default
        kube.add("volumesnapshots", snapshot(name, klass=klass))
        kube.add("volumesnapshotcontents", content(name, driver=driver, handle=f"a/{name}"))
    files = Authority(tmp_path / "tls").issue(name="server")
    with kube.serving(files):
        yield kube, files


@pytest.fixture
def server(cluster, tmp_path):
    """The server of the manifests, as its service account; gives its port."""
    kube, files = cluster
    (tmp_path / "snapshots").mkdir()
    data = bytearray(os.urandom(SIZE))
    (tmp_path / "snapshots/monday").write_bytes(data)
    data[8192:12288] = bytes(4096)
    (tmp_path / "snapshots/tuesday").write_bytes(data)
    (deployment,) = of_kind(kube.items, "Deployment")
    account, place = deployment["spec"]["template"]["spec"]["serviceAccountName"], deployment["metadata"]["namespace"]
    config = kube.kubeconfig(tmp_path / "server.conf", place, account)
    source = ("--source", f"a=dir:{tmp_path}/snapshots", "--driver-name", kube.driver)
    tls = ("--tls-cert", files.cert, "--tls-key", files.key)
    process = start(
        "serve",
        "snapshot-metadata",
        "--kubeconfig",
        config,
        *source,
        *tls,
        "--port=0",
        "--http-endpoint=",
        "--check-base-ownership=known",
    )
    port = re.search(r"listening on \S+:(\d+)", process.stderr.readline())
    yield int(port[1]) if port else pytest.fail(process.stderr.read())
    process.terminate()
    assert finish(process)[0] == 0


def ask(cluster, server, tmp_path, *words, expect=0, account="backup"):
    """The real client as the service account of the client's roles."""
    kube, files = cluster
    config = kube.kubeconfig(tmp_path / "client.conf", "app", account)
    found = {"address": f"localhost:{server}", "audience": audience(kube), "caCert": pem(files)}
    kube.objects["snapshotmetadataservices", "", kube.driver]["spec"] = found
    words = ("--kubeconfig", config, "-n", "app", *words, "-o", "json")
    return blockdiff("snapshot-metadata", "list", *words, expect=expect)


def audience(kube):
    return of_kind(kube.items, "SnapshotMetadataService")[0]["spec"]["audience"]


def pem(files):
    import base64

    return base64.b64encode(files.ca_pem).decode()


def test_the_roles_are_enough_and_no_more(cluster, server, tmp_path):
    kube, _ = cluster
    done = ask(cluster, server, tmp_path, "-s", "tuesday", "-p", "monday")
    assert [record["block_metadata"] for record in json.loads(done.stdout)] == [
        [{"byte_offset": 8192, "size_bytes": 4096}]
    ]
    ask(cluster, server, tmp_path, "-s", "monday")  # whose class is named
    roles = {user for user, *_ in kube.all_grants()}
    used = {grant for grant in kube.used if grant[0] in roles}
    mine = {grant for grant in kube.all_grants() if not grant[0].endswith(":dump")}  # another client of the chart
    assert mine - used == set(), "granted, and never needed"


def test_somebody_else_gets_nothing(cluster, server, tmp_path):
    done = ask(cluster, server, tmp_path, "-s", "tuesday", expect=5, account="stranger")
    assert "forbidden" in done.stderr.lower()
    assert done.stdout in ("", "[]", "[")


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["get", "create", "list"])
def test_with_less_it_does_not_work(cluster, server, tmp_path, verb):
    """Every right of the client is needed; and those of the server that its documentation names."""
    kube, _ = cluster
    for grant in sorted(kube.all_grants()):
        if grant[4] != verb or grant[0].endswith(":dump"):
            continue
        kept, kube.grants = kube.grants, [one for one in kube.grants if not covers(one, grant)]
        kube.grants += [
            (one[0], one[1], one[2], tuple(r for r in one[3] if (one[2], r) != ((grant[2],), grant[3])), one[4], ())
            for one in kept
            if covers(one, grant)
        ]
        assert ask(cluster, server, tmp_path, "-s", "tuesday", "-p", "monday", expect=5).stderr, grant
        kube.grants = kept


def covers(rule, grant):
    who, place, groups, resources, verbs, _ = rule
    return (who, place) == grant[:2] and grant[2] in groups and grant[3] in resources and grant[4] in verbs


def test_the_program_is_the_one_that_is_tested():
    assert COMMAND[1:] == ["-m", "blockdiff"]
