"""The iterator against a real server behind real TLS, and an API server that knows it."""

import pytest
from fixtures import k8sobjects
from fixtures.cbt import CAPACITY, Scripted, fail, record
from fixtures.kube import FakeKube
from fixtures.tls import Authority

from blockdiff import csi
from blockdiff.csi import Args, Clients, ErrInvalidArgs, build_clients, get_snapshot_metadata
from blockdiff.csi.errors import ApiError, CACertError, CallError, LookupFailed

RECORDS = [record((0, 4096), (8192, 4096)), record((1 << 20, 65536))]
TUPLES = [(0, 4096), (8192, 4096), (1 << 20, 65536)]


class Taker:
    """An emitter that keeps what it gets."""

    def __init__(self, error=None):
        self.numbers, self.tuples, self.done_with, self._error = [], [], None, error

    def record(self, number, metadata):
        self.numbers.append(number)
        self.tuples += [tuple(item) for item in metadata.block_metadata]
        assert metadata.volume_capacity_bytes == CAPACITY
        if self._error:
            raise self._error

    def done(self, count):
        self.done_with = count


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def files(authority):
    return authority.issue("127.0.0.1", "localhost", "metadata.default")


class Cluster:
    """An API server, a SnapshotMetadata server, and arguments that lead from one to the other."""

    def __init__(self, kube, server, clients):
        self.kube, self.server, self.clients, self.taker = kube, server, clients, Taker()
        self.play = lambda request, context, number: iter(RECORDS)

    def args(self, **changes):
        return Args(
            **{
                "clients": self.clients,
                "emitter": self.taker,
                "namespace": "app",
                "snapshot_name": "snap-2",
                **changes,
            }
        )

    def run(self, **changes):
        get_snapshot_metadata(self.args(**changes))
        return self.taker

    @property
    def asked(self):
        """The last two parts of the paths that the API server was asked for."""
        return ["/".join(path.split("/")[-2:]) for _, path in self.kube.requests]


@pytest.fixture
def cluster(files, authority, tmp_path):
    kube = FakeKube()
    k8sobjects.add_snapshot(kube, "snap-1")
    k8sobjects.add_snapshot(kube, "snap-2")
    holder = []
    with kube.serving(files), Scripted(files, lambda *call: holder[0].play(*call)) as server:  # noqa: PLW0108  # it comes later
        kube.add("snapshotmetadataservices", k8sobjects.service(server.address, authority.pem))
        made = Cluster(kube, server, build_clients(kube.kubeconfig(tmp_path / "kubeconfig", "app", "backup")))
        holder.append(made)
        yield made


def test_public_names():
    assert all(getattr(csi, name) for name in csi.__all__)
    assert {name for name in dir(csi) if not name.startswith("_")} >= set(csi.__all__)
    assert issubclass(csi.ErrCancelled, Exception)
    with pytest.raises(AttributeError):
        _ = csi.Nothing
    assert (csi.DEFAULT_TOKEN_EXPIRY_SECONDS, str(csi.ErrCancelled())) == (600, "enumeration cancelled")


def test_allocated(cluster):
    taker = cluster.run()
    assert (taker.numbers, taker.tuples, taker.done_with) == ([1, 2], TUPLES, 2)
    assert cluster.server.calls == ["GetMetadataAllocated"]
    request = cluster.server.requests[0]
    assert (request.namespace, request.snapshot_name) == ("app", "snap-2")
    assert (request.starting_offset, request.max_results) == (0, 0)
    assert cluster.kube.who(request.security_token, [k8sobjects.AUDIENCE])[0] == "system:serviceaccount:app:backup"


def test_the_sequence_of_requests(cluster):
    cluster.run(prev_snapshot_name="snap-1")
    assert cluster.asked == [
        "v1/selfsubjectreviews",
        "volumesnapshots/snap-2",
        "volumesnapshotcontents/snapcontent-snap-2",
        "snapshotmetadataservices/hostpath.csi.k8s.io",
        "backup/token",
        "volumesnapshots/snap-1",
        "volumesnapshotcontents/snapcontent-snap-1",
    ]
    request = cluster.server.requests[0]
    assert (request.base_snapshot_id, request.target_snapshot_name) == ("handle-snap-1", "snap-2")


