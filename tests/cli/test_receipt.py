"""``receipt check``, ``show`` and ``keygen``."""

import base64
import json
import os
import pty
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.cli import COMMAND, within
from tests.fixtures.receipts import opened, openssl, openssl_key
from tests.fixtures.schemas import obeys

BLOCK = 4096
JQ = f"""#!{sys.executable}
import json, re, sys
value = json.load(open(sys.argv[3]))
for name in re.findall("[a-zA-Z]+|[0-9]+", sys.argv[2]):
    value = value[int(name) if name.isdigit() else name]
print(value)
"""
DOCS = Path(__file__).parent.parent.parent / "docs/receipts.md"


@pytest.fixture
def place(tmp_path):
    """Two images that differ in one block, a copy of the first, and keys."""
    (tmp_path / "a").write_bytes(b"a" * (8 * BLOCK + 7))
    (tmp_path / "same").write_bytes(b"a" * (8 * BLOCK + 7))
    (tmp_path / "b").write_bytes(b"a" * BLOCK + b"b" * BLOCK + b"a" * (6 * BLOCK + 7))
    openssl_key(tmp_path, "k")
    openssl_key(tmp_path, "other")
    return tmp_path


def made(place, *words, target="same", name="r.json", expect=0):
    within("verify", "-q", "a", target, "--receipt", name, *words, expect=expect, cwd=place)
    return place / name


def check(place, *words, expect):
    return within("receipt", "check", *words, cwd=place, expect=expect)


def test_a_signed_receipt_is_valid(place):
    made(place, "--sign", "k")
    out = check(place, "r.json", "--key", "k.pub", expect=0).stdout
    assert out.startswith("valid: signed by k.pub (")
    assert "\nidentical: 32,775 bytes\n" in out


def test_an_unsigned_one_is_called_so_and_never_valid(place):
    made(place)
    out = check(place, "r.json", expect=0).stdout
    assert out.startswith("UNSIGNED: nobody vouches")
    assert "valid" not in out
    for words in (("--key", "k.pub"), ("--require-signature",), ("--require-signature", "--key", "k.pub")):
        done = check(place, "r.json", *words, expect=2)
        assert "r.json is UNSIGNED" in done.stderr
        assert not done.stdout


def test_tampered(place):
    path = made(place, "--sign", "k", target="b", expect=1)
    envelope, payload, _ = opened(path)
    envelope["payload"] = base64.b64encode(payload.replace(b'"different"', b'"identical"')).decode()
    path.write_text(json.dumps(envelope))
    done = check(place, "r.json", "--key", "k.pub", expect=2)
    assert "r.json was TAMPERED with" in done.stderr
    assert not done.stdout


def test_another_key(place):
    made(place, "--sign", "k")
    assert "signed by another key than other.pub" in check(place, "r.json", "--key", "other.pub", expect=2).stderr
    assert check(place, "r.json", "--key", "other.pub", "--key", "k.pub", expect=0).stdout.startswith("valid")


def test_a_signed_one_needs_a_key(place):
    made(place, "--sign", "k")
    assert "name the public one by --key" in check(place, "r.json", expect=2).stderr
    assert "--require-signature needs the public key" in check(place, "r.json", "--require-signature", expect=2).stderr


def test_threshold(place):
    made(place, "--sign", "k")
    done = check(place, "r.json", "--key", "k.pub", "--key", "other.pub", "--threshold", "2", expect=2)
    assert "signed by 1 of the keys" in done.stderr
    assert "needs as many keys" in check(place, "r.json", "--key", "k.pub", "--threshold", "2", expect=2).stderr
    twice = check(place, "r.json", "--key", "k.pub", "--key", "k.pub", "--threshold", "2", expect=2)
    assert "the same one" in twice.stderr


@pytest.mark.parametrize(
    ("words", "target", "verify", "code"),
    [
        ((), "same", 0, 0),
        ((), "b", 1, 1),
        (("--length", "4096"), "same", 0, 1),
        (("--offset", "4096"), "same", 0, 1),
        (("--offset", "8K"), "b", 0, 1),
    ],
    ids=["identical", "different", "beginning", "end", "rest"],
)
def test_an_identity_can_be_demanded(words, target, verify, code, place):
    made(place, "--sign", "k", *words, target=target, expect=verify)
    check(place, "r.json", "--key", "k.pub", expect=0)
    check(place, "r.json", "--key", "k.pub", "--require-identical", expect=code)


def test_an_identity_of_a_part_is_called_one(place):
    made(place, "--offset", "8K", "--length", "100", target="b")
    assert (
        "identical: 100 bytes (of the range [8,192, 8,292)): NOT the whole devices"
        in check(place, "r.json", expect=0).stdout
    )


def test_an_identity_of_a_list_is_called_one(place):
    (place / "list").write_text('[{"offset":0,"length":4096}]')
    made(place, "--extents", "list", target="b")
    out = check(place, "r.json", "--require-identical", expect=1).stdout
    assert "identical: 4,096 bytes (in the listed ranges; 28,679 bytes were not compared): NOT the whole devices" in out


@pytest.mark.parametrize("words", [("check",), ("show",)])
def test_as_json(words, place):
    made(place)
    value = json.loads(within("receipt", *words, "r.json", "-o", "json", cwd=place, expect=0).stdout)
    obeys(value, "receipt_check")
    assert (value["signature"], value["result"], value["whole"]) == ("unsigned", "identical", True)


