"""Each call from its arguments to the driver's answer: every row of the errors that clients know."""

import time

import grpc
import pytest

from blockdiff.csi import rpc
from blockdiff.csi.sidecar.replaced import PATIENCE, Replaced
from tests.fixtures.scripted import message
from tests.fixtures.sidecar import (
    AUDIENCE,
    DRIVER,
    SIDECAR,
    WAIT,
    broken,
    content,
    refused,
    secret,
    snapshot,
    snapshot_class,
    tuples,
)

BOTH = [(0, 4096), (8192, 4096), (1 << 20, 4096)]


def test_allocated(sidecar, driver):
    assert tuples(sidecar().client.allocated(starting_offset=1, max_results=2)) == BOTH
    (request,) = driver.requests
    assert (request.snapshot_id, request.starting_offset, request.max_results) == ("handle-a", 1, 2)


def test_delta(sidecar, driver):
    assert tuples(sidecar().client.delta()) == BOTH
    (request,) = driver.requests
    assert (request.base_snapshot_id, request.target_snapshot_id) == ("handle-a", "handle-b")
    assert dict(request.secrets) == {}


ARGUMENTS = [
    ({"token": ""}, "INVALID_ARGUMENT", "securityToken is missing"),
    ({"namespace": ""}, "INVALID_ARGUMENT", "namespace parameter cannot be empty"),
    ({"max_results": -1}, "INVALID_ARGUMENT", "maxResults cannot be negative: -1"),
    ({"starting_offset": -1}, "OUT_OF_RANGE", "startingOffset cannot be negative: -1"),
    (
        {"starting_offset": (1 << 30) + 1},
        "OUT_OF_RANGE",
        "startingOffset 1073741825 is beyond the capacity of the volume, 1073741824",
    ),
]


@pytest.mark.parametrize(("fields", "code", "text"), ARGUMENTS, ids=[text for _, _, text in ARGUMENTS])
def test_arguments(sidecar, fields, code, text):
    client = sidecar().client
    assert refused(client.allocated(**fields)) == (code, text)
    assert refused(client.delta(**fields)) == (code, text)


def test_names_that_are_missing(sidecar):
    client = sidecar().client
    assert refused(client.allocated("")) == ("INVALID_ARGUMENT", "snapshotName cannot be empty")
    assert refused(client.delta("")) == ("INVALID_ARGUMENT", "baseSnapshotId cannot be empty")
    assert refused(client.delta(name="")) == ("INVALID_ARGUMENT", "targetSnapshotName cannot be empty")


def test_arguments_are_looked_at_before_anybody_is_asked(sidecar, api):
    client = sidecar().client
    api.requests.clear()
    refused(client.allocated("", token="wrong"))
    assert api.requests == []


def test_bytes_that_are_no_request(sidecar, driver):
    started = sidecar()
    for garbage in (b"\xff\xff\xff", b"\x0a\x02\xff\xfe", b"\x0a\xff\xff\xff\xff\x07x"):
        call = started.channel.unary_stream(rpc.KUBE_DELTA.path, request_serializer=None, response_deserializer=None)
        assert refused(call(garbage, timeout=WAIT))[0] == "INTERNAL"
    call = started.channel.unary_stream(rpc.KUBE_DELTA.path, request_serializer=None, response_deserializer=None)
    assert refused(call(bytes(2 << 20), timeout=WAIT))[0] == "RESOURCE_EXHAUSTED"
    assert driver.requests == []
    assert tuples(started.client.delta()) == BOTH


