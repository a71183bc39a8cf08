"""What is wrong with a TLS connection is said in words: each case over real connections."""

import contextlib
import socket
import ssl
import threading
from contextlib import contextmanager

import pytest

from blockdiff.csi.ca import roots
from blockdiff.csi.errors import CACertError
from blockdiff.csi.tlscheck import explain, split
from tests.fixtures.tls import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@contextmanager
def serving(answer):
    """A TCP server that gives each connection to ``answer``; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)

        def run():
            while True:
                try:
                    plain, _ = listener.accept()
                except OSError:
                    return
                plain.settimeout(10)
                with plain, contextlib.suppress(OSError):
                    answer(plain)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(20)


def tls(files, *protocols):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    context.set_alpn_protocols(list(protocols))

    def answer(plain):
        with context.wrap_socket(plain, server_side=True) as secure:
            secure.recv(1)

    return answer


def test_nothing_is_wrong(authority):
    with serving(tls(authority.issue("localhost", "127.0.0.1"), "h2")) as address:
        assert explain(address, authority.pem) == ""
        assert explain(address.replace("127.0.0.1", "localhost"), authority.pem) == ""


@pytest.mark.parametrize(
    ("hosts", "days", "name", "words"),
    [
        (("other.example",), (-1, 1), "", "not for '127.0.0.1'"),
        (("other.example",), (-1, 1), "localhost", "not for 'localhost'"),
        (("localhost", "127.0.0.1"), (-9, -1), "", "has expired"),
        (("localhost", "127.0.0.1"), (1, 9), "", "not yet valid"),
    ],
)
def test_a_wrong_certificate(authority, hosts, days, name, words):
    with serving(tls(authority.issue(*hosts, days=days), "h2")) as address:
        assert words in explain(address, authority.pem, name)


def test_a_name_that_the_certificate_has(authority):
    with serving(tls(authority.issue("other.example"), "h2")) as address:
        assert explain(address, authority.pem, "other.example") == ""


def test_another_ca(authority, tmp_path):
    with serving(tls(authority.issue(), "h2")) as address:
        assert "not issued by the CA" in explain(address, Authority(tmp_path / "other").pem)


def test_no_http2(authority):
    with serving(tls(authority.issue(), "http/1.1")) as address:
        assert "not HTTP/2" in explain(address, authority.pem)


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x64"])
def test_no_tls(authority, words):
    with serving(lambda plain: (plain.sendall(words), plain.recv(1 << 16))) as address:
        assert "does not speak TLS on this port" in explain(address, authority.pem)


def test_closed_at_once(authority):
    with serving(lambda plain: plain.recv(1)) as address:
        assert "does it speak TLS" in explain(address, authority.pem) or "handshake failed" in explain(
            address, authority.pem
        )


def test_nobody_there(authority):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    assert "cannot be reached: Connection refused" in explain(address, authority.pem)
    assert "cannot be resolved" in explain("csi-snapshot-metadata.invalid:6443", authority.pem)


def test_no_answer(authority):
    with socket.create_server(("127.0.0.1", 0)) as listener:  # the backlog takes it, nobody answers
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert "does not answer within 0.2 seconds" in explain(address, authority.pem, timeout=0.2)


@pytest.mark.parametrize(
    "pem", [b"", b"text", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_ca(pem):
    with pytest.raises(CACertError, match=r"failed to add the SnapshotMetadataService CR CA certificate: \w"):
        roots(pem)


def test_a_ca(authority):
    assert roots(authority.pem) == authority.pem
    assert roots(authority.pem * 2) == authority.pem * 2


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("localhost:15051", ("localhost", 15051)),
        ("dns:///csi.default:6443", ("csi.default", 6443)),
        ("[::1]:50051", ("::1", 50051)),
        ("host", ("host", 443)),
    ],
)
def test_addresses(address, parts):
    assert split(address) == parts


@pytest.mark.parametrize("host", ["a..b", "a" * 70 + ".b", "a\udcffb"])
def test_no_host_can_have_this_name(authority, host):
    """What a typing error in a SnapshotMetadataService makes of an address."""
    assert "no host can have this name" in explain(f"{host}:50051", authority.pem)


def test_a_port_of_thousands_of_digits():
    assert split("host:" + "9" * 5000)[1] == 443
