"""Why a TLS connection cannot be made, in words: gRPC only says that the handshake failed.

The same handshake is tried once more by Python's ssl module, whose errors are exact.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
from typing import NamedTuple

FIRST_WORDS = 1.0  # seconds that a server is given to say something after the handshake
PARTIAL_CHAIN = 0x80000  # X509_V_FLAG_PARTIAL_CHAIN: a trusted intermediate ends the chain, as in gRPC and in Go

# X509_V_ERR_* that OpenSSL's users meet, and what to do about them
_CAUSES = {
    9: "the server's certificate is not yet valid ({found}): check the clocks of both machines",
    10: "the server's certificate has expired ({found}): the server needs a new one",
}
_OTHER_NAME = (
    "the server's certificate is not for {name!r} but for {names}: use one of these, or give it as server-name"
)
_OTHER_CA = "the server's certificate was not issued by the CA that was given ({found}): give the CA of this server"
_CLIENT = "it wants a client certificate that it knows: give one, with its key"
_NO_CLIENT = f"the server does not let us in: {_CLIENT}"
_WRONG_NAME = (62, 64)
_DIGITS = 18  # more are no port, and Python does not like to read thousands
_CONNECTION = re.compile(
    r"failed to connect|all backends failing|handshak|dns |resolv|resolution|address list|socket closed|recvmsg"
    r"|transport|connection (reset|refused|closed)|endpoint",
    re.IGNORECASE,
)


class Finding(NamedTuple):
    """What is wrong and what to do; ``permanent`` where trying again cannot help."""

    text: str
    permanent: bool


def is_of_connection(details: str) -> bool:
    """True where gRPC's text is about a connection, not about what a service said."""
    return bool(_CONNECTION.search(details))


def explain(address: str, ca: bytes, server_name: str = "", *, timeout: float = 5.0) -> str:
    """What is wrong with the way to ``address`` (HOST:PORT), or "" where a handshake succeeds.

    ``timeout`` is in seconds, for each step.
    """
    found = diagnose(address, ca, server_name, timeout=timeout)
    return found.text if found else ""


def diagnose(address: str, ca: bytes, server_name: str = "", *, timeout: float = 5.0) -> Finding | None:
    """As ``explain``; None where all is well."""
    host, port = split(address)
    try:
        with socket.create_connection((host, port), timeout) as plain:
            return _handshake(plain, ca, server_name or host)
    except socket.gaierror as error:
        known = "cluster names are known inside the cluster only, elsewhere give an address that can be reached"
        return Finding(f"the name {host!r} cannot be resolved ({error.strerror}): {known}", permanent=False)
    except TimeoutError:
        return Finding(f"{address} does not answer within {timeout:g} seconds: is it the right port?", permanent=False)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        return Finding(f"{address} cannot be reached: {why}", permanent=False)
    except OverflowError:
        return Finding(f"{address} is no HOST:PORT: there is no port {port}", permanent=True)
    except ValueError:  # a label that is empty or too long, NUL, what is no text
        return Finding(f"{address!r} is no HOST:PORT: no host can have this name", permanent=True)


def split(address: str) -> tuple[str, int]:
    """Host and port of ``host:port``, ``[v6]:port``, or with gRPC's ``dns:///`` in front; without a port 443."""
    text = address.rsplit("/", 1)[-1]
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or len(port) > _DIGITS:
        host, port = text, "443"
    return host.removeprefix("[").removesuffix("]"), int(port)


def _handshake(plain: socket.socket, ca: bytes, name: str) -> Finding | None:
    peer = plain.getpeername()[:2]
    try:
        with _context(ca).wrap_socket(plain, server_hostname=name) as secure:
            if secure.selected_alpn_protocol() == "h2":
                return _first_words(secure)
            text = "the server speaks TLS but not HTTP/2, which gRPC needs: is it the right port?"
    except ssl.SSLCertVerificationError as error:
        text = _certificate(error, peer, ca, name)
    except ssl.SSLError as error:
        if "ALERT_CERTIFICATE" in (error.reason or ""):
            return Finding(_NO_CLIENT, permanent=True)
        text = f"the TLS handshake failed: {(error.reason or str(error)).replace('_', ' ').lower()}"
        if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
            text = "the server does not speak TLS on this port"
        elif isinstance(error, ssl.SSLEOFError):  # or it is going down just now
            return Finding(f"{text}: does it speak TLS on this port?", permanent=False)
    except (ConnectionResetError, BrokenPipeError):
        text = "the server closed the connection during the TLS handshake: does it speak TLS on this port?"
        return Finding(text, permanent=False)
    return Finding(text, permanent=True)


def _first_words(secure: ssl.SSLSocket) -> Finding | None:
    """With TLS 1.3 a server says after the handshake that it wants a certificate."""
    secure.settimeout(FIRST_WORDS)
    try:
        if secure.recv(1):
            return None
    except TimeoutError:
        return None
    except ssl.SSLError as error:
        if "CERTIFICATE" in (error.reason or ""):
            return Finding(_NO_CLIENT, permanent=True)
    except OSError:
        pass
    return Finding(f"the server closed the connection after the TLS handshake: perhaps {_CLIENT}", permanent=False)


def _certificate(error: ssl.SSLCertVerificationError, peer: tuple[str, int], ca: bytes, name: str) -> str:
    if error.verify_code in _WRONG_NAME:
        return _OTHER_NAME.format(name=name, names=_names(peer, ca) or f"another ({error.verify_message})")
    return _CAUSES.get(error.verify_code, _OTHER_CA).format(found=error.verify_message)


def _names(peer: tuple[str, int], ca: bytes) -> str:
    """What the certificate is for: asked again, without a look at the name."""
    context = _context(ca)
    context.check_hostname = False
    with (
        contextlib.suppress(OSError),
        socket.create_connection(peer, 5.0) as plain,
        context.wrap_socket(plain) as secure,
    ):
        named = (secure.getpeercert() or {}).get("subjectAltName", ())
        return ", ".join(repr(pair[1]) for pair in named if len(pair) == 2)
    return ""


def _context(ca: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with contextlib.suppress(ValueError):
        context.verify_flags |= PARTIAL_CHAIN
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(cadata=ca.decode("ascii"))
    return context