class TestUser:
    def test_an_unknown_token(self, sidecar):
        assert refused(sidecar().client.allocated(token="nobody")) == ("UNAUTHENTICATED", "unauthenticated user")

    def test_an_expired_token(self, sidecar, api):
        token = api.token("app", "backup", audiences=(AUDIENCE,), ttl=-1)
        assert refused(sidecar().client.allocated(token=token))[0] == "UNAUTHENTICATED"

    def test_a_token_for_somebody_else(self, sidecar, api):
        token = api.token("app", "backup", audiences=("another",))
        assert refused(sidecar().client.allocated(token=token))[0] == "UNAUTHENTICATED"

    def test_an_answer_that_ignores_the_audience(self, sidecar, api, monkeypatch):
        """A cluster whose authenticator knows no audiences says yes to all of them, and names none."""
        started = sidecar()
        real = api.who
        monkeypatch.setattr(
            api, "who", lambda token, wanted: real(token, wanted) if wanted == ["api"] else ("system:admin", [], 0)
        )
        assert refused(started.client.allocated())[0] == "UNAUTHENTICATED"

    def test_an_audience_of_the_server_wins(self, sidecar, api):
        started = sidecar(audience="other")
        assert tuples(started.client.allocated()) == BOTH
        assert not any("snapshotmetadataservices" in path for _, path in api.requests)
        assert (
            refused(started.client.allocated(token=api.token("app", "x", audiences=(AUDIENCE,))))[0]
            == "UNAUTHENTICATED"
        )

    def test_the_api_server_fails(self, sidecar, api):
        api.faults["tokenreviews"] = broken(500, "etcd is gone")
        assert refused(sidecar().client.allocated()) == ("INTERNAL", "failed to authenticate user: etcd is gone")

    def test_no_service_object(self, sidecar, api):
        del api.objects["snapshotmetadataservices", "", DRIVER]
        code, text = refused(sidecar().client.allocated())
        assert code == "INTERNAL"
        assert text.startswith(
            "failed to authenticate user: failed to find the SnapshotMetadataService CR for driver 'test.csi.example': "
        )

    def test_a_service_object_without_audience(self, sidecar, api):
        api.objects["snapshotmetadataservices", "", DRIVER] = {"metadata": {"name": DRIVER}}
        assert refused(sidecar().client.allocated())[0] == "INTERNAL"

    def test_allowed_by_one_and_denied_by_another(self, sidecar, api):
        started = sidecar()
        api.faults["subjectaccessreviews"] = (201, {"status": {"allowed": True, "denied": True, "reason": "frozen"}})
        assert refused(started.client.allocated()) == (
            "PERMISSION_DENIED",
            "user does not have permissions to perform the operation: frozen",
        )

    def test_no_right(self, sidecar, api):
        started = sidecar()
        api.deny.add((started.user, "get", "volumesnapshots", "app"))
        code, text = refused(started.client.allocated())
        assert code == "PERMISSION_DENIED"
        assert text.startswith("user does not have permissions to perform the operation: ")
        review = next(body for body in reversed(api.bodies) if body and "resourceAttributes" in body["spec"])["spec"]
        assert review["user"] == started.user
        assert review["groups"] == ["system:authenticated"]
        assert review["resourceAttributes"] == {
            "group": "snapshot.storage.k8s.io",
            "version": "v1",
            "resource": "volumesnapshots",
            "verb": "get",
            "namespace": "app",
        }

    def test_rights_cannot_be_asked_for(self, sidecar, api):
        api.faults["subjectaccessreviews"] = broken(503, "overloaded")
        assert refused(sidecar().client.allocated()) == ("INTERNAL", "failed to authorize the user: overloaded")

    def test_the_user_is_judged_before_the_snapshot_is_looked_up(self, sidecar, api):
        client = sidecar().client
        assert refused(client.allocated("nothing", token="nobody"))[0] == "UNAUTHENTICATED"
        assert not any("volumesnapshots" in path for _, path in api.requests)


