"""CA certificates as PEM text: what of it can be used, and what is wrong with the rest."""

from __future__ import annotations

import re
import ssl

from blockdiff.csi.errors import CACertError, InvalidArgs

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def roots(pem: bytes, what: str = "") -> bytes:
    """The certificates of a bundle that can be read; CACertError if there are none, and says why.

    ``what`` is for a certificate that is not the service's CA: then InvalidArgs.
    """
    found, reason = [], ""
    for block in _BLOCK.findall(pem):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=block.decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            text = getattr(error, "reason", None) or str(error)
            reason = f"a certificate in it is damaged ({text.replace('_', ' ').lower()})"
        else:
            found.append(block)
    if not found:
        reason = reason or _what_it_is(pem)
        raise InvalidArgs(f"{what} cannot be used: {reason}") if what else CACertError(reason)
    return b"\n".join(found) + b"\n"


def _what_it_is(pem: bytes) -> str:
    """Why there is no certificate in it."""
    if not pem.strip():
        return "it is empty"
    if b"-----BEGIN CERTIFICATE" in pem:
        return "its certificate has no end: -----END CERTIFICATE----- is missing"
    if b"-----BEGIN" in pem:
        kind = pem.partition(b"-----BEGIN ")[2].partition(b"-----")[0].decode("ascii", "replace")
        return f"it holds a {kind}, and no certificate"
    if pem[:1] == b"\x30":
        return "it is DER: convert it to PEM with openssl x509 -inform der"
    return "it is no PEM text: -----BEGIN CERTIFICATE----- is missing"
