"""The server that both services listen with: addresses, TLS, limits, health, and how it ends."""

import os
import socket
import ssl
import stat
import threading
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from blockdiff._fast import Extents
from blockdiff.csi import rpc, wire
from blockdiff.csi._pb import csi
from blockdiff.csi.errors import StatusError
from blockdiff.csi.server.listen import Listener
from blockdiff.csi.server.tls import ServerTls
from blockdiff.errors import DeviceBusy, InvalidInput, OutOfOrder
from blockdiff.record import BlockMetadataType, Record
from tests.fixtures.tls import Authority

WAIT = 30


def record(*extents, capacity=1 << 20, kind=BlockMetadataType.VARIABLE_LENGTH):
    return Record(kind, capacity, Extents(extents))


class Service:
    """Answers with what a test puts into it."""

    def __init__(self, answer=None):
        self.answer = answer or (lambda request, call: iter([record((0, 4096)), record((8192, 4096))]))
        self.ended = []
        self.told = threading.Condition()

    def tell(self, call):
        with self.told:
            self.ended.append(call)
            self.told.notify_all()

    def wait(self, count=1):
        with self.told:
            assert self.told.wait_for(lambda: len(self.ended) >= count, WAIT)
        return self.ended

    def listen(self, address="127.0.0.1:0", **options):
        listener = Listener(address, ended=self.tell, **options)
        listener.add_service(rpc.CSI_SERVICE, {rpc.CSI_ALLOCATED: self.answer})
        listener.start()
        return listener


@pytest.fixture
def serve():
    started = []

    def start(answer=None, address="127.0.0.1:0", **options):
        service = Service(answer)
        listener = service.listen(address, **options)
        started.append(listener)
        service.listener = listener
        return service

    yield start
    for listener in started:
        listener.stop(0)


@pytest.fixture
def connect():
    channels = []

    def make(target, credentials=None, **options):
        options = [(f"grpc.{key}", value) for key, value in options.items()]
        options.append(("grpc.use_local_subchannel_pool", 1))
        channel = (
            grpc.insecure_channel(target, options)
            if credentials is None
            else grpc.secure_channel(target, credentials, options)
        )
        channels.append(channel)
        return channel

    yield make
    for channel in channels:
        channel.close()


def ask(channel, timeout=WAIT, **request):
    return rpc.CSI_ALLOCATED.call(channel)(csi.GetMetadataAllocatedRequest(snapshot_id="s", **request), timeout=timeout)


def records(channel, **request):
    return [wire.decode(message) for message in ask(channel, **request)]


def fails(channel, timeout=WAIT, **request):
    with pytest.raises(grpc.RpcError) as caught:
        list(ask(channel, timeout, **request))
    return caught.value.code().name, caught.value.details()


def health(channel):
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=WAIT)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def extents(found):
    return [tuple(extent)[:2] for one in found for extent in one.extents]


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "localhost:0", "unix"])
def test_streams_come_through(serve, connect, tmp_path, address):
    address = f"unix://{tmp_path}/s.sock" if address == "unix" else address
    service = serve(address=address)
    channel = connect(service.listener.address)
    assert extents(records(channel)) == [(0, 4096), (8192, 4096)]
    (call,) = service.wait()
    assert (call.code, call.messages, call.tuples) == ("OK", 2, 2)
    assert call.bytes > 0