NOT_THERE = {
    "no snapshot": (
        lambda api: api.objects.pop(("volumesnapshots", "app", "a")),
        "NOT_FOUND",
        "failed to get VolumeSnapshot 'app/a': volumesnapshots.snapshot.storage.k8s.io \"a\" not found",
    ),
    "no right to the snapshot": (
        lambda api: api.deny.add((SIDECAR, "get", "volumesnapshots", "app")),
        "FAILED_PRECONDITION",
        "failed to get VolumeSnapshot 'app/a': volumesnapshots.snapshot.storage.k8s.io \"a\" is forbidden: ",
    ),
    "the API server is down": (
        lambda api: api.faults.update({"volumesnapshots/a": broken(503, "try again")}),
        "UNAVAILABLE",
        "failed to get VolumeSnapshot 'app/a': try again",
    ),
    "not ready": (
        lambda api: api.add("volumesnapshots", snapshot("a", ready=False)),
        "UNAVAILABLE",
        "the VolumeSnapshot is not yet ready, name: a",
    ),
    "readiness unknown": (
        lambda api: api.add("volumesnapshots", snapshot("a", ready=None)),
        "UNAVAILABLE",
        "the VolumeSnapshot is not yet ready, name: a",
    ),
    "no status": (
        lambda api: api.add("volumesnapshots", {"metadata": {"name": "a", "namespace": "app"}}),
        "UNAVAILABLE",
        "the VolumeSnapshot is not yet ready, name: a",
    ),
    "status is null": (
        lambda api: api.add("volumesnapshots", snapshot("a") | {"status": None}),
        "UNAVAILABLE",
        "the VolumeSnapshot is not yet ready, name: a",
    ),
    "not bound": (
        lambda api: api.add("volumesnapshots", snapshot("a", boundVolumeSnapshotContentName=None)),
        "UNAVAILABLE",
        "boundVolumeSnapshotContentName is not set in VolumeSnapshot status, name: a",
    ),
    "no content": (
        lambda api: api.objects.pop(("volumesnapshotcontents", "", "content-a")),
        "NOT_FOUND",
        "failed to get VolumeSnapshotContent 'content-a': ",
    ),
    "content not ready": (
        lambda api: api.add("volumesnapshotcontents", content("a", ready=False)),
        "UNAVAILABLE",
        "the VolumeSnapshotContent is not yet ready, name: content-a",
    ),
    "content without status": (
        lambda api: api.add("volumesnapshotcontents", {k: v for k, v in content("a").items() if k != "status"}),
        "UNAVAILABLE",
        "the VolumeSnapshotContent is not yet ready, name: content-a",
    ),
    "no handle": (
        lambda api: api.add("volumesnapshotcontents", content("a") | {"status": {"readyToUse": True}}),
        "UNAVAILABLE",
        "snapshotHandle is not set in VolumeSnapshotContent status, name: content-a",
    ),
    "another driver's": (
        lambda api: api.add("volumesnapshotcontents", content("a", driver="other.example")),
        "INVALID_ARGUMENT",
        "VolumeSnapshot 'a' does not belong to the CSI driver 'test.csi.example'",
    ),
    "content without spec": (
        lambda api: api.add("volumesnapshotcontents", {k: v for k, v in content("a").items() if k != "spec"}),
        "INVALID_ARGUMENT",
        "VolumeSnapshot 'a' does not belong to the CSI driver 'test.csi.example'",
    ),
    "content of another snapshot": (
        lambda api: api.add("volumesnapshotcontents", content("b", "elsewhere") | {"metadata": {"name": "content-a"}}),
        "FAILED_PRECONDITION",
        "VolumeSnapshotContent 'content-a' does not identify VolumeSnapshot 'app/a'",
    ),
    "content of a namesake": (
        lambda api: api.add("volumesnapshots", snapshot("a", uid="made later")),
        "FAILED_PRECONDITION",
        "VolumeSnapshotContent 'content-a' does not identify VolumeSnapshot 'app/a'",
    ),
    "no class": (
        lambda api: api.objects.pop(("volumesnapshotclasses", "", "gold")),
        "FAILED_PRECONDITION",
        "failed to get VolumeSnapshotClass 'gold': ",
    ),
    "no default class": (
        lambda api: api.add("volumesnapshots", snapshot("a", klass=None)),
        "FAILED_PRECONDITION",
        "no default VolumeSnapshotClass is set for the CSI driver 'test.csi.example'",
    ),
    "classes cannot be listed": (
        lambda api: (
            api.add("volumesnapshots", snapshot("a", klass=None)),
            api.deny.add((SIDECAR, "list", "volumesnapshotclasses", "")),
        ),
        "FAILED_PRECONDITION",
        "failed to list VolumeSnapshotClasses: ",
    ),
    "two default classes": (
        lambda api: (
            api.add("volumesnapshots", snapshot("a", klass=None)),
            api.add("volumesnapshotclasses", snapshot_class("one", default=True)),
            api.add("volumesnapshotclasses", snapshot_class("two", default=True)),
        ),
        "FAILED_PRECONDITION",
        "multiple default VolumeSnapshotClasses are set for the CSI driver 'test.csi.example'",
    ),
    "half a secret": (
        lambda api: api.add("volumesnapshotclasses", snapshot_class("gold", name="s")),
        "FAILED_PRECONDITION",
        "invalid snapshotter secret parameters in VolumeSnapshotClass: gold: ",
    ),
    "no secret": (
        lambda api: api.add("volumesnapshotclasses", snapshot_class("gold", name="s", namespace="vault")),
        "FAILED_PRECONDITION",
        'failed to get credentials: secrets "s" not found',
    ),
}


