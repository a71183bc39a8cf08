"""Streams that break: taken up again where they were, nothing missed, nothing twice, and given up when it is time."""

import socket
import threading

import pytest

from blockdiff._fast import Extents
from blockdiff.csi import SnapshotMetadata
from blockdiff.csi.connection import DriverMetadata
from blockdiff.csi.errors import ApiError, CallError, InvalidArgs, StatusError
from blockdiff.csi.kube import Token
from blockdiff.csi.resume import LONGEST_PAUSE, ResumingStream, pause_after
from blockdiff.csi.tokens import AccountToken, FixedToken, GivenToken, file_token
from blockdiff.csi.transient import is_transient
from blockdiff.engine.source import ordered
from blockdiff.errors import InvalidInput, OutOfOrder, SourceError
from blockdiff.extent import Kind
from tests.fixtures.cbt import CAPACITY, FIXED, VARIABLE, Cutter, Scripted, fail, record
from tests.fixtures.tls import Authority

K = 4096
TUPLES = [(at * 2 * K, K) for at in range(400)]


def serve(request, start=None, step=10, **kinds):
    """All tuples of the volume from the starting offset, as a server that keeps the rules gives them."""
    start = request.starting_offset if start is None else start
    wanted = [item for item in TUPLES if sum(item) > start]
    for at in range(0, len(wanted), step):
        yield record(*wanted[at : at + step], **kinds)


def joined(records):
    return [(offset, length) for one in ordered(records) for offset, length, _ in one.extents]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def files(authority):
    return authority.issue("127.0.0.1")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr("blockdiff.csi.resume.FIRST_PAUSE", 0.01)


@pytest.fixture
def connect(authority):
    def connect(server, token="t", **options):
        return SnapshotMetadata(server.address, ca_cert=authority.pem, token=token, **options)

    return connect


PASSING = {
    "unavailable": ("UNAVAILABLE", "the CSI driver is not yet ready"),
    "aborted": ("ABORTED", ""),
    "exhausted": ("RESOURCE_EXHAUSTED", "too many streams"),
    "cancelled": ("CANCELLED", "going down"),
    "reset": ("INTERNAL", "Received RST_STREAM with error code 2"),
    "api-server": ("INTERNAL", "failed to authenticate user: Post https://10.0.0.1: dial tcp: connection refused"),
    "deadline": ("DEADLINE_EXCEEDED", "max streaming duration"),
    "not-bound": ("UNAVAILABLE", "failed to get VolumeSnapshot 'app/s': etcdserver: request timed out"),
}


@pytest.mark.parametrize(("code", "text"), PASSING.values(), ids=PASSING)
@pytest.mark.parametrize("delta", [False, True], ids=["allocated", "delta"])
def test_what_passes_is_taken_up_again(files, connect, code, text, delta):
    def play(request, context, number):
        for at, one in enumerate(serve(request)):
            if at == 7 and number < 4:
                fail(context, code, text)
            yield one

    told = []
    with Scripted(files, play) as server:
        client = connect(server, on_resume=lambda *what: told.append(what))
        stream = client.delta("app", "base", "s") if delta else client.allocated("app", "s")
        assert joined(stream) == TUPLES
    assert [request.starting_offset for request in server.requests] == [
        0,
        *(TUPLES[at][0] + K for at in (69, 139, 209)),
    ]
    assert stream.resumes == 3
    assert [(offset, attempt) for _, offset, attempt in told] == [(TUPLES[at][0] + K, 1) for at in (69, 139, 209)]
    assert told[0][0].code == code


def test_a_server_that_begins_anew_gives_nothing_twice(files, connect):
    def play(request, context, number):
        for at, one in enumerate(serve(request, start=0, step=7)):
            if at == 3 and number == 1:
                fail(context, "UNAVAILABLE", "x")
            yield one

    with Scripted(files, play) as server:
        assert joined(connect(server).allocated("app", "s")) == TUPLES
    assert len(server.requests) == 2


