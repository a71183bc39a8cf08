"""The API server's answers, good and bad, as the iterator tells them."""

import json

import pytest
from fixtures import k8sobjects
from fixtures.kube import FakeKube, failure
from fixtures.tls import Authority

from blockdiff.csi.args import Args, Clients
from blockdiff.csi.errors import ApiError, ConfigError, InvalidArgs, LookupFailed, NotReady
from blockdiff.csi.kube import KubeApi, build_clients
from blockdiff.csi.lookup import csi_driver, service_account, snapshot_handle


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca")).issue("127.0.0.1")


@pytest.fixture
def kube(files):
    kube = FakeKube()
    k8sobjects.add_snapshot(kube, "snap-1")
    with kube.serving(files):
        yield kube


@pytest.fixture
def api(kube, tmp_path):
    return KubeApi(build_clients(kube.kubeconfig(tmp_path / "kubeconfig", "app", "backup")), timeout=20)


def test_who_we_are(api):
    assert service_account(Args(), api) == ("app", "backup")


def test_a_given_account_needs_no_request(api, kube):
    assert service_account(Args(sa_namespace="n", sa_name="s"), api) == ("n", "s")
    assert kube.requests == []


@pytest.mark.parametrize("user", ["admin", "system:serviceaccount:app", "system:serviceaccount:a:b:c", ""])
def test_a_user_who_is_no_account(kube, tmp_path, user):
    path = kube.kubeconfig(tmp_path / "kubeconfig", "app", "backup", token=kube.user_token(user))
    with pytest.raises(InvalidArgs) as error:
        service_account(Args(), KubeApi(build_clients(path)))
    assert str(error.value) == "invalid argument: ServiceAccount unspecified and default cannot be determined"


def test_a_token(api, kube):
    token = api.create_token("app", "backup", "aud", 600)
    assert kube.who(token.text, ["aud"])[0] == "system:serviceaccount:app:backup"
    assert kube.who(token.text, ["api"]) is None
    assert token.expires == pytest.approx(kube.tokens[token.text][2], abs=2)
    assert kube.bodies[-1]["spec"] == {"audiences": ["aud"], "expirationSeconds": 600}


def test_the_account_of_a_token_is_not_swapped(api, kube):
    with pytest.raises(ApiError) as error:
        api.create_token("backup", "app", "aud", 600)
    assert str(error.value) == 'ServiceAccounts.CreateToken(backup/app): serviceaccounts "app" not found'
    assert kube.requests == [("POST", "/api/v1/namespaces/backup/serviceaccounts/app/token")]


def test_a_token_for_too_short_a_time(api):
    with pytest.raises(ApiError, match="may not specify a duration less than 10 minutes") as error:
        api.create_token("app", "backup", "aud", 60)
    assert error.value.status == 422
    assert not error.value.retryable


STATUSES = {
    "not-found": (404, k8sobjects.load("vs-notfound"), 'volumesnapshots.snapshot.storage.k8s.io "nope" not found'),
    "unauthorized": (401, k8sobjects.load("unauthorized"), "Unauthorized"),
    "forbidden": (403, k8sobjects.load("forbidden"), k8sobjects.load("forbidden")["message"]),
    "plain-404": (
        404,
        "404 page not found\n",
        (
            "the server could not find the requested resource (get volumesnapshots.snapshot.storage.k8s.io snap-1): "
            "is its CRD installed, in this version?"
        ),
    ),
    "plain-502": (502, "<html>\nbad gateway", "<html> (HTTP 502)"),
    "escapes": (502, "<b>\x1b[2J", "<b>\\x1b[2J (HTTP 502)"),
    "nothing": (503, "", "Service Unavailable (HTTP 503)"),
}


@pytest.mark.parametrize(("status", "body", "text"), STATUSES.values(), ids=STATUSES)
def test_refusals(api, kube, status, body, text):
    kube.faults["/volumesnapshots/snap-1"] = (status, body)
    with pytest.raises(ApiError) as error:
        api.volume_snapshot("app", "snap-1")
    assert str(error.value) == f"VolumeSnapshots.Get(app/snap-1): {text}"
    assert error.value.status == status
    assert error.value.retryable is (status >= 500)


