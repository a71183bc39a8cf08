"""Requests to the API server: how it is found, and what becomes of answers that are none."""

import threading

import pytest
from kubernetes.config import incluster_config

from blockdiff.csi.sidecar.cluster import Cluster, ClusterError, Patience
from blockdiff.csi.sidecar.limiter import Limiter
from blockdiff.errors import InvalidInput
from tests.fixtures.kube import FakeKube
from tests.fixtures.sidecar import WAIT, content, snapshot, until

PATIENT = Patience(WAIT, threading.Event())


@pytest.fixture
def secure(files):
    api = FakeKube()
    api.add("volumesnapshots", snapshot("a"))
    with api.serving(files):
        yield api


@pytest.fixture
def make(tmp_path):
    made = []

    def cluster(api, **options):
        made.append(Cluster(api.kubeconfig(tmp_path / "config", "kube-system", "sidecar"), **options))
        return made[-1]

    yield cluster
    for one in made:
        one.close()


def test_by_kubeconfig(secure, make):
    assert make(secure).snapshot("app", "a", PATIENT)["metadata"]["name"] == "a"


def test_in_the_cluster(secure, monkeypatch, tmp_path, files):
    token = tmp_path / "token"
    token.write_text(secure.token("kube-system", "sidecar"))
    host, port = secure.url.removeprefix("https://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(files.ca))
    cluster = Cluster()
    assert cluster.snapshot("app", "a", PATIENT)["metadata"]["name"] == "a"
    cluster.close()


def test_nowhere(monkeypatch, tmp_path):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InvalidInput, match="cannot load the configuration of this cluster"):
        Cluster()
    path = tmp_path / "config"
    for text in ("", "{", "[]", "kind: Config\n"):
        path.write_text(text)
        with pytest.raises(InvalidInput, match="cannot load kubeconfig"):
            Cluster(str(path))


@pytest.mark.parametrize(
    ("answer", "status", "permanent", "text"),
    [
        ((200, "no JSON"), 0, False, "is no JSON"),
        ((200, []), 0, False, "is no object"),
        ((404, "404 page not found\n"), 404, True, "the server could not find the requested resource"),
        ((500, "oops"), 500, False, "HTTP status 500"),
        ((500, {"message": 5}), 500, False, "5"),
        ((410, {"message": "too old"}), 410, False, "too old"),
        ((429, {"message": "busy"}), 429, False, "busy"),
        ((403, {"message": "no"}), 403, True, "no"),
        ((301, "elsewhere"), 301, False, "HTTP status 301"),
    ],
    ids=lambda value: str(value) if isinstance(value, tuple) else "",
)
def test_answers_that_are_none(api, make, answer, status, permanent, text):
    api.faults["volumesnapshots/a"] = answer
    with pytest.raises(ClusterError, match=text) as caught:
        make(api).snapshot("app", "a", PATIENT)
    assert (caught.value.status, caught.value.permanent) == (status, permanent)


def test_a_server_that_is_away(api, make):
    cluster = make(api)
    api.stop()
    with pytest.raises(ClusterError, match="GET /apis/snapshot") as caught:
        cluster.snapshot("app", "a", PATIENT)
    assert (caught.value.status, caught.value.permanent) == (0, False)


def test_lists_come_in_pages(api, make, monkeypatch):
    items = [content(f"s{number}") for number in range(5)]
    asked = []

    def pages():
        asked.append(len(asked))
        part = items[2 * len(asked) - 2 : 2 * len(asked)]
        return 200, {"items": part, "metadata": {"continue": "more" if len(asked) < 3 else ""}}

    api.faults["volumesnapshotcontents"] = pages
    assert list(make(api).contents(PATIENT)) == items
    assert len(asked) == 3


def test_a_list_of_nothing(api, make):
    api.faults["volumesnapshotcontents"] = (200, {"items": None})
    assert list(make(api).contents(PATIENT)) == []


@pytest.mark.parametrize("data", [{"k": "no base64!"}, {"k": "//79"}])
def test_secrets_that_are_no_text(api, make, data):
    api.add("secrets", {"metadata": {"name": "s", "namespace": "vault"}, "data": data})
    with pytest.raises(ClusterError, match="holds no text") as caught:
        make(api).secret("vault", "s", PATIENT)
    assert caught.value.permanent
    assert "79" not in str(caught.value)


def test_a_secret_without_data(api, make):
    api.add("secrets", {"metadata": {"name": "s", "namespace": "vault"}})
    assert make(api).secret("vault", "s", PATIENT) == {}


def test_reviews_without_a_status(api, make, monkeypatch):
    api.faults["tokenreviews"] = (201, {"kind": "TokenReview"})
    assert make(api).review_token("t", "a", PATIENT) == {}
    api.faults["tokenreviews"] = (201, {"status": "odd"})
    assert make(api).review_token("t", "a", PATIENT) == {}


def test_the_limit():
    limiter, never = Limiter(0.001, 3), threading.Event()
    assert [limiter.wait(0, never) for _ in range(5)] == [True, True, True, False, False]
    assert all(Limiter(0, 0).wait(0, never) for _ in range(100))
    assert all(Limiter(1e6, 1).wait(1, never) for _ in range(100))


def test_who_went_away_does_not_make_others_wait():
    limiter, gone = Limiter(0.05, 1), threading.Event()
    assert limiter.wait(0, threading.Event())
    said = []
    waiting = [threading.Thread(target=lambda: said.append(limiter.wait(1e9, gone))) for _ in range(50)]
    for thread in waiting:
        thread.start()
    until(lambda: limiter._level < -49)
    gone.set()
    for thread in waiting:
        thread.join(WAIT)
    assert said == [False] * 50
    assert limiter._level > -1, "the next one waits for those who are gone"
    assert not limiter.wait(1e9, gone)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "..%2Fx", "%2e%2e"])
def test_names_that_lead_elsewhere(api, make, name):
    before = len(api.requests)
    with pytest.raises(ClusterError, match="is no name of an object") as caught:
        make(api).snapshot("app", name, PATIENT)
    assert caught.value.status == 404
    assert len(api.requests) == before, "nobody was asked"


def test_nothing_is_asked_for_nobody(api, make):
    gone, before = threading.Event(), len(api.requests)
    gone.set()
    with pytest.raises(ClusterError, match="nobody waits"):
        make(api, qps=1, burst=1).snapshot("app", "a", Patience(WAIT, gone))
    assert len(api.requests) == before
