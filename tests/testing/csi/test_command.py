"""`python -m blockdiff.testing.csi`, and the suite in pytest."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from blockdiff.csi.provider.plugin import Plugin
from blockdiff.csi.server.tls import ServerTls
from blockdiff.testing.csi import RULES, CsiSide, Subject, check
from blockdiff.testing.csi.__main__ import command, main
from tests.fixtures.broken_csi import BROKEN, TOKEN, Honest, serving
from tests.fixtures.provider import provider
from tests.fixtures.tls import Authority


def said(capsys, *words):
    """(exit code, stdout, stderr)."""
    code = main([str(word) for word in words])
    return (code, *capsys.readouterr())


@pytest.fixture
def honest(tmp_path):
    with serving(Honest(), tmp_path / "s") as address:
        yield address


ABOUT = ("--snapshot", "b", "--base", "a", "--clients", "4")


def test_a_good_server(capsys, honest):
    code, out, _ = said(capsys, "--endpoint", honest, *ABOUT)
    assert code == 0
    assert "PASS start-complete: " in out
    assert " 0 failed, " in out.splitlines()[-1]


def test_a_bad_server_as_json(capsys, tmp_path):
    with serving(BROKEN["start-complete"](), tmp_path / "s") as address:
        code, out, _ = said(capsys, "--endpoint", address, *ABOUT, "-o", "json")
    assert code == 1
    report = json.loads(out)
    assert (report["side"], report["target"], report["snapshot"], report["base"]) == ("csi", address, "b", "a")
    failed = {result["id"] for result in report["results"] if result["status"] == "fail"}
    assert "start-complete" in failed
    assert report["fail"] == len(failed)
    assert report["pass"] + report["fail"] + report["skip"] == len(report["results"])
    assert all(result["evidence"] and result["where"] for result in report["results"])


def test_some_rules(capsys, honest):
    code, out, _ = said(capsys, "--endpoint", honest, *ABOUT, "--rule", "ascending", "--rule", "delta-self")
    assert (code, len(out.splitlines())) == (0, 3)
    code, out, _ = said(capsys, "--endpoint", honest, *ABOUT, "--skip", "ascending")
    assert (code, "ascending" in out) == (0, False)


def test_a_sidecar(capsys, tmp_path, honest):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    words = ("--address", honest, "--token-file", tmp_path / "token", "--namespace", "app", "--handle", "b")
    code, out, _ = said(capsys, *words, *ABOUT)
    assert (code, "PASS wrong-token" in out) == (0, True)


def test_without_a_base_what_needs_one_is_skipped(capsys, honest):
    code, out, _ = said(capsys, "--endpoint", honest, "--snapshot", "b", "--clients", "2")
    assert code == 0
    assert "SKIP delta-complete" in out
    assert "PASS unknown-base" in out


def test_the_rules_can_be_listed(capsys):
    code, out, _ = said(capsys, "--list")
    assert (code, len(out.splitlines())) == (0, len(RULES))


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ((), 2, "say whom to ask"),
        (("--endpoint", "x", "--address", "y"), 2, "say whom to ask"),
        (("--endpoint", "unix:///x"), 2, "--snapshot is missing"),
        (("--kubeconfig", "/no/such/file", "--snapshot", "x"), 2, "--namespace"),
        (("--kubeconfig", "/no/such/file", "--snapshot", "x", "--namespace", "y"), 2, "no such file"),
        (("--endpoint", "x", "--snapshot", "b", "--secret", "x"), 2, "KEY=FILE"),
        (("--endpoint", "unix:///no/such/socket", "--snapshot", "b", "--timeout", "5"), 5, "cannot ask"),
        (("--no-such-option",), 2, "No such option"),
        (("--rule", "no-such-rule"), 2, "no-such-rule"),
    ],
)
def test_what_goes_wrong(capsys, words, code, text):
    found, out, err = said(capsys, *words)
    assert (found, out, text in err) == (code, "", True), err


def test_trouble_as_json(capsys):
    code, _, err = said(
        capsys, "--endpoint", "unix:///no/such/socket", "--snapshot", "b", "--timeout", "5", "-o", "json"
    )
    assert (code, json.loads(err)["error"]) == (5, "RemoteError")


def test_every_option_is_documented():
    text = (Path(__file__).parents[3] / "docs/csi/driver-authors.md").read_text()
    table = " ".join(re.findall(r"^\| (`-.*?`) \|.*", text, re.MULTILINE)) + text
    for param in command.params:
        assert max(param.opts, key=len) in table or min(param.opts, key=len) in table, param.opts


def test_as_a_program(honest):
    words = [sys.executable, "-m", "blockdiff.testing.csi", "--endpoint", honest, *ABOUT]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_in_pytest(honest, tmp_path):
    with CsiSide(honest) as side:
        check("ascending", Subject(side, snapshot="b", base="a"))
        with pytest.raises(pytest.skip.Exception, match="no base"):
            check("delta-complete", Subject(side, snapshot="b"))
    with serving(BROKEN["ascending"](), tmp_path / "bad") as address, CsiSide(address) as side:
        subject = Subject(side, snapshot="b", base="a")
        with pytest.raises(AssertionError, match="byte_offset increases strictly"):
            check("ascending", subject)


def test_too_much_for_the_suite(capsys, monkeypatch, honest):
    monkeypatch.setattr("blockdiff.testing.csi.subject.MOST", 50)
    code, _, err = said(capsys, "--endpoint", honest, *ABOUT)
    assert (code, "smaller snapshots" in err) == (2, True)


def test_tls(capsys, tmp_path):
    """Against our own server, with a certificate on both sides."""
    authority = Authority(tmp_path / "ca")
    own, mine = authority.issue(), authority.issue("client", name="client")
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        (tmp_path / "images" / name).write_bytes(name.encode() * 65536)
    tls = ServerTls(str(own.cert), str(own.key), str(own.ca))
    with Plugin(provider(f"dir:{tmp_path}/images"), "127.0.0.1:0", tls=tls) as plugin:
        words = ("--endpoint", plugin.listener.address, "--ca", own.ca, "--cert", mine.cert, "--key", mine.key)
        code, out, _ = said(capsys, *words, *ABOUT)
        assert code == 0, out
        assert said(capsys, *words[:4], *ABOUT, "--timeout", "5")[0] == 5