@pytest.mark.parametrize("case", NOT_THERE)
def test_snapshots_that_cannot_be_served(sidecar, api, driver, case):
    change, code, text = NOT_THERE[case]
    change(api)
    found, details = refused(sidecar().client.allocated())
    assert (found, details[: len(text)]) == (code, text)
    assert driver.requests == []


def test_secrets_reach_the_driver_and_nobody_else(sidecar, api, driver, caplog):
    caplog.set_level("DEBUG", "blockdiff")
    place = {"name": "${volumesnapshot.name}-key", "namespace": "${volumesnapshot.namespace}"}
    api.add("volumesnapshotclasses", snapshot_class("gold", **place))
    api.add("secrets", secret("app", "a-key", user="admin", key="s3cr3t"))
    client = sidecar().client
    assert tuples(client.allocated()) == BOTH
    assert dict(driver.requests[0].secrets) == {"user": "admin", "key": "s3cr3t"}
    assert "s3cr3t" not in caplog.text
    assert client.token not in caplog.text


def test_the_default_class_is_the_drivers(sidecar, api, driver):
    api.add("volumesnapshots", snapshot("a", klass=None))
    api.add(
        "volumesnapshotclasses", snapshot_class("other", driver="other.example", default=True, name="x", namespace="y")
    )
    api.add("volumesnapshotclasses", snapshot_class("mine", default=True, name="key", namespace="vault"))
    api.add("secrets", secret("vault", "key", user="u"))
    assert tuples(sidecar().client.allocated()) == BOTH
    assert dict(driver.requests[0].secrets) == {"user": "u"}


def test_the_class_of_the_content_serves_too(sidecar, api, driver):
    """A snapshot that was imported has no class of its own."""
    api.add("volumesnapshots", snapshot("a", klass=None))
    imported = content("a")
    imported["spec"]["volumeSnapshotClassName"] = "gold"
    api.add("volumesnapshotcontents", imported)
    assert tuples(sidecar().client.allocated()) == BOTH


def test_names_cannot_lead_elsewhere(sidecar, api):
    client = sidecar().client
    api.requests.clear()
    for name in ("../../namespaces/app/secrets/x", "..", "a?b", "a/b"):
        assert refused(client.allocated(name))[0] == "NOT_FOUND"
    assert {path.rpartition("/volumesnapshots/")[0] for method, path in api.requests if "volumesnapshots/" in path} <= {
        "/apis/snapshot.storage.k8s.io/v1/namespaces/app"
    }


