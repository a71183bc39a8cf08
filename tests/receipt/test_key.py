"""Keys of openssl and ssh-keygen are read, and what they sign is what openssl finds signed."""

import hashlib
import subprocess

import pytest

from blockdiff.errors import InvalidInput, UnsupportedOperation
from blockdiff.receipt.key import PrivateKey, load_private, load_public, readable_by_others
from tests.fixtures.receipts import openssl, openssl_key, openssl_verifies


def never():
    raise AssertionError("no passphrase is needed")


def ssh_key(tmp_path, passphrase="", kind="ed25519"):
    path = tmp_path / "ssh"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "a b", "-f", path], check=True)
    return path, tmp_path / "ssh.pub"


def test_a_key_of_openssl_signs(tmp_path):
    private, public = openssl_key(tmp_path)
    key = load_private(str(private), never)
    assert openssl_verifies(public, key.sign(b"data"), b"data", tmp_path)
    assert load_public(str(public)).made(key.sign(b"data"), b"data")


def test_a_key_of_ours_is_one_of_openssl(tmp_path):
    key = PrivateKey.generate("x")
    (tmp_path / "key").write_bytes(key.pem())
    assert openssl("pkey", "-in", tmp_path / "key", "-pubout").stdout == key.public.pem()


def test_the_id_is_the_digest_of_the_public_key(tmp_path):
    private, public = openssl_key(tmp_path)
    der = openssl("pkey", "-pubin", "-in", public, "-outform", "DER").stdout
    assert load_public(str(public)).key_id == hashlib.sha256(der).hexdigest()
    assert load_private(str(private), never).public.key_id == hashlib.sha256(der).hexdigest()


def test_an_encrypted_key(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(PrivateKey.generate("x").pem("secret"))
    assert openssl("pkey", "-in", path, "-passin", "pass:secret", "-noout").returncode == 0
    assert load_private(str(path), lambda: "secret").sign(b"")
    with pytest.raises(InvalidInput, match="the passphrase is wrong"):
        load_private(str(path), lambda: "other")
    with pytest.raises(InvalidInput, match="passphrase is empty"):
        load_private(str(path), lambda: "")


def test_keys_of_ssh(tmp_path):
    if not subprocess.run(["which", "ssh-keygen"], capture_output=True, check=False).stdout:
        pytest.skip("needs ssh-keygen: apt-get install openssh-client")
    private, public = ssh_key(tmp_path)
    key = load_private(str(private), never)
    assert load_public(str(public)).made(key.sign(b"x"), b"x")


OPENSSH = """-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABBKH96ujW
umB6/WnTNPjTeaAAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN
796jTiQfZfG1KaT0PtFDJ/XFSqtiAAAAoFzvbvyFMhAiwBOXF0mhUUacPUCMZXivG2up2c
hEnAw1b6BLRPyWbY5cC2n9ggD4ivJ1zSts6sBgjyiXQAReyrP35myYvT/OIB/NpwZM/xIJ
N7MHSUzlkX4adBrga3f7GS4uv4ChOoxC4XsE5HsxtGsq1X8jzqLlZTmOcxkcEneYQexrUc
bQP0o+gL5aKK8cQgiIlXeDbRjqhc4+h4EF6lY=
-----END OPENSSH PRIVATE KEY-----
"""


def test_an_encrypted_key_of_ssh_is_read_or_says_what_it_needs(tmp_path):
    path = tmp_path / "key"
    path.write_text(OPENSSH)
    try:
        import bcrypt  # noqa: F401
    except ImportError:
        with pytest.raises(UnsupportedOperation, match="needs bcrypt; pip install bcrypt, or make it PEM"):
            load_private(str(path), lambda: "hunter42")
    else:
        assert load_private(str(path), lambda: "hunter42").sign(b"")


def test_other_kinds_of_keys(tmp_path):
    private, public = tmp_path / "rsa", tmp_path / "rsa.pub"
    openssl("genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:1024", "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    with pytest.raises(InvalidInput, match="no Ed25519 key"):
        load_private(str(private), never)
    with pytest.raises(InvalidInput, match="no Ed25519 key"):
        load_public(str(public))


def test_private_and_public_are_not_taken_for_each_other(tmp_path):
    private, public = openssl_key(tmp_path)
    with pytest.raises(InvalidInput, match="is a public key: the private one signs"):
        load_private(str(public), never)
    with pytest.raises(InvalidInput, match="is a private key: name the public one"):
        load_public(str(private))


FORGED = {
    "empty": b"",
    "words": b"hello",
    "pem": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    "public": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    "ssh": b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    "ssh public": b"ssh-ed25519 AAAA x",
    "binary": bytes(range(256)),
    "huge": b"-----BEGIN PRIVATE KEY-----" * 50000,
}


@pytest.mark.parametrize("name", FORGED)
def test_what_is_no_key(name, tmp_path):
    (tmp_path / "key").write_bytes(FORGED[name])
    for load in (lambda path: load_private(path, never), load_public):
        with pytest.raises(InvalidInput):
            load(str(tmp_path / "key"))


def test_a_missing_key(tmp_path):
    with pytest.raises(InvalidInput, match="No such file"):
        load_public(str(tmp_path / "none"))


@pytest.mark.parametrize(("mode", "open_"), [(0o600, False), (0o400, False), (0o640, True), (0o644, True)])
def test_who_can_read_it(mode, open_, tmp_path):
    (tmp_path / "key").touch(mode)
    (tmp_path / "key").chmod(mode)
    assert readable_by_others(str(tmp_path / "key")) is open_
