"""The client against our own servers, each in a process of its own: what arrives is compared with the images."""

import contextlib
import os
import re
import signal
import threading

import numpy as np
import pytest

from blockdiff.csi.connection import DriverMetadata
from blockdiff.csi.kube import KubeApi, build_clients
from blockdiff.engine.source import ordered
from tests.fixtures.cbt import Scripted
from tests.fixtures.cli import blockdiff, finish, start
from tests.fixtures.kube import FakeKube
from tests.fixtures.tls import Authority

SIZE = 32 << 20
WAIT = 60


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two images that differ in many places, and a third that is like the first."""
    place = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(7)
    base = rng.integers(1, 255, SIZE, dtype=np.uint8)
    target = base.copy()
    blocks = rng.choice(SIZE // 512, 20_000, replace=False)
    target.reshape(-1, 512)[blocks, 0] ^= 0xFF
    (place / "base.img").write_bytes(base.tobytes())
    (place / "target.img").write_bytes(target.tobytes())
    return place


def differing(place):
    """The offsets of bytes that differ."""
    one, other = (np.fromfile(place / name, dtype=np.uint8) for name in ("base.img", "target.img"))
    return np.flatnonzero(one != other)


@contextlib.contextmanager
def serving(*words, ready):
    """A server of ours; gives its process and the match of what it says when it is ready."""
    process = start(*words)
    reader = threading.Thread(target=process.stderr.read, daemon=True)
    bound = threading.Timer(WAIT, process.kill)
    bound.start()
    try:
        said = ""
        while not (found := re.search(ready, said)):
            line = process.stderr.readline()
            assert line, said
            said += line
        reader.start()
        yield process, found
    finally:
        bound.cancel()
        process.kill()
        process.wait(WAIT)
        process.stdout.close()
        if reader.is_alive():
            reader.join(WAIT)
        process.stderr.close()


def covered(records, places):
    """True when each place lies inside an extent."""
    spans = [(offset, offset + length) for one in records for offset, length, _ in one.extents]
    starts, ends = np.array(spans, dtype=np.int64).T
    index = np.searchsorted(starts, places, side="right") - 1
    return bool((index >= 0).all() and (places < ends[index]).all())


def test_a_server_that_is_killed(images, tmp_path):
    """kill -9 in the middle, another one in its place: nothing is missed."""
    words = ("serve", "csi", "--source", f"dir:{images}", "--endpoint", f"unix://{tmp_path}/s", "--block-size", "512")
    breaks = []
    driver = DriverMetadata(f"{tmp_path}/s", retries=20, on_resume=lambda *what: breaks.append(what))
    with contextlib.ExitStack() as stack:
        process, _ = stack.enter_context(serving(*words, ready="listening on"))
        stream = driver.delta("base.img", "target.img", limit=100)
        records = [next(stream)]
        process.send_signal(signal.SIGKILL)
        process.wait(WAIT)
        stack.enter_context(serving(*words, ready="listening on"))
        records += list(ordered(stream))
    assert breaks
    assert covered(ordered(records), differing(images))
    assert sum(record.extents.total() for record in records) == 20_000 * 512


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def test_a_server_without_kubernetes(images, authority, tmp_path):
    """Certificates on both sides, and a token."""
    server, client = authority.issue("localhost", name="server"), authority.issue("backup.example", name="client")
    tokens = tmp_path / "tokens"
    tokens.write_text("0123456789abcdef app\n")
    tokens.chmod(0o600)
    (tmp_path / "token").write_text("0123456789abcdef\n")
    words = [
        *("serve", "snapshot-metadata", "--plain", "--source", f"dir:{images}", "--port", "0"),
        *("--http-endpoint", "", "--token-file", tokens, "--client-ca", authority.path),
        *("--tls-cert", server.cert, "--tls-key", server.key),
    ]
    with serving(*words, ready=r"listening on 127\.0\.0\.1:(\d+)") as (_, found):
        mutual = f"cert={client.cert}&key={client.key}"
        options = f"address=localhost:{found[1]}&ca={authority.path}&token-file={tmp_path / 'token'}"
        url = f"csi:app/target.img?base=base.img&{options}&{mutual}"
        done = blockdiff("audit", images / "base.img", images / "target.img", "--extents", url)
        assert (done.returncode, "correct" in done.stdout) == (0, True)
        assert (
            blockdiff("diff", "-q", f"csi:app/base.img?{options}&{mutual}", f"csi:app/target.img?{options}").returncode
            == 0
        )
        done = blockdiff("map", f"csi:app/base.img?{options}&retries=0", expect=5)
        assert "it wants a client certificate that it knows" in done.stderr
        other = f"csi:other/base.img?{options}&{mutual}"
        assert "the namespace 'other' was not granted" in blockdiff("map", other, expect=5).stderr
        where = ("--address", f"localhost:{found[1]}", "--ca-cert-file", authority.path)
        known = ("--client-cert-file", client.cert, "--client-key-file", client.key, "-token-file", tmp_path / "token")
        listed = blockdiff("snapshot-metadata", "list", "-n", "app", "-s", "base.img", *where, *known, expect=0)
        assert "33554432" in listed.stdout
        missing = blockdiff("map", f"csi:app/missing.img?{options}&{mutual}", expect=5)
        assert "code = NotFound" in missing.stderr


def test_a_socket_without_tokens(images, tmp_path):
    where = f"unix://{tmp_path}/s"
    words = ["serve", "snapshot-metadata", "--plain", "--source", f"dir:{images}", "--http-endpoint", ""]
    with serving(*words, "--address", where, ready="is ready"):
        done = blockdiff("map", "-o", "json", f"csi:any/base.img?address={where}", expect=0)
        assert '"size_bytes":33554432' in done.stdout
        url = f"csi:any/target.img?address={where}&base=base.img"
        assert blockdiff("verify", images / "base.img", images / "target.img", "--extents", url).returncode == 1


@pytest.mark.parametrize("there", [False, True], ids=["nobody-there", "nothing-comes"])
def test_ctrl_c(tmp_path, there):
    asked, gone = threading.Event(), threading.Event()

    def play(request, context, number):
        asked.set()
        gone.wait(WAIT)
        yield from ()

    with Scripted(None, play, path=str(tmp_path / "s")) if there else contextlib.nullcontext() as server:
        process = start("map", f"csi:id?endpoint=unix://{tmp_path}/s&retries=1000")
        if there:
            assert asked.wait(WAIT)
        else:
            threading.Event().wait(2)
        process.send_signal(signal.SIGINT)
        code, _, err = finish(process, WAIT)
        assert (code, "interrupted" in err) == (130, True)
        assert not there or server.cancelled.wait(WAIT)
        gone.set()


def test_inside_a_pod(authority, tmp_path, monkeypatch):
    """What a pod has: two variables, a token and a CA certificate."""
    from kubernetes.config import incluster_config

    kube = FakeKube()
    with kube.serving(authority.issue("127.0.0.1", name="api")):
        (tmp_path / "token").write_text(kube.token("app", "pod"))
        host, port = kube.url.removeprefix("https://").split(":")
        monkeypatch.setitem(os.environ, "KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setitem(os.environ, "KUBERNETES_SERVICE_PORT", port)
        monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
        monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority.path))
        assert KubeApi(build_clients()).user_name() == "system:serviceaccount:app:pod"