class TestDriver:
    def test_its_status_is_passed_on(self, sidecar, driver):
        def answer(request, context):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "CBT is off")
            yield

        driver.answer = answer
        assert refused(sidecar().client.delta()) == ("FAILED_PRECONDITION", "CBT is off")

    def test_its_error_in_mid_stream_is_no_clean_end(self, sidecar, driver):
        def answer(request, context):
            yield message((0, 4096))
            context.abort(grpc.StatusCode.ABORTED, "lost it")

        driver.answer = answer
        stream = sidecar().client.allocated()
        assert tuples([next(stream)]) == [(0, 4096)]
        assert refused(stream) == ("ABORTED", "lost it")

    @pytest.mark.parametrize(
        ("messages", "text"),
        [
            ([b"\xff\xff\xff"], "record 1: "),
            ([message((0, 4096)), message((0, 4096))], "record 2 begins at 0, before 4096"),
            ([message((4096, 4096), (0, 4096))], "record 1: "),
            ([message((0, 8192), (4096, 4096))], "record 1: "),
            ([message((0, 0))], "record 1: "),
            ([message((0, -5))], "record 1: "),
            ([message((-4096, 8192))], "record 1: "),
            ([message(((1 << 63) - 1, 1))], "record 1: "),
            ([message((0, 4096), capacity=100)], "record 1 ends at 4096, past the capacity 100"),
            ([message((0, 512)), message((512, 512), capacity=5 << 30)], "record 2 has the capacity"),
            ([message((0, 512)), message((512, 512), kind=1)], "record 2 has the type FIXED_LENGTH"),
            ([message((0, 512), (512, 1024), (4096, 512), kind=1)], "fixed length 512"),
            ([message((0, 512), kind=7)], "record 1: "),
            ([message(capacity=-1)], "record 1: "),
        ],
        ids=[
            "garbage", "repeated", "unordered", "overlap", "empty tuple", "negative size", "negative offset",
            "beyond 2^63", "beyond capacity", "other capacity", "other type", "other length", "unknown type",
            "negative capacity",
        ],
    )  # fmt: skip
    def test_its_mistakes_are_named(self, sidecar, driver, messages, text):
        driver.answer = lambda request, context: messages
        started = sidecar()
        code, details = refused(started.client.delta())
        assert (code, details[:41]) == ("INTERNAL", "failed to get response from CSI driver: r")
        assert text in details
        driver.answer = lambda request, context: [message((0, 512))]
        assert tuples(started.client.delta()) == [(0, 512)]

    def test_nothing_changed_is_an_answer(self, sidecar, driver):
        driver.answer = lambda request, context: []
        assert list(sidecar().client.delta()) == []
        driver.answer = lambda request, context: [message()]
        assert tuples(sidecar().client.delta()) == []

    def test_a_driver_that_ignores_the_start_and_the_limit(self, sidecar, driver):
        sent = [message(*((n * 8192, 4096) for n in range(1000)))]
        driver.answer = lambda request, context: sent
        stream = list(sidecar().client.allocated(starting_offset=500 * 8192 + 1, max_results=64))
        assert tuples(stream) == [(n * 8192, 4096) for n in range(500, 1000)]
        assert max(len(tuples([one])) for one in stream) == 64

    def test_600_000_tuples_in_one_message(self, sidecar, driver):
        """More than the 4 MiB that the original takes from a driver, and than clients take from us."""
        wanted = [(n * 8192, 4096) for n in range(600_000)]
        sent = [message(*wanted, capacity=1 << 40)]
        driver.answer = lambda request, context: sent
        assert len(sent[0]) > 4 << 20
        assert tuples(sidecar().client.allocated()) == wanted

    def test_a_message_beyond_all_bounds(self, sidecar, driver, monkeypatch):
        monkeypatch.setattr("blockdiff.csi.driver.RECEIVE_LIMIT", 1000)
        driver.answer = lambda request, context: [message(*((n * 8192, 4096) for n in range(1000)))]
        code, text = refused(sidecar().client.allocated())
        assert code == "INTERNAL"
        assert text.startswith("failed to get response from CSI driver: ")


class TestReplaced:
    """A name that stands for another snapshot than when the stream was begun."""

    @pytest.mark.parametrize("ask", ["allocated", "delta"])
    def test_a_stream_is_not_taken_up_over_another_snapshot(self, sidecar, api, ask):
        client = sidecar().client
        named = {"name": "b"} if ask == "allocated" else {}
        stream = getattr(client, ask)
        assert tuples(stream(**named))
        assert tuples(stream(**named, starting_offset=4096))
        api.add("volumesnapshots", snapshot("b", content="content-new", uid="uid-app-b"))
        api.add("volumesnapshotcontents", content("b", handle="handle-new") | {"metadata": {"name": "content-new"}})
        assert refused(stream(**named, starting_offset=4096)) == (
            "INTERNAL",
            "VolumeSnapshot 'app/b' is another one than before: begin at offset 0",
        )
        assert tuples(stream(**named))
        # whose first part is it
        assert refused(stream(**named, starting_offset=4096))[0] == "INTERNAL"

    def test_it_is_forgotten_in_time(self):
        replaced = Replaced(kept=2)
        past = time.monotonic() - 2 * PATIENCE
        replaced.check("app", "a", "one", 0, past)
        replaced.check("app", "a", "two", 1, past)
        for number in range(10):
            replaced.check("app", f"{number}", "x", 0, time.monotonic())
        assert len(replaced._seen) == 2
