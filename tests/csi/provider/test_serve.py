"""`blockdiff serve csi` in its own process."""

import contextlib
import os
import re
import signal
import stat
from pathlib import Path

import click
import grpc
import pytest

from blockdiff.cli.serve.csi import command
from blockdiff.csi import rpc, wire
from blockdiff.csi._pb import csi
from blockdiff.csi.driver import SocketDriver
from blockdiff.csi.provider.shape import Shape
from tests.fixtures.cli import blockdiff, finish, start
from tests.fixtures.provider import LIMIT, allocated, delta, provider, refused, serving, tuples
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
        if "listening on" not in line:
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
    with server("--source", f"dir:{images}", "--endpoint", f"unix://{path}", "--driver-name", "x.example") as (
        _,
        address,
    ):
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
        process.wait(LIMIT)


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
    assert sorted("listening on" in line for line in said) == [False, False, False, True], said
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
    arguments = ["--tls-cert", own.cert, "--tls-key", own.key, "--client-ca", ours.path]
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
    shape = Shape(fixed=True, block_size=512)
    with serving(provider(f"dir:{images}", shape=shape), tmp_path / "s", duration=0.05) as channel:
        assert refused(allocated, channel, "big", limit=1)[0] == "DEADLINE_EXCEEDED"


def test_tokens(tmp_path, images):
    """Each grants sources by their names."""
    (tmp_path / "tokens").write_text("token-of-x-0123456789 x\ntoken-of-all-0123456789 *\n")
    (tmp_path / "tokens").chmod(0o600)
    sources = ("--source", f"x=dir:{images}", "--source", f"y=dir:{images}")
    arguments = ("--endpoint", f"unix://{tmp_path}/s", "--token-file", tmp_path / "tokens")
    with server(*sources, *arguments) as (_, address), grpc.insecure_channel(address) as channel:

        def ends(*ids, token=None, scheme="Bearer"):
            metadata = [("authorization", f"{scheme} {token}")] if token else []
            request = csi.GetMetadataDeltaRequest(base_snapshot_id=ids[0], target_snapshot_id=ids[1])
            try:
                list(rpc.CSI_DELTA.call(channel)(request, timeout=LIMIT, metadata=metadata))
            except grpc.RpcError as error:
                return error.code().name
            return "OK"

        assert ends("x/a", "x/b", token="token-of-x-0123456789") == "OK"
        assert ends("x/a", "x/b", token="token-of-x-0123456789", scheme="bearer") == "OK"
        assert ends("y/a", "y/b", token="token-of-all-0123456789") == "OK"
        assert ends("y/a", "x/b", token="token-of-x-0123456789") == "PERMISSION_DENIED"
        assert ends("x/a", "y/b", token="token-of-x-0123456789") == "PERMISSION_DENIED"
        assert ends("x", "x", token="token-of-x-0123456789") == "PERMISSION_DENIED"
        for token, scheme in ((None, ""), ("", "Bearer"), ("token-of-y-0123456789", "Bearer")):
            assert ends("x/a", "x/b", token=token, scheme=scheme) == "UNAUTHENTICATED"
        assert ends("x/a", "x/b", token="token-of-x-0123456789", scheme="Basic") == "UNAUTHENTICATED"
        with pytest.raises(grpc.RpcError) as raised:
            rpc.PROBE.call(channel)(csi.ProbeRequest(), timeout=LIMIT)
        assert raised.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_every_option_is_documented():
    page = Path(__file__).parents[3] / "docs/commands/serve.md"
    section = page.read_text().partition("## serve csi")[2]
    documented = set(re.findall(r"--[\w-]+", " ".join(re.findall(r"^\| (`-.*?`) \|", section, re.MULTILINE))))
    options = [param for param in command.params if isinstance(param, click.Option)]
    assert {opt for param in options for opt in param.opts} == documented


def test_what_others_can_reach_lets_not_everybody_in(tmp_path, images):
    files = Authority(tmp_path / "ca").issue()
    words = ["serve", "csi", "--source", f"dir:{images}", "--tls-cert", files.cert, "--tls-key", files.key]
    for address in ("0.0.0.0:0", ":0"):
        assert "lets everybody in" in blockdiff(*words, "--endpoint", address, expect=2).stderr
    with server(*words[2:], "--endpoint", ":0", "--client-ca", files.ca):
        pass


WRONG = [
    ((), "--source"),
    (("--source", "dir:/no/such/place"), "cannot serve"),
    (("--source", "dir:/", "--endpoint", "0.0.0.0:0"), "TLS"),
    (("--source", "dir:/", "--endpoint", ":0"), "TLS"),
    (("--source", "dir:/", "--endpoint", "nowhere"), "no address"),
    (("--source", "dir:/", "--endpoint", "unix:///no/such/place/s"), "cannot listen"),
    (("--source", "dir:/", "--driver-name", "-x"), "CSI driver"),
    (("--source", "dir:/", "--driver-name", "x" * 64), "CSI driver"),
    (("--source", "dir:/", "--block-size", "1000"), "power of two"),
    (("--source", "dir:/", "--tls-cert", "x"), "go together"),
    (("--source", "dir:/", "--client-ca", "x"), "needs"),
    (("--source", "dir:/", "--tls-cert", "/no", "--tls-key", "/no", "--endpoint", "127.0.0.1:0"), "cannot read"),
    (("--source", "dir:/", "--method", "byte", "--require", "reflink"), "contradicts"),
    (("--source", "dir:/", "--max-streams", "0"), "max-streams"),
    (("--source", "dir:/", "--token-file", "/no/such/file"), "cannot read"),
    (("--source", "dir:/", "--token-file", "x", "--endpoint", "127.0.0.1:0"), "without TLS"),
]


@pytest.mark.parametrize(("arguments", "text"), WRONG)
def test_wrong_arguments(arguments, text):
    done = blockdiff("serve", "csi", *arguments, expect=2)
    assert text in done.stderr
