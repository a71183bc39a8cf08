"""URLs of NBD as libnbd and QEMU spell them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.backends.nbd.address import parse_address
from blockdiff.backends.nbd.credentials import credentials
from blockdiff.errors import InvalidInput
from blockdiff.locator import parse_locator


def parse(text):
    return parse_address(parse_locator(text))


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("nbd://host", {"host": "host", "port": 10809, "export": "", "tls": False}),
        ("nbd://host/", {"export": ""}),
        ("nbd://host:1234/disk", {"port": 1234, "export": "disk"}),
        ("NBD://host/disk", {"export": "disk"}),
        ("nbd://host:/disk", {"port": 10809}),
        ("nbd://host//disk", {"export": "/disk"}),
        ("nbd://host/a/b%20c%2Fd%3f", {"export": "a/b c/d?"}),
        ("nbd://[::1]:1/x", {"host": "::1", "port": 1, "export": "x"}),
        ("nbd://127.0.0.1", {"host": "127.0.0.1"}),
        ("nbds://host/x", {"tls": True}),
        ("nbds://alice@host/x?tls-psk-file=/k", {"username": "alice", "psk_file": "/k"}),
        ("nbds://host/x?tls-certificates=/c&tls-hostname=h", {"certificates": "/c", "hostname": "h"}),
        ("nbd+unix:///?socket=/s", {"socket": "/s", "export": "", "host": ""}),
        ("nbd+unix://?socket=/s", {"socket": "/s"}),
        ("nbd+unix:?socket=/s", {"socket": "/s"}),
        ("nbd+unix:///disk?socket=/a%26b", {"socket": "/a&b", "export": "disk"}),
        ("nbds+unix:///disk?socket=s;tls-username=bob", {"tls": True, "username": "bob", "socket": "s"}),
        ("nbd://host/x?bitmap=b1", {"context": "qemu:dirty-bitmap:b1"}),
        ("nbd://host/x?meta=qemu:allocation-depth", {"context": "qemu:allocation-depth"}),
        ("nbd://host/x?timeout=1.5&connections=1", {"timeout": 1.5, "connections": 1}),
        ("nbd://host/caf%C3%A9", {"export": "caf\N{LATIN SMALL LETTER E WITH ACUTE}"}),
        ("nbd://host/a+b", {"export": "a+b"}),
    ],
)
def test_good(text, facts):
    address = parse(text)
    assert {key: getattr(address, key) for key in facts} == facts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nbd:host", "not of the form"),
        ("nbd:unix:/s:exportname=x", "not of the form"),
        ("nbd://", "names no host"),
        ("nbd:///x", "names no host"),
        ("nbd://host?socket=/s", "is not nbd\\+unix"),
        ("nbd+unix:///x", "names no socket"),
        ("nbd+unix://host/x?socket=/s", "a host and a socket"),
        ("nbd://host:0/", "no port"),
        ("nbd://host:65536/", "no port"),
        ("nbd://host:1x/", "no \\[USER@\\]HOST"),
        ("nbd://[::1/", "no \\[USER@\\]HOST"),
        ("nbd://host/x?tls-certificates=/c", "is of TLS"),
        ("nbd://alice@host/x", "is of TLS"),
        ("nbds://a@host/x?tls-username=b", "two users"),
        ("nbds://host/x?tls-psk-file=k&tls-certificates=c", "certificates and a key"),
        ("nbds://host/x?tls-verify-peer=false", "is no option"),
        ("nbd://host/x?foo=1", "known are socket="),
        ("nbd://host/x?bitmap", "is no option"),
        ("nbd://host/x?bitmap=", "is no option"),
        ("nbd://host/x?bitmap=a&bitmap=b", "stands twice"),
        ("nbd://host/x?bitmap=a&meta=b", "one of bitmap= and meta="),
        ("nbd://host/x?meta=base:allocation", "blockdiff map"),
        ("nbd://host/x#y", "write %23"),
        ("nbd://host/%", "write %25"),
        ("nbd://host/%zz", "write %25"),
        ("nbd://host/%ff", "not UTF-8"),
        ("nbd://host/%00", "NUL"),
        ("nbd://host/x?timeout=0", "no number"),
        ("nbd://host/x?timeout=x", "no number"),
        ("nbd://host/x?connections=9", "no number"),
        ("nbd://host/x?connections=1.5", "no whole number"),
        ("nbd://host:" + "9" * 5000, "no port"),
        ("nbd://host/\udcff", "not UTF-8"),
        ("nbd+unix:///?socket=/\udcff", "not UTF-8"),
        ("nbd://host/" + "x" * 5000, "more than 4096 bytes"),
    ],
)
def test_bad(text, words):
    with pytest.raises(InvalidInput, match=words):
        parse(text)


@given(st.sampled_from(["nbd", "nbds", "nbd+unix"]), st.text(max_size=20), st.text(min_size=1, max_size=20))
def test_urls_say_what_they_name(scheme, export, socket):
    """What a message shows can be typed."""
    from urllib.parse import quote

    if "\0" in export + socket or any("\ud800" <= char <= "\udfff" for char in export + socket):
        return
    rest = f"?socket={quote(socket, safe='')}" if "unix" in scheme else ""
    address = parse(f"{scheme}://{'' if rest else 'host'}/{quote(export, safe='')}{rest}")
    assert parse(str(address)) == address
    assert address.export == export


@given(st.text(max_size=60))
def test_any_text(text):
    """Good, or an error in words."""
    with contextlib.suppress(InvalidInput):
        assert parse("nbd:" + text.replace("\0", "")).host


def test_keys(tmp_path):
    keys = tmp_path / "keys.psk"
    keys.write_text("# comment\nalice:00ff\nbob:11\n")
    url = f"nbds://host/?tls-psk-file={keys}"
    assert credentials(parse(url.replace("host", "bob@host"))).psk == b"\x11"
    for user, words in (("", "several users"), ("eve@", "no key of 'eve'")):
        with pytest.raises(InvalidInput, match=words):
            credentials(parse(url.replace("host", f"{user}host")))
    keys.write_text("alice:xyz\n")
    with pytest.raises(InvalidInput, match="not hexadecimal"):
        credentials(parse(url))
    keys.unlink()
    with pytest.raises(InvalidInput, match="No such file"):
        credentials(parse(url))


def test_certificates(tmp_path):
    url = f"nbds://host/?tls-certificates={tmp_path}"
    with pytest.raises(InvalidInput, match=r"ca-cert\.pem"):
        credentials(parse(url))
    (tmp_path / "ca-cert.pem").write_text("")
    assert credentials(parse(url)).cert == ""
    (tmp_path / "client-cert.pem").write_text("")
    with pytest.raises(InvalidInput, match="only one of"):
        credentials(parse(url))
    with pytest.raises(InvalidInput, match="no directory"):
        credentials(parse(url + "/none"))
