"""The server's certificate: read, checked, and read again when its files change."""

from __future__ import annotations

import logging
import os
import ssl
import threading
import time
from typing import Any, NamedTuple

from blockdiff.errors import InvalidInput

_log = logging.getLogger("blockdiff.csi.tls")


class Pem(NamedTuple):
    """The content of the files."""

    cert: bytes
    key: bytes
    client_ca: bytes | None


class ServerTls:
    """A certificate chain and its key, PEM, from files that may be replaced while the server runs.

    With ``client_ca`` only clients with a certificate of that authority are let in. Each new connection looks at the
    files; a pair that does not fit together is not taken: the one before it stays, and the log says so. Raises
    InvalidInput if the first one is not usable.
    """

    def __init__(self, cert: str, key: str, client_ca: str | None = None) -> None:
        self._paths = (cert, key, client_ca)
        self._lock = threading.Lock()
        self._seen = self._stamp()
        self._pem = self._read()

    @property
    def pem(self) -> Pem:
        """What is being served."""
        return self._pem

    def credentials(self) -> Any:
        """For ``grpc.Server.add_secure_port``."""
        import grpc

        return grpc.dynamic_ssl_server_credentials(
            self._configuration(), self._fetch, require_client_authentication=self._paths[2] is not None
        )

    def changed(self) -> bool:
        """Reads the files again if they changed; True if a new certificate is served from now on."""
        with self._lock:
            stamp = self._stamp()
            if stamp == self._seen:
                return False
            self._seen = stamp
            try:
                pem = self._read()
            except InvalidInput as error:
                _log.error("the certificate stays as it was: %s", error)
                return False
            fresh, self._pem = pem != self._pem, pem
        if fresh:
            _log.info("serving a new certificate from %s", self._paths[0])
        return fresh

    def _fetch(self) -> Any:
        """None leaves the configuration as it is. Nothing may be raised into the core."""
        try:
            return self._configuration() if self.changed() else None
        except Exception as error:  # noqa: BLE001 - the core cannot take it
            _log.error("the certificate stays as it was: %s", error)
            return None

    def _configuration(self) -> Any:
        import grpc

        pem = self._pem
        return grpc.ssl_server_certificate_configuration([(pem.key, pem.cert)], root_certificates=pem.client_ca)

    def _stamp(self) -> tuple[Any, ...]:
        stamps: list[tuple[int, ...] | None] = []
        for path in self._paths:
            try:
                found = os.stat(path) if path else None
            except OSError:
                found = None
            stamps.append(found and (found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev))
        return tuple(stamps)

    def _read(self) -> Pem:
        cert_path, key_path, ca_path = self._paths
        pem = Pem(_content(cert_path), _content(key_path), _content(ca_path) if ca_path else None)
        check_pair(pem.cert, pem.key, cert_path, key_path)
        if pem.client_ca is not None:
            check_authorities(pem.client_ca, str(ca_path))
        for warning in warnings_about(pem.cert):
            _log.warning("%s: %s", cert_path, warning)
        return pem


def check_pair(cert: bytes, key: bytes, cert_path: str, key_path: str) -> None:
    """Raises InvalidInput if these are no certificate and its key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with _Memory(cert) as cert_file, _Memory(key) as key_file:
        try:
            context.load_cert_chain(cert_file, key_file, password=lambda: b"")
        except (ssl.SSLError, ValueError, OSError) as error:
            reason = getattr(error, "reason", None) or str(error)
            what = "belongs to another certificate" if reason == "KEY_VALUES_MISMATCH" else f"do not load: {reason}"
            raise InvalidInput(f"TLS certificate {cert_path} and key {key_path}: {what}") from None


def check_authorities(pem: bytes, path: str) -> None:
    """Raises InvalidInput if there is no certificate in it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise InvalidInput(f"client CA {path}: {getattr(error, 'reason', None) or error}") from None
    if not context.cert_store_stats()["x509"]:
        raise InvalidInput(f"client CA {path}: there is no certificate in it")


def warnings_about(cert: bytes) -> list[str]:
    """What clients will refuse about a certificate: its time, or names that are not there."""
    decode = getattr(getattr(ssl, "_ssl", None), "_test_decode_cert", None)
    if decode is None:
        return []
    with _Memory(cert) as path:
        try:
            facts = decode(path)
        except (ssl.SSLError, ValueError, OSError):
            return []
    now, found = time.time(), []
    if ssl.cert_time_to_seconds(facts["notAfter"]) < now:
        found.append(f"the certificate expired on {facts['notAfter']}: clients will refuse it")
    if ssl.cert_time_to_seconds(facts["notBefore"]) > now:
        found.append(f"the certificate is not valid before {facts['notBefore']}: clients will refuse it")
    if not facts.get("subjectAltName"):
        found.append("the certificate has no subjectAltName: most clients will refuse it")
    return found


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror or error}") from None


class _Memory:
    """Bytes under a path, for functions that take nothing else; what was read is what is checked."""

    def __init__(self, content: bytes) -> None:
        self._fd = os.memfd_create("pem")
        os.write(self._fd, content)

    def __enter__(self) -> str:
        return f"/proc/self/fd/{self._fd}"

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
