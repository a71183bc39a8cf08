"""Protocol versions and ciphers, in Go's words, for gRPC's core: it takes them from the environment of the process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from blockdiff.errors import InvalidInput, UnsupportedOperation

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSIONS = ("VersionTLS12", "VersionTLS13")
CURVES = ("X25519", "CurveP256", "CurveP384", "CurveP521", "X25519MLKEM768")
VARIABLE = "GRPC_SSL_CIPHER_SUITES"
_TLS13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
_TLS12 = {
    f"TLS_ECDHE_{kind}_WITH_{theirs}": f"ECDHE-{kind}-{ours}"
    for kind in ("ECDSA", "RSA")
    for theirs, ours in (
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
        ("CHACHA20_POLY1305", "CHACHA20-POLY1305"),
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
    )
}
_NOBODY = "ECDHE-PSK-CHACHA20-POLY1305"  # nobody has a shared key, so that TLS 1.2 ends without a common cipher


def apply(minimum: str = "", ciphers: Sequence[str] = (), curves: Sequence[str] = ()) -> None:
    """Sets what this process accepts; to be called before its first TLS connection.

    The ciphers are those of TLS 1.2: like Go, TLS 1.3 has all of its own. Raises InvalidInput for names that are not
    known or not safe, UnsupportedOperation for curves: gRPC's core cannot be told.
    """
    if minimum and minimum not in VERSIONS:
        raise InvalidInput(f"tls-min-version {minimum!r} is not known: {' or '.join(VERSIONS)}")
    for curve in curves:
        if curve not in CURVES:
            raise InvalidInput(f"tls-curve-preferences: {curve!r} is not known: {', '.join(CURVES)}")
    if curves:
        raise UnsupportedOperation(
            "tls-curve-preferences cannot be set: gRPC's core chooses the curve; leave the option out"
        )
    chosen = [_cipher(name) for name in ciphers]
    if minimum == "VersionTLS13":
        os.environ[VARIABLE] = _NOBODY
    elif ciphers:
        os.environ[VARIABLE] = ":".join(dict.fromkeys(filter(None, chosen))) or _NOBODY


def _cipher(name: str) -> str:
    """OpenSSL's name, empty for those of TLS 1.3."""
    if name in _TLS13:
        return ""
    if name not in _TLS12:
        raise InvalidInput(
            f"tls-cipher-suites: {name!r} is not known or not safe; there are {', '.join([*_TLS13, *_TLS12])}"
        )
    return _TLS12[name]