def test_a_socket_is_for_its_owner_and_removed_at_the_end(tmp_path):
    path = tmp_path / "s.sock"
    listener = Service().listen(f"unix://{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    listener.stop(0)
    assert not path.exists()


def test_a_socket_left_by_a_dead_server_is_taken_over(serve, connect, tmp_path):
    path = str(tmp_path / "s.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    assert extents(records(connect(serve(address=path).listener.address)))


def test_a_living_server_keeps_its_socket(serve, connect, tmp_path):
    service = serve(address=f"unix://{tmp_path}/s.sock")
    with pytest.raises(DeviceBusy, match="another process does"):
        Service().listen(service.listener.address)
    assert extents(records(connect(service.listener.address)))


def test_a_file_is_not_replaced_by_a_socket(tmp_path):
    path = tmp_path / "data"
    path.write_text("kept")
    with pytest.raises(InvalidInput, match="is no socket"):
        Service().listen(f"unix://{path}")
    assert path.read_text() == "kept"


def test_a_port_is_not_shared(serve):
    service = serve()
    with pytest.raises(DeviceBusy, match="taken"):
        Service().listen(service.listener.address)


@pytest.mark.parametrize(
    "address", ["", "host", "host:", "host:70000", "1.2.3.4:x", "unix:", "unix:///", "http://x:1", "a/b:1", "::1:50"]
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(InvalidInput):
        Listener(address)


@pytest.mark.parametrize("address", [":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "storage.example:0"])
def test_plain_tcp_for_others_is_refused(address):
    with pytest.raises(InvalidInput, match="TLS"):
        Listener(address)
    Listener(address, insecure=True)


def test_errors_become_the_status(serve, connect):
    errors = {
        1: StatusError("NOT_FOUND", "no such snapshot"),
        2: InvalidInput("bad"),
        3: OutOfOrder("mixed"),
        4: ZeroDivisionError("oops"),
        5: StatusError("INTERNAL", "ä%\n\0" * 5000),
    }

    def answer(request, call):
        raise errors[request.starting_offset]

    channel = connect(serve(answer).listener.address)
    assert fails(channel, starting_offset=1) == ("NOT_FOUND", "no such snapshot")
    assert fails(channel, starting_offset=2) == ("INVALID_ARGUMENT", "bad")
    assert fails(channel, starting_offset=3) == ("INTERNAL", "mixed")
    assert fails(channel, starting_offset=4)[1] == "internal error: ZeroDivisionError: the log of the server says more"
    code, details = fails(channel, starting_offset=5)
    assert code == "INTERNAL"
    assert details.startswith("ä%\n\0ä")
    assert details.endswith("...")


def test_a_stream_that_fails_keeps_what_it_sent(serve, connect):
    def answer(request, call):
        yield record((0, 4096))
        raise StatusError("ABORTED", "later")

    stream = ask(connect(serve(answer).listener.address))
    assert extents([wire.decode(next(stream))]) == [(0, 4096)]
    with pytest.raises(grpc.RpcError) as caught:
        next(stream)
    assert (caught.value.code().name, caught.value.details()) == ("ABORTED", "later")


BAD = {
    "overlap across records": ([record((0, 8192)), record((4096, 4096))], "record 2 begins at 4096, before 8192"),
    "unordered": ([record((8192, 4096)), record((0, 4096))], "record 2 begins at 0"),
    "capacity": ([record((0, 4096), capacity=100)], "record 1 ends at 4096, past the capacity 100"),
    "other capacity": ([record((0, 512)), record((4096, 512), capacity=1 << 30)], "record 2 has the capacity"),
    "other type": (
        [record((0, 512)), record((4096, 512), kind=BlockMetadataType.FIXED_LENGTH)],
        "record 2 has the type FIXED_LENGTH",
    ),
    "odd length": (
        [record((0, 512), (512, 1024), (4096, 512), kind=BlockMetadataType.FIXED_LENGTH)],
        "record 1 has an extent of 1024 bytes in a stream of fixed length 512",
    ),
    "negative capacity": ([record(capacity=-1)], "record 1: capacity -1"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_source_that_breaks_the_rules_ends_with_an_error(serve, connect, case):
    sent, text = BAD[case]
    code, details = fails(connect(serve(lambda request, call: iter(sent)).listener.address))
    assert code == "INTERNAL"
    assert details.startswith("failed to get response from CSI driver: ")
    assert text in details


def test_tuples_before_the_start_are_dropped(serve, connect):
    channel = connect(
        serve(lambda request, call: iter([record((0, 4096), (4096, 4096), (12288, 4096))])).listener.address
    )
    assert extents(records(channel, starting_offset=4096)) == [(4096, 4096), (12288, 4096)]
    assert extents(records(channel, starting_offset=5000)) == [(4096, 4096), (12288, 4096)]
    assert extents(records(channel, starting_offset=1 << 20)) == []
    code, details = fails(channel, starting_offset=(1 << 20) + 1)
    assert code == "OUT_OF_RANGE"
    assert "beyond the capacity" in details


def test_messages_have_at_most_so_many_tuples(serve, connect):
    sent = [record(*((offset * 8192, 4096) for offset in range(10)))]
    channel = connect(serve(lambda request, call: iter(sent)).listener.address)
    assert [len(one.extents) for one in records(channel, max_results=4)] == [4, 4, 2]


def test_no_message_is_larger_than_clients_take(serve, connect):
    count = 400_000
    many = Extents.from_arrays(*_columns(count))
    sent = [Record(BlockMetadataType.VARIABLE_LENGTH, 1 << 62, many)]
    channel = connect(serve(lambda request, call: iter(sent)).listener.address)
    for limit in (0, (1 << 31) - 1):
        messages = list(ask(channel, max_results=limit))
        assert max(map(len, messages)) < 4 << 20
        assert sum(len(wire.decode(message).extents) for message in messages) == count


def _columns(count):
    import numpy as np

    offsets = np.arange(count, dtype="i8") * 8192 + (1 << 60)
    return offsets, np.full(count, 4096, dtype="i8")


def test_one_stream_more_than_allowed_is_refused(serve, connect):
    go = threading.Event()

    def answer(request, call):
        yield record((0, 4096))
        assert go.wait(WAIT)

    service = serve(answer, max_streams=2)
    channel = connect(service.listener.address)
    running = [ask(channel) for _ in range(2)]
    for stream in running:
        next(stream)
    assert fails(channel) == ("RESOURCE_EXHAUSTED", "2 streams are being served: try again later")
    assert health(channel) == "NOT_SERVING"
    go.set()
    for stream in running:
        list(stream)
    service.wait(3)
    assert len(records(channel)) == 1


def test_health_answers_while_clients_wait(serve, connect):
    """Also when many watch, and all streams are taken."""
    go = threading.Event()

    def answer(request, call):
        yield record((0, 4096))
        assert go.wait(WAIT)

    service = serve(answer, max_streams=4)
    channel = connect(service.listener.address)
    watches = [
        health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=WAIT) for _ in range(40)
    ]
    for watch in watches:
        next(watch)
    streams = [ask(channel) for _ in range(4)]
    for stream in streams:
        next(stream)
    service.listener.set_serving(True)
    assert health(channel) == "SERVING"
    assert {next(watch).status for watch in watches} == {health_pb2.HealthCheckResponse.SERVING}
    go.set()


def test_a_client_that_goes_away_ends_its_stream(serve, connect):
    started = threading.Event()
    seen = []

    def answer(request, call):
        yield record((0, 4096))
        started.set()
        seen.append(call.cancelled.wait(WAIT))
        yield record((8192, 4096))

    service = serve(answer)
    stream = ask(connect(service.listener.address))
    next(stream)
    assert started.wait(WAIT)
    stream.cancel()
    (call,) = service.wait()
    assert (call.code, seen) == ("CANCELLED", [True])


def test_the_time_of_a_stream_is_limited(serve, connect):
    def answer(request, call):
        yield record((0, 4096))
        assert call.cancelled.wait(WAIT)

    service = serve(answer, duration=0.3)
    assert fails(connect(service.listener.address))[0] == "DEADLINE_EXCEEDED"
    assert service.wait()[0].code == "DEADLINE_EXCEEDED"


def test_a_source_that_ends_cleanly_because_of_the_deadline_does_not_pass(serve, connect):
    def answer(request, call):
        yield record((0, 4096))
        time.sleep(max(call.remaining, 0) + 0.05)

    assert fails(connect(serve(answer, duration=0.3).listener.address))[0] == "DEADLINE_EXCEEDED"


def test_a_consumer_that_never_reads_is_thrown_out(serve, connect, monkeypatch):
    from blockdiff.csi.server import streams

    monkeypatch.setattr(streams, "LAST_WORDS", 0.3)

    def answer(request, call):
        for number in range(100_000):
            yield record(*((number * (1 << 30) + offset * 8192, 4096) for offset in range(2000)), capacity=0)

    service = serve(answer, duration=0.5)
    stream = ask(connect(service.listener.address, **{"http2.bdp_probe": 0}))
    (call,) = service.wait()
    assert call.code in {"DEADLINE_EXCEEDED", "CANCELLED"}
    with pytest.raises(grpc.RpcError) as caught:
        list(stream)
    assert caught.value.code() != grpc.StatusCode.OK


def test_stopping_lets_streams_finish(serve, connect):
    go = threading.Event()

    def answer(request, call):
        yield record((0, 4096))
        assert go.wait(WAIT)
        yield record((8192, 4096))

    service = serve(answer)
    channel = connect(service.listener.address)
    stream = ask(channel)
    next(stream)
    stopping = threading.Thread(target=service.listener.stop, args=(WAIT,))
    stopping.start()
    other = connect(service.listener.address)
    while fails(other)[0] != "UNAVAILABLE":
        pass
    go.set()
    assert extents(map(wire.decode, stream)) == [(8192, 4096)]
    stopping.join(WAIT)
    assert service.listener.wait(0)


def test_streams_that_do_not_finish_end_with_an_error(serve, connect):
    def answer(request, call):
        yield record((0, 4096))
        call.cancelled.wait(WAIT)

    service = serve(answer)
    stream = ask(connect(service.listener.address))
    next(stream)
    service.listener.stop(0.1)
    with pytest.raises(grpc.RpcError) as caught:
        list(stream)
    assert caught.value.code() != grpc.StatusCode.OK


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


class TestTls:
    def test_streams_come_through(self, serve, connect, authority):
        files = authority.issue(name="plain")
        service = serve(tls=ServerTls(str(files.cert), str(files.key)))
        channel = connect(f"localhost:{service.listener.port}", grpc.ssl_channel_credentials(authority.pem))
        assert len(records(channel)) == 2

    def test_old_protocols_are_refused(self, serve, authority):
        files = authority.issue(name="old")
        service = serve(tls=ServerTls(str(files.cert), str(files.key)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.load_verify_locations(files.ca)
        with socket.create_connection(("127.0.0.1", service.listener.port), WAIT) as plain, pytest.raises(OSError):
            context.wrap_socket(plain, server_hostname="localhost")

    def test_a_new_certificate_is_served_without_a_restart(self, serve, connect, authority, tmp_path):
        files = authority.issue(name="first")
        tls = ServerTls(str(files.cert), str(files.key))
        port = serve(tls=tls).listener.port
        other = Authority(tmp_path / "other")
        new = other.issue(name="second")
        os.replace(new.cert, files.cert)  # the key does not fit yet: the old pair stays
        assert len(records(connect(f"localhost:{port}", grpc.ssl_channel_credentials(authority.pem)))) == 2
        os.replace(new.key, files.key)
        assert len(records(connect(f"localhost:{port}", grpc.ssl_channel_credentials(other.pem)))) == 2
        assert fails(connect(f"localhost:{port}", grpc.ssl_channel_credentials(authority.pem)), 5)[0] == "UNAVAILABLE"

    def test_files_that_vanish_leave_the_certificate(self, serve, connect, authority):
        files = authority.issue(name="vanishing")
        port = serve(tls=ServerTls(str(files.cert), str(files.key))).listener.port
        files.cert.unlink()
        assert len(records(connect(f"localhost:{port}", grpc.ssl_channel_credentials(authority.pem)))) == 2

    def test_clients_need_a_certificate_where_asked(self, serve, connect, authority, tmp_path):
        files, client = authority.issue(name="server"), authority.issue("backup.example", name="client")
        service = serve(
            lambda request, call: (_ for _ in (names.append(call.names),) if False),
            tls=ServerTls(str(files.cert), str(files.key), str(authority.path)),
        )
        names = []
        target = f"localhost:{service.listener.port}"
        stranger = Authority(tmp_path / "stranger").issue(name="stranger")
        for pair in (None, (stranger.key, stranger.cert)):
            key, cert = (path.read_bytes() for path in pair) if pair else (None, None)
            credentials = grpc.ssl_channel_credentials(authority.pem, key, cert)
            assert fails(connect(target, credentials), 5)[0] == "UNAVAILABLE"
        credentials = grpc.ssl_channel_credentials(authority.pem, client.key.read_bytes(), client.cert.read_bytes())
        assert records(connect(target, credentials)) == []
        assert names == [["backup.example"]]

    @pytest.mark.parametrize(
        ("days", "text"), [((-9, -1), "expired on"), ((1, 9), "is not valid before")], ids=["expired", "future"]
    )
    def test_a_certificate_out_of_its_time_is_warned_of(self, authority, caplog, days, text):
        files = authority.issue(name="late", days=days)
        ServerTls(str(files.cert), str(files.key))
        assert text in caplog.text

    @pytest.mark.parametrize("case", ["no cert", "no key", "garbage", "other key", "no client CA", "garbage client CA"])
    def test_files_that_cannot_serve_are_refused(self, authority, tmp_path, case):
        files, other = authority.issue(name="a"), authority.issue(name="b")
        garbage = tmp_path / "garbage"
        garbage.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        arguments = {
            "no cert": (tmp_path / "none", files.key),
            "no key": (files.cert, tmp_path / "none"),
            "garbage": (garbage, files.key),
            "other key": (files.cert, other.key),
            "no client CA": (files.cert, files.key, tmp_path / "none"),
            "garbage client CA": (files.cert, files.key, garbage),
        }[case]
        with pytest.raises(InvalidInput):
            ServerTls(*map(str, arguments))
