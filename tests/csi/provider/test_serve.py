"""`blockdiff serve csi` in its own process."""

import contextlib
import os
import signal
import stat

import grpc
import pytest

from blockdiff.csi import rpc, wire
from blockdiff.csi._pb import csi
from blockdiff.csi.driver import SocketDriver
from tests.fixtures.cli import blockdiff, finish, start
from tests.fixtures.provider import LIMIT, allocated, delta, refused, tuples
from tests.fixtures.tls import Authority


@pytest.fixture
def images(tmp_path):
    root = tmp_path / "images"
    root.mkdir()
    (root / "a").write_bytes(b"a" * 65536)
    (root / "b").write_bytes(b"a" * 8192 + b"b" * 4096 + b"a" * (65536 - 12288))
    return root


@contextlib.contextmanager
def server(*arguments, killed=False):
    """A running server; gives (process, address). It must end well when it is told to, unless it is ``killed``."""
    process = start("serve", "csi", *arguments)
    try:
        line = process.stderr.readline()
        if "serving" not in line:
            raise AssertionError(line + process.stderr.read())
        yield process, line.split()[-1]
        if process.poll() is None:
            process.terminate()
    except BaseException:
        process.kill()
        raise
    finally:
        ended = finish(process) if not killed else (process.wait(LIMIT), process.communicate())
    assert ended[0] == (-signal.SIGKILL if killed else 0), ended


def test_a_socket(tmp_path, images):
    path = tmp_path / "csi.sock"
    with server("--source", f"dir:{images}", "--endpoint", f"unix://{path}", "--name", "x.example") as (_, address):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        driver = SocketDriver(address)
        assert (driver.name, driver.ready()) == ("x.example", True)
        driver.close()
        with grpc.insecure_channel(address) as channel:
            assert tuples(delta(channel, "a", "b")) == [(8192, 4096)]
            assert tuples(allocated(channel, "a")) == [(0, 65536)]
        # CSI forbids plugins to make files beside their socket
        assert {item.name for item in tmp_path.iterdir()} == {"csi.sock", "images"}
    assert not path.exists()


def test_fixed_blocks(tmp_path, images):
    arguments = ("--block-type", "fixed", "--block-size", "1K", "--endpoint", "127.0.0.1:0")
    with server("--source", f"dir:{images}", *arguments) as (_, address), grpc.insecure_channel(address) as channel:
        records = delta(channel, "a", "b")
        assert tuples(records) == [(8192 + n * 1024, 1024) for n in range(4)]
        assert records[0].type == 1


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"])
def test_signals_end_it_well(tmp_path, images, number):
    with server("--source", f"dir:{images}", "--endpoint", f"unix://{tmp_path}/s") as (process, _):
        process.send_signal(getattr(signal, number))


def test_two_servers_do_not_share_a_socket(tmp_path, images):
    arguments = ("--source", f"dir:{images}", "--endpoint", f"unix://{tmp_path}/s")
    with server(*arguments) as (_, address):
        assert "another" in blockdiff("serve", "csi", *arguments, expect=2).stderr
        with grpc.insecure_channel(address) as channel:
            assert allocated(channel, "a")


def test_many_that_start_at_once_do_not_share_it_either(tmp_path, images):
    arguments = ("serve", "csi", "--source", f"dir:{images}", "--endpoint", f"unix://{tmp_path}/s")
    processes = [start(*arguments) for _ in range(4)]
    said = [process.stderr.readline() for process in processes]
    assert sorted("serving" in line for line in said) == [False, False, False, True], said
    for process in processes:
        process.terminate()
        process.communicate(timeout=LIMIT)


def test_a_socket_that_was_left_behind(tmp_path, images):
    path = tmp_path / "s"
    arguments = ("--source", f"dir:{images}", "--endpoint", f"unix://{path}")
    with server(*arguments, killed=True) as (process, _):
        process.kill()
        process.wait(LIMIT)
        assert path.exists()
    with server(*arguments) as (_, address), grpc.insecure_channel(address) as channel:
        assert allocated(channel, "a")