def test_a_range_that_begins_before_the_break_is_cut(files, connect):
    def play(request, context, number):
        if number == 1:
            yield record((0, 6000))
            fail(context, "UNAVAILABLE", "x")
        yield record((4096, 8192), (20480, 4096))

    with Scripted(files, play) as server:
        assert joined(connect(server).allocated("app", "s")) == [(0, 6000), (6000, 6288), (20480, 4096)]


def test_blocks_of_fixed_length_cannot_shift(files, connect):
    def play(request, context, number):
        if number == 1:
            yield record((0, 4096), kind=FIXED)
            fail(context, "UNAVAILABLE", "x")
        yield record((2048, 4096), kind=FIXED)

    with Scripted(files, play) as server, pytest.raises(OutOfOrder):
        joined(connect(server).allocated("app", "s"))


CHANGES = {
    "capacity": ({}, {"capacity": CAPACITY * 2}),
    "type": ({"kind": FIXED}, {"kind": VARIABLE}),
}


@pytest.mark.parametrize(("one", "other"), CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("broken", [True, False], ids=["across-a-break", "at-once"])
def test_another_volume_is_noticed(files, connect, one, other, broken):
    def play(request, context, number):
        if number == 1:
            yield record((0, 4096), **one)
            if broken:
                fail(context, "UNAVAILABLE", "x")
        yield record((4096, 4096), **other)

    noticed = "taken up again at 4096, .*another volume" if broken else next(iter(other)).replace("kind", "type")
    with Scripted(files, play) as server, pytest.raises(OutOfOrder, match=noticed):
        joined(connect(server).allocated("app", "s"))


BAD = {
    "unordered": [record((8192, 4096)), record((0, 4096))],
    "overlap": [record((0, 8192)), record((4096, 8192))],
    "beyond": [record((CAPACITY - 4096, 8192))],
    "lengths": [record((0, 4096), (8192, 8192), kind=FIXED)],
    "inside": [b"\x08\x02\x10\x80\x80\x04\x1a\x05\x08\x80\x40\x10\x08\x1a\x04\x08\x00\x10\x08"],
    "empty-range": [b"\x08\x02\x10\x80\x80\x04\x1a\x02\x08\x01"],
    "negative": [b"\x08\x02\x10\x80\x80\x04\x1a\x0d\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x08"],
}


@pytest.mark.parametrize("records", BAD.values(), ids=BAD)
def test_a_stream_that_breaks_the_rules(files, connect, records):
    with Scripted(files, lambda *call: iter(records)) as server, pytest.raises(OutOfOrder):
        joined(connect(server).allocated("app", "s"))
    assert len(server.requests) == 1


@pytest.mark.parametrize("message", [b"\xff\xff", b"\x08\x09"], ids=["no-message", "unknown-type"])
def test_what_is_no_metadata(files, connect, message):
    with Scripted(files, lambda *call: iter([message])) as server, pytest.raises(SourceError):
        joined(connect(server).allocated("app", "s"))


def test_the_first_range_is_cut_at_the_starting_offset(files, connect):
    with Scripted(files, lambda request, context, number: serve(request, kind=FIXED)) as server:
        records = list(connect(server).allocated("app", "s", start=9000))
    assert server.requests[0].starting_offset == 9000
    assert records[0].extents[0] == (9000, 12288 - 9000, Kind.DATA)
    assert {one.type for one in records} == {VARIABLE}
    assert joined(records)[1:] == TUPLES[2:]


def test_a_break_behind_the_last_range(files, connect):
    """Some servers call an offset at the end of the volume out of range, as the specification has it."""

    def play(request, context, number):
        if request.starting_offset >= CAPACITY:
            fail(context, "OUT_OF_RANGE", "starting_offset is beyond the volume")
        yield record((0, 4096), (CAPACITY - 4096, 4096))
        fail(context, "UNAVAILABLE", "x")

    with Scripted(files, play) as server:
        assert joined(connect(server).allocated("app", "s")) == [(0, 4096), (CAPACITY - 4096, 4096)]
        with pytest.raises(CallError, match="OutOfRange"):
            joined(connect(server).allocated("app", "s", start=CAPACITY))


def test_a_negative_starting_offset(authority):
    with pytest.raises(InvalidArgs, match="StartingOffset must not be negative, and is -1"):
        SnapshotMetadata("localhost:1", ca_cert=authority.pem, token="t").allocated("a", "b", start=-1)


@pytest.mark.parametrize("progress", [False, True], ids=["nothing-new", "after-progress"])
def test_when_to_give_up(files, connect, progress):
    def play(request, context, number):
        if progress and number == 1:
            yield record((0, 4096))
        fail(context, "UNAVAILABLE", "the CSI driver is not yet ready")

    with Scripted(files, play) as server, pytest.raises(CallError, match="not yet ready") as error:
        joined(connect(server, retries=3).allocated("app", "s"))
    assert len(server.requests) == 4
    assert error.value.resume_offset == (4096 if progress else 0)
    assert error.value.retryable


def test_never_again_when_that_is_wanted(files, connect):
    def play(request, context, number):
        yield record((0, 4096))
        fail(context, "UNAVAILABLE", "x")

    with Scripted(files, play) as server, pytest.raises(CallError):
        joined(connect(server, retries=0).allocated("app", "s"))
    assert len(server.requests) == 1


def test_progress_counts_anew(files, connect):
    """A stream that brings one range a call ends well, however many calls it takes."""

    def play(request, context, number):
        for at, one in enumerate(serve(request, step=20)):
            if at == 1:
                fail(context, "UNAVAILABLE", "x")
            yield one

    with Scripted(files, play) as server:
        assert joined(connect(server, retries=1).allocated("app", "s")) == TUPLES
    assert len(server.requests) == 20


def test_a_deadline_without_progress(files, connect):
    def play(request, context, number):
        yield record((0, 4096))
        threading.Event().wait(5)

    with Scripted(files, play) as server:
        stream = connect(server, timeout=0.5).allocated("app", "s")
        with pytest.raises(CallError, match="DeadlineExceeded") as error:
            joined(stream)
    assert "nothing new came in the whole time" in str(error.value)
    assert [request.starting_offset for request in server.requests] == [0, 4096]


def test_connections_that_are_cut(files, connect):
    """At any byte: in the handshake, between messages, and inside one."""
    many = [(at * 2 * K, K) for at in range(20_000)]

    def play(request, context, number):
        wanted = many[-(-request.starting_offset // (2 * K)) :]
        return (record(*wanted[at : at + 700]) for at in range(0, len(wanted), 700))

    for after in (1500, 30_001, 47_777):
        with Scripted(files, play) as server, Cutter(server.port, after, cuts=3) as proxy:
            stream = connect(proxy).allocated("app", "s")
            assert joined(stream) == many
            assert proxy.cut >= 2  # where no handshake succeeds, the look for the reason is cut, too
            assert stream.resumes >= 1
        assert after < 2000 or server.requests[-1].starting_offset > 0


def test_a_server_that_comes_back(files, connect, monkeypatch):
    monkeypatch.setattr("blockdiff.csi.resume.FIRST_PAUSE", 0.2)
    first = Scripted(files, lambda request, context, number: serve(request))
    first.start()
    stream = connect(first, retries=8).allocated("app", "s")
    got = [next(stream)]
    first.stop()
    second = Scripted(files, lambda request, context, number: serve(request))
    second.port = first.port
    timer = threading.Timer(1, second.start)
    timer.start()
    try:
        assert joined([*got, *stream]) == TUPLES
        assert second.requests[0].starting_offset > 0
    finally:
        timer.join()
        second.stop()


def test_leaving_early_cancels_the_call(files, connect):
    with Scripted(files, lambda *call: (record((at * K * 2, K)) for at in range(10**5))) as server:
        with connect(server).allocated("app", "s") as stream:
            next(stream)
        assert server.cancelled.wait(20)


def test_memory_and_the_network_wait_for_a_slow_consumer(files, connect):
    sent = []

    def play(request, context, number):
        for at in range(2000):
            sent.append(at)
            yield record(*((at * (1 << 18) + one * 32, 16) for one in range(4096)), capacity=1 << 40)

    with Scripted(files, play) as server, connect(server).allocated("app", "s") as stream:
        next(stream)
        threading.Event().wait(0.5)
        assert len(sent) < 200


# -- tokens


def test_a_token_that_expires_in_mid_stream(files, connect):
    good = ["first"]

    def request():
        return Token(good[0], 1e12)

    def play(request, context, number):
        if request.security_token != good[0]:
            fail(context, "UNAUTHENTICATED", "unauthenticated user")
        for at, one in enumerate(serve(request)):
            if at == 5 and number == 1:
                good[0] = "second"
                fail(context, "UNAUTHENTICATED", "the token has expired")
            yield one

    with Scripted(files, play) as server:
        assert joined(connect(server, AccountToken(request)).allocated("app", "s")) == TUPLES
    assert [request.security_token for request in server.requests] == ["first", "second"]


def test_a_new_token_that_is_refused(files, connect):
    made = []

    def request():
        made.append(1)
        return Token("t", 1e12)

    def play(request, context, number):
        fail(context, "UNAUTHENTICATED", "unauthenticated user")
        yield

    with Scripted(files, play) as server, pytest.raises(CallError, match="for the audience that the server expects"):
        joined(connect(server, AccountToken(request)).allocated("app", "s"))
    assert (len(made), len(server.requests)) == (1, 1)


def test_tokens_are_renewed_before_their_time(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    tokens = AccountToken(lambda: Token(f"made at {now[0]:g}", now[0] + 600))
    texts = []
    for now[0] in (1000, 1400, 1479, 1481, 1600):
        texts.append(tokens.get())
    assert texts == ["made at 1000"] * 3 + ["made at 1481"] * 2
    assert tokens.renew(used=False)
    assert not FixedToken("x").renew(used=True)


def test_a_file_that_is_kept_fresh(tmp_path):
    path = tmp_path / "token"
    path.write_text("one\n")
    tokens = GivenToken(file_token(str(path)))
    assert tokens.get() == "one"
    assert not tokens.renew(used=True)
    path.write_text("two")
    assert tokens.renew(used=False)
    assert tokens.get() == "two"
    path.write_text(" \n")
    with pytest.raises(InvalidInput, match=r"no token in .*: it is empty"):
        tokens.get()
    path.unlink()
    with pytest.raises(InvalidInput, match=r"cannot read a token from .*: No such file"):
        tokens.get()


def test_an_api_server_that_is_away_when_a_token_is_wanted(files, connect):
    answers = [ApiError("ServiceAccounts.CreateToken(a/b)", "cannot reach the API server: refused"), "t"]

    def token():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with Scripted(files, lambda request, context, number: serve(request)) as server:
        assert joined(connect(server, token).allocated("app", "s")) == TUPLES
    answers[:] = [ApiError("ServiceAccounts.CreateToken(a/b)", "forbidden", 403)]
    with Scripted(files, lambda *call: iter(())) as server, pytest.raises(ApiError, match="forbidden"):
        joined(connect(server, token).allocated("app", "s"))


# -- connections that cannot be had


def test_a_driver_socket(tmp_path):
    play = lambda request, context, number: serve(request)  # noqa: E731
    with Scripted(None, play, path=str(tmp_path / "csi.sock")) as server:
        driver = DriverMetadata(str(tmp_path / "csi.sock"), secrets={"key": "x"})
        assert joined(driver.allocated("id", start=0, limit=3)) == TUPLES
        assert joined(DriverMetadata(server.address).delta("a", "b")) == TUPLES
    assert dict(server.requests[0].secrets) == {"key": "x"}
    assert (server.requests[0].snapshot_id, server.requests[0].max_results) == ("id", 3)
    assert (server.requests[1].base_snapshot_id, server.requests[1].target_snapshot_id) == ("a", "b")
    with pytest.raises(CallError, match=r"^GetMetadataAllocated\(id\): rpc error: code = Unavailable"):
        joined(DriverMetadata(str(tmp_path / "none.sock"), retries=0).allocated("id"))


TLS = {
    "name": (("other.example",), (-1, 1), "not for '127.0.0.1' but for 'other.example'"),
    "expired": (("127.0.0.1",), (-9, -1), "has expired"),
    "future": (("127.0.0.1",), (1, 9), "not yet valid"),
}


@pytest.mark.parametrize(("hosts", "days", "text"), TLS.values(), ids=TLS)
def test_certificates_that_are_not_accepted(authority, connect, hosts, days, text):
    files = authority.issue(*hosts, days=days, name="bad")
    with Scripted(files, lambda *call: iter(())) as server, pytest.raises(CallError, match=text) as error:
        joined(connect(server).allocated("app", "s"))
    assert str(error.value).startswith("GetMetadataAllocated(app,s): rpc error: code = Unavailable desc = ")
    assert (server.requests, error.value.retryable) == ([], False)


def test_a_ca_that_did_not_issue_the_certificate(files, tmp_path):
    other = Authority(tmp_path / "other").pem
    with Scripted(files, lambda *call: iter(())) as server, pytest.raises(CallError, match="not issued by the CA"):
        joined(SnapshotMetadata(server.address, ca_cert=other, token="t").allocated("app", "s"))


def test_a_name_that_is_said(authority, connect):
    files = authority.issue("csi-snapshot-metadata.default", name="named")
    with Scripted(files, lambda request, context, number: serve(request)) as server:
        client = connect(server, server_name="csi-snapshot-metadata.default")
        assert joined(client.allocated("app", "s")) == TUPLES


def test_a_key_of_another_certificate(authority, files, connect):
    other = authority.issue("backup", name="other")
    pair = {"client_cert": other.cert.read_bytes(), "client_key": files.key.read_bytes()}
    with Scripted(files, lambda *call: iter(())) as server:
        with pytest.raises(CallError, match="do they belong together"):
            joined(connect(server, **pair).allocated("app", "s"))
        with pytest.raises(InvalidArgs, match="go together"):
            connect(server, client_cert=pair["client_cert"])
        with pytest.raises(InvalidArgs, match="the client certificate cannot be used: it is no PEM"):
            connect(server, client_cert=b"x", client_key=b"x")
        with pytest.raises(InvalidArgs, match="no PEM text of a private key"):
            connect(server, client_cert=pair["client_cert"], client_key=b"x")


def test_what_cannot_be_sent(files, connect):
    with Scripted(files, lambda *call: iter(())) as server:
        with pytest.raises(InvalidArgs, match="is no text, or a number is too large") as error:
            joined(connect(server, "secret\udcff").allocated("app", "s"))
        assert "secret" not in str(error.value)
        with pytest.raises(InvalidArgs):
            joined(connect(server).allocated("app", "s", limit=1 << 31))


def test_a_port_without_tls(authority, connect):
    with Scripted(None, lambda *call: iter(())) as server, pytest.raises(CallError, match="does not speak TLS"):
        joined(connect(server).allocated("app", "s"))


def test_nobody_there(authority):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = SnapshotMetadata(f"127.0.0.1:{port}", ca_cert=authority.pem, token="t", retries=1)
    with pytest.raises(CallError, match="cannot be reached: Connection refused") as error:
        joined(client.allocated("app", "s"))
    assert error.value.retryable
    client = SnapshotMetadata("metadata.invalid:6443", ca_cert=authority.pem, token="t", retries=0)
    with pytest.raises(CallError, match=r"'metadata.invalid' cannot be resolved .*inside the cluster only"):
        joined(client.allocated("app", "s"))


# -- the rules, without a network


def test_pauses_grow_to_a_limit():
    assert all(0.8 * 0.01 <= pause_after(1) <= 1.2 * 0.01 for _ in range(100))
    assert max(pause_after(at) for at in range(1, 64)) <= LONGEST_PAUSE * 1.2


@pytest.mark.parametrize(
    ("code", "text", "progressed", "passes"),
    [
        ("RESOURCE_EXHAUSTED", "CLIENT: Received message larger than max (300 vs. 268)", True, False),
        ("DEADLINE_EXCEEDED", "", True, True),
        ("DEADLINE_EXCEEDED", "", False, False),
        ("UNAVAILABLE", "the VolumeSnapshot is not yet ready, name: s", False, True),
        ("UNAVAILABLE", "failed to get VolumeSnapshotClass 'c': not found", False, False),
        ("INTERNAL", "failed to get response from CSI driver: boom", True, False),
        ("UNKNOWN", "Stream removed", True, True),
    ],
)
def test_what_passes(code, text, progressed, passes):
    assert is_transient(StatusError(code, text), progressed=progressed) is passes


def test_random_breaks_lose_nothing():
    """Against a volume of random tuples, with random breaks and servers that overlap what was sent before."""
    import random

    for seed in range(60):
        rng = random.Random(seed)
        at, tuples = 0, []
        for _ in range(80):
            at += rng.choice([0, 1, 512, 4096])
            length = rng.choice([1, 512, 4096, 9000])
            tuples.append((at, length))
            at += length
        whole = Extents(tuples)

        def attempt(start, rng=rng, tuples=tuples, whole=whole):
            wanted = [item for item in tuples if sum(item) > start - rng.choice([0, 5000])]
            for first in range(0, len(wanted), 3):
                if rng.random() < 0.15:
                    raise StatusError("UNAVAILABLE", "x")
                yield record(*wanted[first : first + 3])

        start = rng.choice([0, 0, 1, 5000])
        stream = ResumingStream(attempt, call="c", start=start, retries=50, pause=lambda _: None)
        got = Extents(joined(stream))
        assert got.coalesce() == whole.clip(start, 1 << 60).coalesce()


def test_an_end_when_the_time_is_over_proves_nothing(files, connect, monkeypatch):
    """A server that hears of the deadline and ends well, while this machine slept and gRPC's clock with it."""
    now = iter([0.0, 31.0, 40.0, 41.0])
    monkeypatch.setattr("blockdiff.csi.channel._clock", lambda: next(now))

    def play(request, context, number):
        yield from list(serve(request))[: 7 if number == 1 else None]

    with Scripted(files, play) as server:
        stream = connect(server, timeout=30).allocated("app", "s")
        assert joined(stream) == TUPLES
    assert (stream.resumes, len(server.requests)) == (1, 2)


def test_what_a_server_says_does_not_reach_the_terminal_raw(files, connect):
    def play(request, context, number):
        yield fail(context, "NOT_FOUND", "\x1b[2J\x9b31m gone\r\u202eaway\nand out")

    with Scripted(files, play) as server, pytest.raises(CallError) as caught:
        list(connect(server).allocated("app", "s"))
    assert caught.value.details == "\\x1b[2J\\x9b31m gone\\r\\u202eaway\nand out"
    assert str(caught.value).replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "address", ["a..b:50051", "a\udcffb:50051", "a:" + "9" * 5000], ids=["empty", "bytes", "digits"]
)
def test_an_address_that_is_none(authority, address):
    with pytest.raises((CallError, InvalidArgs)):
        list(SnapshotMetadata(address, ca_cert=authority.pem, token="t", retries=0).allocated("app", "s"))