def test_an_id_goes_before_a_name(cluster):
    cluster.run(prev_snapshot_id="an-id", prev_snapshot_name="snap-1", csi_driver=k8sobjects.DRIVER, max_results=7)
    assert cluster.asked == ["v1/selfsubjectreviews", f"snapshotmetadataservices/{k8sobjects.DRIVER}", "backup/token"]
    request = cluster.server.requests[0]
    assert (request.base_snapshot_id, request.max_results) == ("an-id", 7)
    assert cluster.server.calls == ["GetMetadataDelta"]


def test_a_delta_from_an_offset(cluster):
    assert cluster.run(prev_snapshot_name="snap-1", starting_offset=10240).tuples == [(10240, 2048), (1 << 20, 65536)]
    assert cluster.server.requests[0].starting_offset == 10240


def test_another_account(cluster):
    cluster.kube.token("other", "robot")
    cluster.run(sa_namespace="other", sa_name="robot")
    token = cluster.server.requests[0].security_token
    assert cluster.kube.tokens[token][0] == "system:serviceaccount:other:robot"
    assert cluster.asked[-1] == "robot/token"
    assert "v1/selfsubjectreviews" not in cluster.asked


def test_how_long_a_token_lives(cluster):
    cluster.run()
    assert cluster.kube.bodies[-1]["spec"]["expirationSeconds"] == 600
    cluster.run(token_expiry_secs=1200)
    assert cluster.kube.bodies[-1]["spec"]["expirationSeconds"] == 1200
    with pytest.raises(ApiError, match=r"^ServiceAccounts.CreateToken\(app/backup\): .*duration less than 10 minutes"):
        cluster.run(token_expiry_secs=10)


def test_no_cluster_at_all(cluster, authority):
    cluster.run(
        clients=Clients(), address=cluster.server.address, ca_cert=authority.pem, token="t", prev_snapshot_id="id"
    )
    assert cluster.kube.requests == []
    assert cluster.server.requests[0].security_token == "t"


def test_no_service_object(cluster, authority):
    cluster.kube.remove("snapshotmetadataservices", "", k8sobjects.DRIVER)
    cluster.run(address=cluster.server.address, ca_cert=authority.pem, audience="aud")
    assert cluster.asked == ["v1/selfsubjectreviews", "backup/token"]
    assert cluster.kube.tokens[cluster.server.requests[0].security_token][1] == ["aud"]


def test_an_address_instead_of_that_of_the_service(cluster, authority):
    service = k8sobjects.service("metadata.default:6443", authority.pem)
    cluster.kube.add("snapshotmetadataservices", service)
    assert cluster.run(address=cluster.server.address).done_with == 2
    address = cluster.server.address.replace("127.0.0.1", "localhost")
    assert cluster.run(address=address, server_name="metadata.default").done_with == 2


NOTHING = {"clients": Clients()}
WRONG = {
    "emitter": ({"emitter": None, "namespace": ""}, "missing Emitter"),
    "namespace": ({"namespace": "", "snapshot_name": ""}, "missing Namespace"),
    "snapshot": ({"snapshot_name": "", "token_expiry_secs": -1}, "missing SnapshotName"),
    "expiry": ({"token_expiry_secs": -1, "max_results": -1}, "invalid TokenExpirySecs"),
    "max-results": ({"max_results": -1, "sa_name": "x"}, "invalid MaxResults"),
    "max-results-32-bits": ({"max_results": 1 << 31}, "invalid MaxResults"),
    "sa-namespace": ({"sa_name": "x", **NOTHING}, "SAName provided but SANamespace missing"),
    "sa-name": ({"sa_namespace": "x", **NOTHING}, "SANamespace provided but SAName missing"),
    "kube-client": (NOTHING, "missing KubeClient"),
    "snapshot-client": ({"clients": Clients(kube_client=1)}, "missing SnapshotClient"),
    "cr-client": ({"clients": Clients(1, 1), "starting_offset": -1}, "missing SmsCRClient"),
    "offset": ({"starting_offset": -1}, "StartingOffset must not be negative, and is -1"),
    "offset-64-bits": ({"starting_offset": 1 << 63}, f"StartingOffset {1 << 63} is beyond any volume"),
    "timeout": ({"timeout": 0}, "the timeout must be more than 0 seconds"),
}


