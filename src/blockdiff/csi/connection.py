"""Connections to SnapshotMetadata services; no Kubernetes is needed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.csi.args import DEFAULT_RETRIES, DEFAULT_TIMEOUT
from blockdiff.csi.channel import Place, stream
from blockdiff.csi.errors import ApiError, InvalidArgs, StatusError
from blockdiff.csi.resume import ResumingStream
from blockdiff.csi.tokens import FixedToken, make_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from blockdiff.csi.rpc import Method
    from blockdiff.csi.tokens import Tokens
    from blockdiff.errors import BlockdiffError
    from blockdiff.record import Record


class _Connection:
    """What both sides have in common: attempts, made into streams that outlive them."""

    def __init__(
        self,
        place: Place,
        tokens: Tokens,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        retries: int = DEFAULT_RETRIES,
        on_resume: Callable[[BlockdiffError, int, int], object] | None = None,
        check: Callable[[], object] | None = None,
    ) -> None:
        self._check = check
        self._place, self._tokens = place, tokens
        self._timeout, self._retries, self._on_resume = timeout, retries, on_resume

    def _stream(self, method: Method, call: str, request: Callable[[str, int], Any], start: int) -> ResumingStream:
        if start < 0:
            raise InvalidArgs(f"StartingOffset must not be negative, and is {start}")

        begun = False

        def attempt(offset: int) -> Generator[Record]:
            nonlocal begun
            try:
                if begun and self._check is not None:
                    self._check()
                begun, token = True, self._tokens.get()
            except ApiError as error:
                if not error.retryable:
                    raise
                raise StatusError("UNAVAILABLE", str(error)) from None
            try:
                message = request(token, offset)
            except (ValueError, TypeError):  # its text would show the token
                raise InvalidArgs("a name, a handle or the token is no text, or a number is too large") from None
            yield from stream(self._place, method, message, self._timeout)

        return ResumingStream(
            attempt,
            call=call,
            start=start,
            retries=self._retries,
            renew=self._tokens.renew,
            explain=self._place.diagnose,
            on_resume=self._on_resume,
        )


class SnapshotMetadata(_Connection):
    """The Kubernetes side of changed block tracking at an address.

    ``ca_cert`` (PEM) is the only CA trusted, ``server_name`` what the certificate must name if not the address's host;
    ``token`` is a text, a function, or Tokens; ``client_cert`` and ``client_key`` (PEM) are for servers that know
    clients by certificates. ``timeout`` (seconds) bounds each attempt. See ResumingStream for ``retries`` and
    ``on_resume``; ``check`` is called before a broken stream is taken up again, and may raise. Raises CACertError,
    InvalidArgs.
    """

    def __init__(
        self,
        address: str,
        *,
        ca_cert: bytes = b"",
        token: str | Callable[[], str] | Tokens = "",
        server_name: str = "",
        client_cert: bytes = b"",
        client_key: bytes = b"",
        **options: Any,
    ) -> None:
        tokens = make_tokens(token) if isinstance(token, str) or callable(token) else token
        super().__init__(Place(address, ca_cert, server_name, client_cert, client_key), tokens, **options)

    def allocated(self, namespace: str, snapshot: str, *, start: int = 0, limit: int = 0) -> ResumingStream:
        """The ranges of a snapshot that hold data, from ``start`` (bytes), at most ``limit`` a message (0: any)."""
        from blockdiff.csi import rpc

        def request(token: str, offset: int) -> Any:
            return rpc.KUBE_ALLOCATED.request(
                security_token=token,
                namespace=namespace,
                snapshot_name=snapshot,
                starting_offset=offset,
                max_results=limit,
            )

        return self._stream(rpc.KUBE_ALLOCATED, f"GetMetadataAllocated({namespace},{snapshot})", request, start)

    def delta(self, namespace: str, base_id: str, snapshot: str, *, start: int = 0, limit: int = 0) -> ResumingStream:
        """The ranges of a snapshot that changed since another one, known by its CSI handle."""
        from blockdiff.csi import rpc

        def request(token: str, offset: int) -> Any:
            return rpc.KUBE_DELTA.request(
                security_token=token,
                namespace=namespace,
                base_snapshot_id=base_id,
                target_snapshot_name=snapshot,
                starting_offset=offset,
                max_results=limit,
            )

        return self._stream(rpc.KUBE_DELTA, f"GetMetadataDelta({namespace},{base_id},{snapshot})", request, start)


class DriverMetadata(_Connection):
    """The SnapshotMetadata service of a CSI driver: snapshots are known by handle.

    ``endpoint`` is its socket (``unix:///path``), or HOST:PORT with TLS as for SnapshotMetadata.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        secrets: Mapping[str, str] | None = None,
        ca_cert: bytes = b"",
        server_name: str = "",
        client_cert: bytes = b"",
        client_key: bytes = b"",
        **options: Any,
    ) -> None:
        place = Place(endpoint, ca_cert, server_name, client_cert, client_key)
        super().__init__(place, FixedToken(""), **options)
        self._secrets = dict(secrets or {})

    def allocated(self, snapshot_id: str, *, start: int = 0, limit: int = 0) -> ResumingStream:
        """The ranges of a snapshot that hold data."""
        from blockdiff.csi import rpc

        def request(_: str, offset: int) -> Any:
            return rpc.CSI_ALLOCATED.request(
                snapshot_id=snapshot_id, starting_offset=offset, max_results=limit, secrets=self._secrets
            )

        return self._stream(rpc.CSI_ALLOCATED, f"GetMetadataAllocated({snapshot_id})", request, start)

    def delta(self, base_id: str, target_id: str, *, start: int = 0, limit: int = 0) -> ResumingStream:
        """The ranges of a snapshot that changed since another one."""
        from blockdiff.csi import rpc

        def request(_: str, offset: int) -> Any:
            return rpc.CSI_DELTA.request(
                base_snapshot_id=base_id,
                target_snapshot_id=target_id,
                starting_offset=offset,
                max_results=limit,
                secrets=self._secrets,
            )

        return self._stream(rpc.CSI_DELTA, f"GetMetadataDelta({base_id},{target_id})", request, start)
