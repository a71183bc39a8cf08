"""Health and metrics over HTTP."""

from __future__ import annotations

import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any

from blockdiff.csi.server.address import Address, parse
from blockdiff.errors import DeviceBusy, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    Pages = dict[str, Callable[[], tuple[int, str, bytes]]]

PATIENCE = 5.0  # seconds for a client to say what it wants
MOST = 512  # connections at once; more are closed


class HttpEndpoint:
    """Serves ``/health`` (200 "ok" or 503 "not ready"), and ``metrics`` at its path if there are any."""

    def __init__(
        self, address: str, *, ready: Callable[[], bool], metrics: Callable[[], bytes] | None, path: str = "/metrics"
    ) -> None:
        self._where = parse(address)
        if self._where.path:
            raise InvalidInput(f"the HTTP endpoint {address} is no HOST:PORT")
        pages: Pages = {"/health": lambda: _plain(200, "ok") if ready() else _plain(503, "not ready")}
        if metrics is not None:
            if not path.startswith("/") or path == "/health":
                raise InvalidInput(f"{path!r} is no path for metrics: it begins with a slash, and is not /health")
            pages[path] = lambda: (200, "text/plain; version=0.0.4; charset=utf-8", metrics())
        try:
            self._server = _Server(self._where, pages)
        except OSError as error:
            raise DeviceBusy(f"cannot listen on {self._where.target}: {error.strerror or error}") from None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="http", daemon=True)

    @property
    def address(self) -> str:
        """HOST:PORT, with the real port."""
        return self._where._replace(port=self._server.server_address[1]).target

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def close(self) -> None:
        """Ends."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


def _plain(status: int, text: str) -> tuple[int, str, bytes]:
    return status, "text/plain; charset=utf-8", text.encode()


def _six() -> bool:
    """False on a machine without IPv6."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, where: Address, pages: Pages) -> None:
        if where.host == "::" and not _six():
            where = where._replace(host="0.0.0.0")  # noqa: S104 - every interface is what was asked for
        self.address_family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
        self.pages = pages
        self._free = threading.BoundedSemaphore(MOST)
        super().__init__((where.host, where.port), _Handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            with contextlib.suppress(OSError):
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        TCPServer.server_bind(self)  # HTTPServer's own asks the name service who we are, and waits for it

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE
    server_version, sys_version = "blockdiff", ""

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.split("?")[0])
        status, kind, body = page() if page else _plain(404, "not found")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - as above

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name for it
        """Probes come every few seconds."""
