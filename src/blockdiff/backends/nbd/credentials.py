"""Certificates and keys for TLS, found where libnbd and QEMU look for them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from blockdiff.backends.nbd.address import NbdAddress

SYSTEM = "/etc/pki/libnbd"
_OWN = ("~/.pki/libnbd", "~/.config/pki/libnbd")


class Credentials(NamedTuple):
    """Files of an authority and a client certificate (empty: the system's, none), or a user and his key."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    user: str = ""
    psk: bytes = b""


def credentials(address: NbdAddress) -> Credentials:
    """What the URL names, else the directories of libnbd, else the system's authorities. Raises InvalidInput."""
    if address.psk_file:
        user, secret = _key(address.psk_file, address.username)
        return Credentials(user=user, psk=secret)
    places = [SYSTEM] if os.geteuid() == 0 else [os.path.expanduser(place) for place in _OWN]
    if address.certificates:
        places = [address.certificates]
    place = next((place for place in places if os.path.isdir(place)), "")
    if address.certificates and not place:
        raise InvalidInput(f"there is no directory {address.certificates} (tls-certificates=)")
    if not place:
        return Credentials()
    ca, cert, key = (os.path.join(place, name) for name in ("ca-cert.pem", "client-cert.pem", "client-key.pem"))
    if not os.path.isfile(ca):
        raise InvalidInput(f"there is no {ca}: the certificate of the authority that the server's is of")
    if os.path.isfile(cert) != os.path.isfile(key):
        raise InvalidInput(f"{place} has only one of client-cert.pem and client-key.pem")
    return Credentials(ca, cert, key) if os.path.isfile(cert) else Credentials(ca)


def _key(path: str, user: str) -> tuple[str, bytes]:
    """A line of a file of keys, ``USER:HEX`` (as psktool writes it): the one of the user, or the only one."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip() for line in file.read(1 << 20).splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        why = os.strerror(error.errno or 0) if isinstance(error, OSError) else "it is no text"
        raise InvalidInput(f"cannot read the keys in {path}: {why}") from error
    keys = dict(line.rsplit(":", 1) for line in lines if ":" in line and not line.startswith("#"))
    if not user and len(keys) == 1:
        user = next(iter(keys))
    if user not in keys:
        raise InvalidInput(f"{path} has {'no key of ' + repr(user) if user else 'keys of several users: name one'}")
    try:
        key = bytes.fromhex(keys[user])
    except ValueError as error:
        raise InvalidInput(f"the key of {user!r} in {path} is not hexadecimal") from error
    if not key:
        raise InvalidInput(f"the key of {user!r} in {path} is empty")
    return user, key
