"""Ed25519 keys in files: PEM (PKCS #8 and SubjectPublicKeyInfo) and OpenSSH's own forms."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from blockdiff.errors import BackendUnavailable, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_MAX_BYTES = 1 << 20
_OPENSSH = b"-----BEGIN OPENSSH PRIVATE KEY-----"


class PublicKey:
    """A key that checks signatures. ``raw`` is its 32 bytes, ``name`` the file that it is from.

    ``key_id`` is the SHA-256 of its SubjectPublicKeyInfo in DER, in hexadecimal.
    """

    def __init__(self, key: Ed25519PublicKey, name: str) -> None:
        from hashlib import sha256

        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._key, self.name = key, name
        self.raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key_id = sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    def made(self, sig: bytes, data: bytes) -> bool:
        """Whether this key signed these bytes so."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(sig, data)
        except InvalidSignature:
            return False
        return True

    def pem(self) -> bytes:
        """The key as openssl writes it."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class PrivateKey:
    """A key that signs."""

    def __init__(self, key: Ed25519PrivateKey, name: str) -> None:
        self._key = key
        self.public = PublicKey(key.public_key(), name)

    @classmethod
    def generate(cls, name: str) -> PrivateKey:
        """A new key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(Ed25519PrivateKey.generate(), name)

    def sign(self, data: bytes) -> bytes:
        """The signature: 64 bytes."""
        return self._key.sign(data)

    def pem(self, passphrase: str = "") -> bytes:
        """The key in PKCS #8, encrypted where there is a passphrase."""
        from cryptography.hazmat.primitives import serialization as form

        hidden = form.BestAvailableEncryption(passphrase.encode()) if passphrase else form.NoEncryption()
        return self._key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, hidden)


def load_private(path: str, ask: Callable[[], str]) -> PrivateKey:
    """The private key in a file; ``ask`` gives the passphrase of one that is encrypted.

    Raises InvalidInput; BackendUnavailable for an encrypted OpenSSH key where bcrypt is not installed.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    data = _read(path)
    if b"PRIVATE KEY-----" not in data:
        public = b"PUBLIC KEY-----" in data or data.startswith(b"ssh-")
        what = "a public key: the private one signs" if public else "no private key in PEM or OpenSSH form"
        raise InvalidInput(f"{path} is {what}")
    key = _opened(data, path, ask)
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(f"{path} is no Ed25519 key: make one by blockdiff receipt keygen")
    return PrivateKey(key, path)


def load_public(path: str) -> PublicKey:
    """The public key in a file. Raises InvalidInput."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key, load_ssh_public_key

    data = _read(path)
    if b"PRIVATE KEY-----" in data:
        raise InvalidInput(f"{path} is a private key: name the public one (openssl pkey -in {path} -pubout)")
    try:
        key: object = load_ssh_public_key(data) if data.startswith(b"ssh-") else load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput(f"{path} is no public key in PEM or OpenSSH form") from None
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidInput(f"{path} is no Ed25519 key, and receipts are signed by no others")
    return PublicKey(key, path)


def readable_by_others(path: str) -> bool:
    """Whether somebody but the owner may read the file."""
    try:
        return bool(os.stat(path).st_mode & 0o077)
    except OSError:
        return False


def _opened(data: bytes, path: str, ask: Callable[[], str]) -> object:
    """The key, decrypted where it is encrypted."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    load: Any = load_ssh_private_key if _OPENSSH in data else load_pem_private_key
    key = _tried(load, data, None, path)
    if key is not None:
        return key
    passphrase = ask()
    if not passphrase:
        raise InvalidInput(f"{path} is encrypted, and the passphrase is empty")
    key = _tried(load, data, passphrase.encode(), path)
    if key is None:
        raise InvalidInput(f"{path} cannot be decrypted: the passphrase is wrong")
    return key


def _tried(load: Any, data: bytes, passphrase: bytes | None, path: str) -> object:
    """The key; None where it wants a passphrase, or another one."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load(data, passphrase)
    except TypeError:  # encrypted, and there is no passphrase
        return None
    except UnsupportedAlgorithm as error:
        if "bcrypt" in str(error):
            raise BackendUnavailable(
                f"{path} is an encrypted OpenSSH key, which needs bcrypt",
                hint=f"pip install bcrypt, or make it PEM: ssh-keygen -p -m PKCS8 -f {path}",
            ) from None
        raise InvalidInput(f"{path} is a key of a kind that is not known") from None
    except ValueError as error:
        if passphrase is not None:
            return None
        if "encrypted" in str(error).lower() and "password" in str(error).lower():
            return None
        raise InvalidInput(f"{path} is malformed: no key can be read from it") from None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"cannot read the key in {path}: {os.strerror(error.errno or 0)}") from error
    if len(data) > _MAX_BYTES:
        raise InvalidInput(f"{path} is too large for a key")
    return data