def test_a_dead_server(api, kube):
    kube.stop()
    with pytest.raises(ApiError, match=r"cannot reach the API server: .*refused") as error:
        api.volume_snapshot("app", "snap-1")
    assert error.value.retryable


def test_a_slow_server(kube, tmp_path):
    kube.delay = 5
    api = KubeApi(build_clients(kube.kubeconfig(tmp_path / "k", "app", "backup")), timeout=0.2)
    with pytest.raises(ApiError, match="timed out"):
        api.user_name()
    assert len(kube.requests) <= 1  # never asked again and again


def test_an_answer_that_is_none(api, kube):
    kube.faults["/token"] = (201, {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": 7})
    with pytest.raises(ApiError, match=r"^ServiceAccounts.CreateToken\(app/backup\): the API server's answer"):
        api.create_token("app", "backup", "aud", 600)


def test_a_ca_that_did_not_issue_it(kube, tmp_path):
    kube.ca = str(Authority(tmp_path / "other").path)
    api = KubeApi(build_clients(kube.kubeconfig(tmp_path / "k", "app", "backup")))
    with pytest.raises(ApiError, match=r"(?s)SelfSubjectReviews.Create\(\): .*CERTIFICATE_VERIFY_FAILED"):
        api.user_name()


def test_the_driver(api, kube):
    assert csi_driver(Args(namespace="app", snapshot_name="snap-1"), api) == "hostpath.csi.k8s.io"
    assert [path.rpartition("/")[2] for _, path in kube.requests] == ["snap-1", "snapcontent-snap-1"]
    assert csi_driver(Args(csi_driver="d"), api) == "d"


NOT_BOUND = {"no-status": {"status": None}, "not-bound": {"status": {"readyToUse": False}}}


@pytest.mark.parametrize("change", NOT_BOUND.values(), ids=NOT_BOUND)
def test_a_snapshot_without_content(api, kube, change):
    kube.add("volumesnapshots", without_nulls({**k8sobjects.snapshot("snap-1"), **change}))
    with pytest.raises(NotReady) as error:
        csi_driver(Args(namespace="app", snapshot_name="snap-1"), api)
    assert str(error.value) == "VolumeSnapshot(app/snap-1) has no bound VolumeSnapshotContent"


def test_a_content_that_is_gone(api, kube):
    kube.remove("volumesnapshotcontents", "", "snapcontent-snap-1")
    with pytest.raises(ApiError) as error:
        csi_driver(Args(namespace="app", snapshot_name="snap-1"), api)
    assert str(error.value) == (
        "VolumeSnapshotContents.Get(snapcontent-snap-1) for VolumeSnapshot(app/snap-1): "
        'volumesnapshotcontents.snapshot.storage.k8s.io "snapcontent-snap-1" not found'
    )


def test_a_handle(api):
    assert snapshot_handle("app", "snap-1", api) == "handle-snap-1"


def without_nulls(item):
    return {key: value for key, value in item.items() if value is not None}


snapshot, content = k8sobjects.snapshot, k8sobjects.content
NO_HANDLE = {
    "snapshot-no-status": ({**snapshot(), "status": None}, {}, NotReady, "VolumeSnapshot app/snap-1 is not yet ready"),
    "snapshot-odd-status": ({**snapshot(), "status": "x"}, {}, NotReady, "VolumeSnapshot app/snap-1 is not yet ready"),
    "snapshot-not-ready": (snapshot(readyToUse=False), {}, NotReady, "VolumeSnapshot app/snap-1 is not yet ready"),
    "snapshot-not-bound": (
        snapshot(boundVolumeSnapshotContentName=None),
        {},
        NotReady,
        "VolumeSnapshot app/snap-1 boundVolumeSnapshotContentName not set",
    ),
    "uid": (
        snapshot(uid="another"),
        {},
        LookupFailed,
        "VolumeSnapshotContent(snapcontent-snap-1) volumeSnapshotRef.UID does not identify VolumeSnapshot(app/snap-1)",
    ),
    "namespace": (
        {},
        content(namespace="other"),
        LookupFailed,
        "VolumeSnapshotContent(snapcontent-snap-1) volumeSnapshotRef does not identify VolumeSnapshot(app/snap-1)",
    ),
    "content-no-status": (
        {},
        {**content(), "status": None},
        NotReady,
        "VolumeSnapshotContent(snapcontent-snap-1) is not yet ready",
    ),
    "content-odd-status": (
        {},
        {**content(), "status": []},
        NotReady,
        "VolumeSnapshotContent(snapcontent-snap-1) is not yet ready",
    ),
    "content-not-ready": (
        {},
        content(readyToUse=False),
        NotReady,
        "VolumeSnapshotContent(snapcontent-snap-1) is not yet ready",
    ),
    "empty-handle": (
        {},
        content(snapshotHandle=""),
        NotReady,
        "VolumeSnapshotContent(snapcontent-snap-1) snapshot handle not set",
    ),
    "empty-bound": (
        snapshot(boundVolumeSnapshotContentName=""),
        {},
        NotReady,
        "VolumeSnapshot app/snap-1 boundVolumeSnapshotContentName not set",
    ),
    "no-handle": (
        {},
        content(snapshotHandle=None),
        NotReady,
        "VolumeSnapshotContent(snapcontent-snap-1) snapshot handle not set",
    ),
}


@pytest.mark.parametrize(("one", "other", "kind", "text"), NO_HANDLE.values(), ids=NO_HANDLE)
def test_no_handle(api, kube, one, other, kind, text):
    for plural, item in (("volumesnapshots", one), ("volumesnapshotcontents", other)):
        if item:
            kube.add(plural, without_nulls(item))
    with pytest.raises(kind) as error:
        snapshot_handle("app", "snap-1", api)
    assert str(error.value) == text


def test_readiness_that_nobody_tells_is_no_obstacle(api, kube):
    kube.add("volumesnapshots", snapshot(readyToUse=None))
    kube.add("volumesnapshotcontents", content(readyToUse=None))
    assert snapshot_handle("app", "snap-1", api) == "handle-snap-1"


@pytest.mark.parametrize(
    "text", ["", "nonsense: [", "apiVersion: v1\nkind: Config\n", "[1]"], ids=["empty", "no-yaml", "nothing", "list"]
)
def test_bad_kubeconfigs(tmp_path, text):
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"^kubernetes.NewForConfig: \S"):
        build_clients(path)


def test_no_kubeconfig_and_no_pod(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError, match=r"^kubernetes.NewForConfig: unable to load in-cluster configuration"):
        build_clients()
    with pytest.raises(ConfigError, match="missing"):
        build_clients(tmp_path / "missing")
    with pytest.raises(ConfigError, match="int is no configuration"):
        build_clients(7)


def test_another_context(kube, tmp_path):
    path = tmp_path / "kubeconfig"
    kube.kubeconfig(path, "app", "backup")
    config = json.loads(path.read_text())
    config["contexts"].append({"name": "d", "context": {"cluster": "b", "user": "u", "namespace": "x"}})
    path.write_text(json.dumps({**config, "current-context": "nowhere"}))
    assert KubeApi(build_clients(path, context="d")).user_name() == "system:serviceaccount:app:backup"
    with pytest.raises(ConfigError, match="nowhere"):
        build_clients(path)


def test_clients_of_ones_own(kube, tmp_path):
    from kubernetes import client

    made = build_clients(kube.kubeconfig(tmp_path / "k", "app", "backup")).kube_client
    own = Clients(client.CoreV1Api(made), client.CustomObjectsApi(made), client.CustomObjectsApi(made))
    assert KubeApi(own).user_name() == "system:serviceaccount:app:backup"
    assert KubeApi(own).create_token("app", "backup", "a", 600).text
    assert build_clients(made).kube_client is made
    assert build_clients(made.configuration).sms_cr_client is not made


def test_statuses_are_real(kube):
    """The double says what a real server said."""
    assert failure(401, "Unauthorized", "Unauthorized")[1]["message"] == k8sobjects.load("unauthorized")["message"]
    kube.deny.add(("system:serviceaccount:app:no-rbac", "get", "volumesnapshots", "app"))
    token = kube.token("app", "no-rbac")
    code, body = kube.answer(
        "GET", "/apis/snapshot.storage.k8s.io/v1/namespaces/app/volumesnapshots/snap-1", None, token
    )
    assert (code, body) == (403, k8sobjects.load("forbidden"))
