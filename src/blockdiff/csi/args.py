"""What the iterator is asked, and the checks of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from blockdiff.csi.errors import InvalidArgs

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdiff.csi.emitters import IteratorEmitter
    from blockdiff.errors import BlockdiffError

DEFAULT_TOKEN_EXPIRY_SECONDS = 600
K8S_SERVICE_ACCOUNT_USER_NAME_PREFIX = "system:serviceaccount:"

DEFAULT_TIMEOUT = 900.0  # seconds of one attempt of a stream; longer than the sidecar's ten minutes
DEFAULT_RETRIES = 5  # attempts in a row that bring nothing new
_INT32, _INT64 = 1 << 31, 1 << 63


@dataclass(slots=True)
class Clients:
    """Clients of the API server, as ``build_clients`` makes them. Each is a kubernetes.client.ApiClient, or one of
    that package's API objects, which has one.
    """

    kube_client: Any = None
    snapshot_client: Any = None
    sms_cr_client: Any = None


@dataclass(slots=True)
class Args:
    """The arguments of ``get_snapshot_metadata``: those of the original by their names, then ours.

    Without ``prev_snapshot_id`` and ``prev_snapshot_name`` the allocated blocks of the snapshot are asked for, else
    what changed since that one; the id is the snapshot's CSI handle and goes before the name. With ``max_results`` 0
    the server decides. Without ``sa_name`` and ``sa_namespace`` the token is that of the caller's service account.

    ``address`` (host:port), ``ca_cert`` (PEM) and ``audience`` go before what the SnapshotMetadataService says, which
    is not asked for when it is not needed; ``server_name`` is what the certificate must name if not the address's host.
    ``client_cert`` and ``client_key`` (PEM) are for servers without Kubernetes that know clients by certificates; then
    no token is needed, nor at an ``address`` that is a unix socket.
    ``token`` (text, or a function that gives it) goes before asking for one. ``timeout`` (seconds) bounds each attempt
    of the stream, ``api_timeout`` each request to the API server; ``retries`` is how many attempts in a row may bring
    nothing new before a broken stream is given up. ``prev_snapshot_namespace`` is where ``prev_snapshot_name`` is
    looked up, if not in ``namespace``. ``on_resume(error, offset, attempt)`` is told of each break, ``progress(offset,
    capacity)`` of each record.
    """

    clients: Clients = field(default_factory=Clients)
    emitter: IteratorEmitter | None = None
    namespace: str = ""
    snapshot_name: str = ""
    prev_snapshot_id: str = ""
    prev_snapshot_name: str = ""
    starting_offset: int = 0
    max_results: int = 0
    csi_driver: str = ""
    sa_namespace: str = ""
    sa_name: str = ""
    token_expiry_secs: int = 0

    address: str = ""
    ca_cert: bytes = b""
    audience: str = ""
    server_name: str = ""
    client_cert: bytes = b""
    client_key: bytes = b""
    token: str | Callable[[], str] = ""
    timeout: float = DEFAULT_TIMEOUT
    api_timeout: float = 30.0
    retries: int = DEFAULT_RETRIES
    prev_snapshot_namespace: str = ""
    on_resume: Callable[[BlockdiffError, int, int], object] | None = None
    progress: Callable[[int, int], object] | None = None

    @property
    def needs_service(self) -> bool:
        """True when something must be read from the SnapshotMetadataService."""
        known = self.address and self.ca_cert and (self.audience or not self.needs_token)
        return not (known or self._is_local)

    @property
    def needs_token(self) -> bool:
        """True when the API server must be asked for a token."""
        return not (self.token or self.client_cert or self._is_local)

    @property
    def needs_handle(self) -> bool:
        """True when the previous snapshot is known by its name only."""
        return bool(self.prev_snapshot_name and not self.prev_snapshot_id)

    @property
    def needs_cluster(self) -> bool:
        """True when the API server is asked for anything."""
        return self.needs_token or self.needs_service or self.needs_handle

    @property
    def _is_local(self) -> bool:
        return self.address.startswith(("unix:", "/"))

    def check(self) -> None:
        """Raises InvalidArgs for the first thing that is wrong, in the original's order; ours come last."""
        for wrong, what in (*self._checks(), *self._client_checks(), *self._own_checks()):
            if wrong:
                raise InvalidArgs(what)

    def check_records(self) -> None:
        """As ``check``, where there is no emitter."""
        for wrong, what in (*self._checks()[1:], *self._client_checks(), *self._own_checks()):
            if wrong:
                raise InvalidArgs(what)

    def _checks(self) -> tuple[tuple[bool, str], ...]:
        return (
            (self.emitter is None, "missing Emitter"),
            (not self.namespace, "missing Namespace"),
            (not self.snapshot_name, "missing SnapshotName"),
            (not 0 <= self.token_expiry_secs < _INT64, "invalid TokenExpirySecs"),
            (not 0 <= self.max_results < _INT32, "invalid MaxResults"),
            (bool(self.sa_name and not self.sa_namespace), "SAName provided but SANamespace missing"),
            (bool(self.sa_namespace and not self.sa_name), "SANamespace provided but SAName missing"),
        )

    def _client_checks(self) -> tuple[tuple[bool, str], ...]:
        clients, driver = self.clients, self.needs_service and not self.csi_driver
        return (
            (clients.kube_client is None and self.needs_token, "missing KubeClient"),
            (clients.snapshot_client is None and (driver or self.needs_handle), "missing SnapshotClient"),
            (clients.sms_cr_client is None and self.needs_service, "missing SmsCRClient"),
        )

    def _own_checks(self) -> tuple[tuple[bool, str], ...]:
        offset = self.starting_offset
        return (
            (offset < 0, f"StartingOffset must not be negative, and is {offset}"),
            (offset >= _INT64, f"StartingOffset {offset} is beyond any volume"),
            (not self.timeout > 0, "the timeout must be more than 0 seconds"),
            (not self.api_timeout > 0, "the timeout of the API server must be more than 0 seconds"),
            (self.retries < 0, "the number of retries must not be negative"),
        )