def test_something_else_at_the_socket(tmp_path, images):
    path = tmp_path / "s"
    path.write_text("mine")
    done = blockdiff("serve", "csi", "--source", f"dir:{images}", "--endpoint", f"unix://{path}", expect=2)
    assert "no socket" in done.stderr
    assert path.read_text() == "mine"


def test_killed_in_the_middle_and_taken_up_again(tmp_path, images):
    """What a client has before and gets after is the whole."""
    path = tmp_path / "s"
    (images / "big").write_bytes(os.urandom(4096) * 2000)
    arguments = ("--source", f"dir:{images}", "--endpoint", f"unix://{path}", "--block-type", "fixed")
    request = csi.GetMetadataAllocatedRequest(snapshot_id="big", max_results=1)
    got = []
    with server(*arguments, killed=True) as (process, address), grpc.insecure_channel(address) as channel:
        stream = rpc.CSI_ALLOCATED.call(channel)(request, timeout=LIMIT)
        got.append(wire.decode(next(stream)))
        process.kill()
        with pytest.raises(grpc.RpcError) as raised:
            got.extend(map(wire.decode, stream))
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
    with server(*arguments) as (_, address), grpc.insecure_channel(address) as channel:
        got += allocated(channel, "big", start=got[-1].extents.end)
    assert tuples(got) == [(n * 4096, 4096) for n in range(2000)]


def test_mutual_tls(tmp_path, images):
    ours, theirs = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    own, client, stranger = ours.issue(), ours.issue("client", name="client"), theirs.issue("client")
    arguments = ["--tls-cert", own.cert, "--tls-key", own.key, "--tls-client-ca", ours.path]
    with server("--source", f"dir:{images}", "--endpoint", "127.0.0.1:0", *arguments) as (_, address):
        for files, good in ((client, True), (stranger, False), (None, False)):
            pair = (files.key.read_bytes(), files.cert.read_bytes()) if files else (None, None)
            credentials = grpc.ssl_channel_credentials(ours.pem, *pair)
            with grpc.secure_channel(address, credentials) as channel:
                if good:
                    assert tuples(delta(channel, "a", "b")) == [(8192, 4096)]
                else:
                    assert refused(delta, channel, "a", "b")[0] == "UNAVAILABLE"


def test_a_stream_that_takes_too_long(tmp_path, images):
    (images / "big").write_bytes(b"x" * (16 << 20))
    arguments = ("--block-type", "fixed", "--block-size", "512", "--max-duration", "0.05")
    with (
        server("--source", f"dir:{images}", "--endpoint", f"unix://{tmp_path}/s", *arguments) as (_, address),
        grpc.insecure_channel(address) as channel,
    ):
        assert refused(allocated, channel, "big", limit=1)[0] == "DEADLINE_EXCEEDED"


WRONG = [
    ((), "--source"),
    (("--source", "dir:/no/such/place"), "cannot serve"),
    (("--source", "dir:/", "--endpoint", "0.0.0.0:0"), "TLS"),
    (("--source", "dir:/", "--endpoint", ":0"), "TLS"),
    (("--source", "dir:/", "--endpoint", "nowhere"), "no address"),
    (("--source", "dir:/", "--endpoint", "unix:///no/such/place/s"), "cannot listen"),
    (("--source", "dir:/", "--name", "-x"), "CSI driver"),
    (("--source", "dir:/", "--name", "x" * 64), "CSI driver"),
    (("--source", "dir:/", "--block-size", "1000"), "power of two"),
    (("--source", "dir:/", "--tls-cert", "x"), "go together"),
    (("--source", "dir:/", "--tls-client-ca", "x"), "both"),
    (("--source", "dir:/", "--tls-cert", "/no", "--tls-key", "/no", "--endpoint", "127.0.0.1:0"), "cannot read"),
    (("--source", "dir:/", "--method", "byte", "--require", "reflink"), "contradicts"),
    (("--source", "dir:/", "--max-streams", "0"), "max-streams"),
]


@pytest.mark.parametrize(("arguments", "text"), WRONG)
def test_wrong_arguments(arguments, text):
    done = blockdiff("serve", "csi", *arguments, expect=2)
    assert text in done.stderr
