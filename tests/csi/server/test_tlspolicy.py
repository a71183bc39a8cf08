"""Versions and ciphers in Go's words: what is set is what real clients meet."""

import socket
import ssl
import subprocess
import sys

import pytest

from blockdiff.csi.server import tlspolicy
from blockdiff.errors import InvalidInput, UnsupportedOperation
from tests.fixtures.tls import Authority

SERVER = """
import sys
from blockdiff.csi.server import tlspolicy
from blockdiff.csi.server.listen import Listener
from blockdiff.csi.server.tls import ServerTls
minimum, ciphers, cert, key = sys.argv[1:]
tlspolicy.apply(minimum, [name for name in ciphers.split(",") if name])
with Listener("127.0.0.1:0", tls=ServerTls(cert, key)) as listener:
    print(listener.port, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls")).issue(name="server")


@pytest.fixture
def serve(files):
    running = []

    def start(minimum="", ciphers=""):
        command = [sys.executable, "-c", SERVER, minimum, ciphers, files.cert, files.key]
        running.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return int(running[-1].stdout.readline())

    yield start
    for process in running:
        process.stdin.close()
        process.stdout.close()
        process.wait(30)


def shake(port, files, version, ciphers=None):
    """The cipher that a client and the server agree on, None if they do not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(files.ca)
    context.set_alpn_protocols(["h2"])
    context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    with socket.create_connection(("127.0.0.1", port), 30) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                return secure.cipher()[0]
        except OSError:
            return None


V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def test_both_versions_are_taken_by_default(serve, files):
    port = serve()
    assert shake(port, files, V12)
    assert shake(port, files, V13)


def test_only_tls13(serve, files):
    port = serve("VersionTLS13")
    assert shake(port, files, V13)
    assert shake(port, files, V12) is None


def test_ciphers(serve, files):
    port = serve("VersionTLS12", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")
    assert shake(port, files, V12) in {"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"}
    assert shake(port, files, V12, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256") is None
    assert shake(port, files, V13)


def test_ciphers_of_tls13_alone_leave_nothing_for_tls12(serve, files):
    port = serve("", "TLS_AES_128_GCM_SHA256")
    assert shake(port, files, V13)
    assert shake(port, files, V12) is None


@pytest.mark.parametrize("name", [name for name in tlspolicy._TLS12 if "CBC" not in name])
def test_every_name_is_known_to_openssl(name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers(tlspolicy._TLS12[name])


@pytest.mark.parametrize(
    "name",
    ["TLS_RSA_WITH_RC4_128_SHA", "TLS_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "x", "TLS_NULL"],
)
def test_ciphers_that_are_not_safe_are_refused(name, monkeypatch):
    monkeypatch.delenv(tlspolicy.VARIABLE, raising=False)
    with pytest.raises(InvalidInput, match="not known or not safe"):
        tlspolicy.apply("", [name])


def test_other_words(monkeypatch):
    for version in ("VersionTLS11", "TLS1.2", "1.3"):
        with pytest.raises(InvalidInput, match="VersionTLS12 or VersionTLS13"):
            tlspolicy.apply(version)
    with pytest.raises(InvalidInput, match="not known"):
        tlspolicy.apply("", [], ["P-256"])
    with pytest.raises(UnsupportedOperation, match="cannot be set"):
        tlspolicy.apply("", [], ["X25519", "CurveP256"])