def test_signed_as_json(place):
    made(place, "--sign", "k")
    value = json.loads(check(place, "r.json", "--key", "k.pub", "-o", "json", expect=0).stdout)
    assert (value["signature"], value["key_ids"]) == ("valid", [value["receipt"]["signer"]["key_id"]])
    value = json.loads(within("receipt", "show", "r.json", "-o", "json", cwd=place, expect=0).stdout)
    assert (value["signature"], value["key_ids"]) == ("unchecked", [])


def test_refusals_as_json(place):
    made(place)
    error = json.loads(check(place, "r.json", "--key", "k.pub", "-o", "json", expect=2).stderr)
    assert (error["error"], error["exit_code"]) == ("ReceiptRefused", 2)


def test_show_says_that_nothing_was_checked(place):
    made(place, "--sign", "k")
    assert within("receipt", "show", "r.json", cwd=place, expect=0).stdout.startswith("NOT CHECKED")


def test_what_a_terminal_would_obey_is_written_out(place):
    (place / "\x1b[2Jimage").write_bytes(b"a" * (8 * BLOCK + 7))
    made(place, target="\x1b[2Jimage")
    out = within("receipt", "show", "r.json", cwd=place, expect=0).stdout
    assert "\x1b" not in out
    assert "\\x1b[2Jimage" in out


@pytest.mark.parametrize("name", ["a", "none", "."])
def test_what_is_no_receipt(name, place):
    for words in (("check", name, "--key", "k.pub"), ("show", name)):
        assert within("receipt", *words, cwd=place, expect=2).stderr


def test_keygen(place):
    out = within("receipt", "keygen", "new", cwd=place, expect=0).stdout
    assert stat.S_IMODE((place / "new").stat().st_mode) == 0o600
    assert openssl("pkey", "-in", place / "new", "-pubout").stdout == (place / "new.pub").read_bytes()
    made(place, "--sign", "new")
    check(place, "r.json", "--key", "new.pub", expect=0)
    assert "keep it secret" in out


@pytest.mark.parametrize("name", ["k", "k.pub"])
def test_keygen_overwrites_nothing(name, place):
    for other in {"k", "k.pub"} - {name}:
        (place / other).unlink()
    before = (place / name).read_bytes()
    assert "exists already" in within("receipt", "keygen", "k", cwd=place, expect=2).stderr
    assert sorted(path.name for path in place.iterdir() if path.name.startswith("k")) == [name]
    assert (place / name).read_bytes() == before


def test_a_passphrase_from_the_environment(place, monkeypatch):
    monkeypatch.setenv("BLOCKDIFF_KEY_PASSPHRASE", "secret")
    within("receipt", "keygen", "--passphrase", "new", cwd=place, expect=0)
    assert b"ENCRYPTED" in (place / "new").read_bytes()
    made(place, "--sign", "new")
    check(place, "r.json", "--key", "new.pub", expect=0)
    monkeypatch.setenv("BLOCKDIFF_KEY_PASSPHRASE", "wrong")
    done = within("verify", "a", "same", "--receipt", "s.json", "--sign", "new", cwd=place, expect=2)
    assert "the passphrase is wrong" in done.stderr
    assert not done.stdout
    monkeypatch.delenv("BLOCKDIFF_KEY_PASSPHRASE")
    done = within("verify", "a", "same", "--receipt", "s.json", "--sign", "new", cwd=place, expect=2)
    assert "set BLOCKDIFF_KEY_PASSPHRASE" in done.stderr
    assert not (place / "s.json").exists()


def test_a_passphrase_is_asked_for_at_a_terminal(place, monkeypatch):
    monkeypatch.setenv("BLOCKDIFF_KEY_PASSPHRASE", "secret")
    within("receipt", "keygen", "--passphrase", "new", cwd=place, expect=0)
    monkeypatch.delenv("BLOCKDIFF_KEY_PASSPHRASE")
    child, terminal = pty.fork()
    if not child:
        os.chdir(place)
        os.execv(COMMAND[0], [*COMMAND, "verify", "-q", "a", "same", "--receipt", "r.json", "--sign", "new"])
    seen = os.read(terminal, 1000)
    while b"Passphrase" not in seen:
        seen += os.read(terminal, 1000)
    os.write(terminal, b"secret\n")
    while True:
        try:
            if not os.read(terminal, 1000):
                break
        except OSError:
            break
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert b"secret" not in seen
    check(place, "r.json", "--key", "new.pub", expect=0)


@pytest.mark.skipif(not DOCS.exists(), reason="docs/ is not here")
def test_the_page_does_what_it_says(place):
    """The commands of docs/receipts.md, in their order; openssl judges too. jq is played."""
    (place / "disk.img").write_bytes((place / "a").read_bytes())
    (place / "replica.img").write_bytes((place / "same").read_bytes())
    (place / "bin").mkdir()
    for name, text in {"blockdiff": f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n', "jq": JQ}.items():
        (place / "bin" / name).write_text(text)
        (place / "bin" / name).chmod(0o755)
    env = {**os.environ, "PATH": f"{place}/bin:{os.environ['PATH']}"}
    script = "".join(re.findall(r"^```sh\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL))
    done = subprocess.run(["sh", "-ec", script], cwd=place, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Signature Verified Successfully" in done.stdout