@pytest.mark.parametrize(("changes", "text"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_in_order(changes, text):
    args = {"clients": Clients(1, 1, 1), "emitter": Taker(), "namespace": "n", "snapshot_name": "s", **changes}
    with pytest.raises(ErrInvalidArgs) as error:
        get_snapshot_metadata(Args(**args))
    assert str(error.value) == f"invalid argument: {text}"
    assert error.value.exit_code == 2


FORBIDDEN = {
    "volumesnapshots": "VolumeSnapshots.Get(app/snap-2): ",
    "volumesnapshotcontents": "VolumeSnapshotContents.Get(snapcontent-snap-2) for VolumeSnapshot(app/snap-2): ",
    "snapshotmetadataservices": "SnapshotMetadataServices.Get(hostpath.csi.k8s.io): ",
    "serviceaccounts/token": "ServiceAccounts.CreateToken(app/backup): ",
}


@pytest.mark.parametrize(("plural", "prefix"), FORBIDDEN.items(), ids=FORBIDDEN)
def test_forbidden_verbs(cluster, plural, prefix):
    verb = "create" if "token" in plural else "get"
    cluster.kube.deny.add(("system:serviceaccount:app:backup", verb, plural, "*"))
    with pytest.raises(ApiError) as error:
        cluster.run()
    assert str(error.value).startswith(prefix)
    assert 'is forbidden: User "system:serviceaccount:app:backup" cannot' in str(error.value)
    assert (error.value.status, error.value.exit_code) == (403, 5)
    assert cluster.server.requests == []


def test_no_service_and_no_crd(cluster):
    cluster.kube.remove("snapshotmetadataservices", "", k8sobjects.DRIVER)
    with pytest.raises(ApiError) as error:
        cluster.run()
    assert str(error.value) == (
        "SnapshotMetadataServices.Get(hostpath.csi.k8s.io): "
        'snapshotmetadataservices.cbt.storage.k8s.io "hostpath.csi.k8s.io" not found'
    )
    cluster.kube.missing_groups.add("cbt.storage.k8s.io")
    with pytest.raises(ApiError, match=r"could not find the requested resource .*CRD installed"):
        cluster.run()


BAD_CA = {
    "empty": (b"", "it is empty"),
    "text": (b"hello", "it is no PEM"),
    "der": (b"\x30\x82", "it is DER"),
    "key": (b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----", "it holds a PRIVATE KEY"),
    "damaged": (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "damaged"),
}


@pytest.mark.parametrize(("pem", "why"), BAD_CA.values(), ids=BAD_CA)
def test_bad_ca_certificates(cluster, pem, why):
    cluster.kube.add("snapshotmetadataservices", k8sobjects.service(cluster.server.address, pem))
    with pytest.raises(CACertError) as error:
        cluster.run()
    text = str(error.value)
    assert text.startswith("failed to add the SnapshotMetadataService CR CA certificate: ")
    assert why in text
    assert cluster.asked[-1] == "backup/token"


@pytest.mark.parametrize("text", ["-----BEGIN", "!Q0E=", "Q0E", "\u00e9Q0E="])
def test_a_ca_certificate_that_is_not_base64(cluster, authority, text):
    item = k8sobjects.service(cluster.server.address, authority.pem)
    item["spec"]["caCert"] = text
    cluster.kube.add("snapshotmetadataservices", item)
    with pytest.raises(CACertError, match="not base64"):
        cluster.run()


@pytest.mark.parametrize("field", ["address", "audience"])
def test_a_service_without(cluster, authority, field):
    item = k8sobjects.service(cluster.server.address, authority.pem)
    del item["spec"][field]
    cluster.kube.add("snapshotmetadataservices", item)
    with pytest.raises(LookupFailed, match=f"has no {field}"):
        cluster.run()


def test_a_bundle_with_a_bad_certificate_in_it(cluster, authority):
    pem = b"# ours\n" + BAD_CA["damaged"][0] + b"\nSubject: x\n" + authority.pem
    cluster.kube.add("snapshotmetadataservices", k8sobjects.service(cluster.server.address, pem))
    assert cluster.run().done_with == 2


STATUSES = {
    "no-token": ("INVALID_ARGUMENT", "securityToken is missing", "InvalidArgument"),
    "driver": (
        "INVALID_ARGUMENT",
        "VolumeSnapshot 'snap-2' does not belong to the CSI driver 'other'",
        "InvalidArgument",
    ),
    "internal": ("INTERNAL", "failed to authenticate user: whatever", "Internal"),
    "authenticated": ("UNAUTHENTICATED", "unauthenticated user", "Unauthenticated"),
    "authorized": (
        "PERMISSION_DENIED",
        "user does not have permissions to perform the operation: no RBAC policy matched",
        "PermissionDenied",
    ),
    "not-found": ("NOT_FOUND", "no such snapshot", "NotFound"),
    "precondition": ("FAILED_PRECONDITION", "CBT is off", "FailedPrecondition"),
    "range": ("OUT_OF_RANGE", "beyond the volume", "OutOfRange"),
    "unimplemented": ("UNIMPLEMENTED", "snapshot diff by ID feature is not supported", "Unimplemented"),
    "unknown": ("UNKNOWN", "something", "Unknown"),
    "loss": ("DATA_LOSS", "something", "DataLoss"),
    "gone": (
        "UNAVAILABLE",
        "failed to get VolumeSnapshot 'app/snap-2': volumesnapshots \"snap-2\" not found",
        "Unavailable",
    ),
    "sidecar-forbidden": (
        "UNAVAILABLE",
        "failed to list VolumeSnapshotClasses: volumesnapshotclasses is forbidden: User cannot list",
        "Unavailable",
    ),
    "no-class": ("UNAVAILABLE", "no default VolumeSnapshotClass is set for the CSI driver 'd'", "Unavailable"),
    "classes": (
        "UNAVAILABLE",
        "multiple default VolumeSnapshotClasses are set for the CSI driver 'd'",
        "Unavailable",
    ),
    "secrets": (
        "UNAVAILABLE",
        "invalid snapshotter secret parameters in VolumeSnapshotClass: x",
        "Unavailable",
    ),
    "credentials": ("UNAVAILABLE", 'failed to get credentials: secrets "x" not found', "Unavailable"),
}


@pytest.mark.parametrize(("code", "details", "spoken"), STATUSES.values(), ids=STATUSES)
def test_what_stays_is_told_at_once(cluster, code, details, spoken):
    def play(request, context, number):
        yield RECORDS[0]
        fail(context, code, details)

    cluster.play = play
    with pytest.raises(CallError) as error:
        cluster.run(retries=0 if code == "UNAUTHENTICATED" else 5)  # after progress a new token is tried
    expected = f"GetMetadataAllocated(app,snap-2).Recv: rpc error: code = {spoken} desc = {details}"
    assert str(error.value).startswith(expected)
    assert not error.value.retryable or code == "UNAUTHENTICATED"
    assert error.value.resume_offset == 12288
    assert (cluster.taker.numbers, cluster.taker.done_with) == ([1], None)
    assert len(cluster.server.requests) == 1


NOT_TRACKED, TO_BE_MENDED = "changes are not tracked for this volume: make a full backup", "an administrator has to"
CLASS_GONE = "failed to get VolumeSnapshotClass 'c': volumesnapshotclasses \"c\" not found"


@pytest.mark.parametrize(
    ("base", "details", "advised", "unsaid"),
    [
        ("handle", "CBT is off", NOT_TRACKED, TO_BE_MENDED),
        ("", "CBT is off", "CBT is off", NOT_TRACKED),
        ("handle", CLASS_GONE, TO_BE_MENDED, NOT_TRACKED),
        ("", CLASS_GONE, TO_BE_MENDED, NOT_TRACKED),
    ],
    ids=["delta", "allocated", "delta-class", "allocated-class"],
)
def test_only_a_driver_without_tracking_calls_for_a_full_backup(cluster, base, details, advised, unsaid):
    cluster.play = lambda request, context, number: fail(context, "FAILED_PRECONDITION", details) or iter(())
    with pytest.raises(CallError) as error:
        cluster.run(prev_snapshot_id=base)
    assert advised in str(error.value)
    assert unsaid not in str(error.value)


def test_a_new_token_is_not_refused_twice(cluster):
    cluster.play = lambda request, context, number: fail(context, "UNAUTHENTICATED", "unauthenticated user") or iter(())
    with pytest.raises(CallError, match=r"Unauthenticated desc = unauthenticated user: is the token for the audience"):
        cluster.run()
    assert (len(cluster.server.requests), cluster.asked.count("backup/token")) == (1, 1)


def test_a_token_that_expires_in_mid_stream(cluster):
    """The server asks the API server whose token it is, as the sidecar does."""

    def play(request, context, number):
        if not cluster.kube.who(request.security_token, [k8sobjects.AUDIENCE]):
            fail(context, "UNAUTHENTICATED", "unauthenticated user")
        if request.starting_offset == 0:
            yield RECORDS[0]
            cluster.kube.expire(request.security_token)
            fail(context, "UNAUTHENTICATED", "the token has expired")
        yield RECORDS[1]

    cluster.play = play
    told = []
    assert cluster.run(on_resume=lambda *what: told.append(what)).tuples == TUPLES
    assert len(cluster.server.requests) == 2
    assert cluster.asked.count("backup/token") == 2
    assert [(error.code, offset) for error, offset, _ in told] == [("UNAUTHENTICATED", 12288)]


def test_a_snapshot_that_is_replaced_between_two_calls(cluster):
    """What is left of the stream would be of another snapshot."""

    def play(request, context, number):
        yield RECORDS[0]
        cluster.kube.add("volumesnapshots", k8sobjects.snapshot("snap-2", uid="another"))
        fail(context, "UNAVAILABLE", "going down")

    cluster.play = play
    with pytest.raises(LookupFailed, match=r"^VolumeSnapshot\(app/snap-2\) was replaced by another one of that name$"):
        cluster.run()
    assert len(cluster.server.requests) == 1


def test_an_api_server_that_is_away_when_the_stream_breaks(cluster):
    def play(request, context, number):
        if request.starting_offset:
            yield RECORDS[1]
            return
        yield RECORDS[0]
        cluster.kube.faults["/volumesnapshots/snap-2"] = answers.pop
        fail(context, "UNAVAILABLE", "going down")

    answers = [(200, k8sobjects.snapshot("snap-2")), (503, ""), (503, "")]
    cluster.play = play
    assert cluster.run().tuples == TUPLES


def test_the_wrong_audience(cluster):
    def play(request, context, number):
        if not cluster.kube.who(request.security_token, ["another-audience"]):
            fail(context, "UNAUTHENTICATED", "unauthenticated user")
        yield RECORDS[0]

    cluster.play = play
    with pytest.raises(CallError, match="is the token for the audience that the server expects"):
        cluster.run()
    assert cluster.run(audience="another-audience").done_with == 1


def test_the_name_of_a_delta(cluster):
    cluster.play = lambda request, context, number: fail(context, "NOT_FOUND", "x") or iter(())
    with pytest.raises(CallError) as error:
        cluster.run(prev_snapshot_id="id")
    assert str(error.value) == "GetMetadataDelta(app,id,snap-2).Recv: rpc error: code = NotFound desc = x"


def test_an_emitter_that_stops(cluster):
    error = RuntimeError("enough")
    cluster.play = lambda request, context, number: (record((at << 20, 4096)) for at in range(10**6))
    cluster.taker = Taker(error)
    with pytest.raises(RuntimeError) as raised:
        cluster.run()
    assert raised.value is error
    assert (cluster.taker.numbers, cluster.taker.done_with) == ([1], None)
    assert cluster.server.cancelled.wait(20)


def test_nothing_at_all(cluster):
    cluster.play = lambda request, context, number: iter(())
    assert cluster.run().done_with == 0


def test_progress_is_told(cluster):
    told = []
    cluster.run(progress=lambda offset, capacity: told.append((offset, capacity)))
    assert told == [(12288, CAPACITY), ((1 << 20) + 65536, CAPACITY)]


def test_six_hundred_thousand_tuples_in_one_message(cluster):
    many = record(*((at * 8192, 4096) for at in range(600_000)), capacity=8192 * 600_000)
    cluster.play = lambda request, context, number: iter([many])

    class Counter:
        def record(self, number, metadata):
            self.extents = metadata.extents

        def done(self, count):
            assert count == 1

    counter = Counter()
    cluster.run(emitter=counter)
    assert counter.extents == many.extents
