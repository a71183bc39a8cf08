"""Why a TLS connection cannot be made, in words: gRPC only says that the handshake failed.

The same handshake is tried once more by Python's ssl module, whose errors are exact.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl

from blockdiff.csi.errors import CACertError

PARTIAL_CHAIN = 0x80000  # X509_V_FLAG_PARTIAL_CHAIN: a trusted intermediate ends the chain, as in gRPC and in Go

# X509_V_ERR_* that OpenSSL's users meet, and what to do about them
_CAUSES = {
    9: "the server's certificate is not yet valid ({found}): check the clocks of both machines",
    10: "the server's certificate has expired ({found}): the server needs a new one",
    62: "the server's certificate is not for {name!r} ({found}): use an address that it names, or give the name it has",
    64: "the server's certificate is not for {name!r} ({found}): use an address that it names, or give the name it has",
}
_OTHER_CA = "the server's certificate was not issued by the CA that was given ({found}): give the CA of this server"


def check_ca(pem: bytes) -> None:
    """Raises CACertError for what holds no certificate that can be read."""
    try:
        _context(pem)
    except ssl.SSLError as error:
        raise CACertError(_reason(error)) from error
    except ValueError as error:
        raise CACertError("it is no PEM text" if pem else "it is empty") from error


def explain(address: str, ca: bytes, server_name: str = "", *, timeout: float = 5.0) -> str:
    """What is wrong with the way to ``address`` (HOST:PORT), or "" where a handshake succeeds.

    ``timeout`` is in seconds, for each step.
    """
    host, port = split(address)
    name = server_name or host
    try:
        with socket.create_connection((host, port), timeout) as plain:
            return _handshake(plain, ca, name)
    except socket.gaierror as error:
        return (
            f"the name {host!r} cannot be resolved ({error.strerror}): cluster names are known inside the cluster only"
        )
    except TimeoutError:
        return f"{address} does not answer within {timeout:g} seconds"
    except OSError as error:
        return f"{address} cannot be reached: {os.strerror(error.errno) if error.errno else error}"


def split(address: str) -> tuple[str, int]:
    """Host and port of ``host:port``, ``[v6]:port``, or with gRPC's ``dns:///`` in front; without a port 443."""
    text = address.rsplit("/", 1)[-1]
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        host, port = text, "443"
    return host.removeprefix("[").removesuffix("]"), int(port)


def _handshake(plain: socket.socket, ca: bytes, name: str) -> str:
    try:
        with _context(ca).wrap_socket(plain, server_hostname=name) as secure:
            spoken = secure.selected_alpn_protocol()
            return (
                ""
                if spoken == "h2"
                else "the server speaks TLS but not HTTP/2, which gRPC needs: is it the right port?"
            )
    except ssl.SSLCertVerificationError as error:
        return _CAUSES.get(error.verify_code, _OTHER_CA).format(name=name, found=error.verify_message)
    except ssl.SSLError as error:
        if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
            return "the server does not speak TLS on this port"
        return f"the TLS handshake failed: {_reason(error)}"
    except (ConnectionResetError, BrokenPipeError):
        return "the server closed the connection during the TLS handshake: does it speak TLS on this port?"


def _context(ca: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with contextlib.suppress(ValueError):
        context.verify_flags |= PARTIAL_CHAIN
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(cadata=ca.decode("ascii"))
    return context


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
