"""``csi:`` URLs as a source: which blocks are allocated or changed, as a SnapshotMetadata service tells."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from blockdiff.csi.address import Service, pair_of
from blockdiff.errors import BackendUnavailable, BlockdiffError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.csi.args import Args
    from blockdiff.csi.resume import ResumingStream
    from blockdiff.locator import Locator
    from blockdiff.record import Record
    from blockdiff.snapshot import SnapshotPair


def open_source(base: Locator | None, target: Locator) -> tuple[CsiSource, SnapshotPair]:
    """A source for one or two URLs, and the pair of snapshots that they name. Raises InvalidInput."""
    service, pair = pair_of(base, target)
    return CsiSource(service), pair


class CsiSource:
    """Asks the service that a URL names, by way of Kubernetes or straight; broken streams are taken up again.

    ``warnings`` tells of those. Errors are those of the iterator.
    """

    method = "cbt"

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stream: ResumingStream | None = None
        self._last: tuple[BlockdiffError, int] | None = None
        self._breaks = 0

    @property
    def warnings(self) -> list[str]:
        """What is to be told beside the records."""
        if self._last is None:
            return []
        error, offset = self._last
        times = "once" if self._breaks == 1 else f"{self._breaks} times"
        return [f"the stream broke {times} and was taken up again, last at offset {offset}: {error}"]

    def records(self, pair: SnapshotPair, *, start: int = 0, limit: int = 0) -> Iterator[Record]:
        """Streams the extents that end after ``start``; one that begins before it is cut."""
        self.close()
        self._stream = stream = self._open(pair, start, limit or self._service.max_results)
        try:
            yield from stream
        finally:
            stream.close()

    def close(self) -> None:
        """Ends a stream that is still running."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _open(self, pair: SnapshotPair, start: int, limit: int) -> ResumingStream:
        try:
            import google.protobuf  # noqa: F401
            import grpc  # noqa: F401
        except ImportError as error:
            raise BackendUnavailable(f"csi: cannot be used ({error})", hint="pip install 'blockdiff[csi]'") from None
        if self._service.endpoint:
            return self._open_driver(pair, start, limit)
        from blockdiff.csi.iterator import snapshot_metadata

        return snapshot_metadata(self._args(pair, start, limit))

    def _open_driver(self, pair: SnapshotPair, start: int, limit: int) -> ResumingStream:
        from blockdiff.csi.connection import DriverMetadata

        service = self._service
        secrets = _secrets(service.get("secrets-file"))
        driver = DriverMetadata(
            service.endpoint,
            secrets=secrets,
            **self._tls(),
            timeout=service.timeout,
            retries=service.retries,
            on_resume=self._broke,
        )
        if pair.base is None:
            return driver.allocated(pair.target.id, start=start, limit=limit)
        return driver.delta(pair.base.id, pair.target.id, start=start, limit=limit)

    def _args(self, pair: SnapshotPair, start: int, limit: int) -> Args:
        from blockdiff.csi.args import Args

        service, target = self._service, pair.target
        account_namespace, account = service.service_account
        made = Args(
            namespace=target.volume,
            snapshot_name=target.name,
            starting_offset=start,
            max_results=limit,
            csi_driver=service.get("driver"),
            sa_namespace=account_namespace or (target.volume if account else ""),
            sa_name=account,
            token_expiry_secs=service.token_expiry,
            address=service.get("address"),
            audience=service.get("audience"),
            **self._tls(),
            timeout=service.timeout,
            retries=service.retries,
            on_resume=self._broke,
        )
        self._fill_base(made, pair)
        self._fill_access(made)
        return made

    def _tls(self) -> dict[str, Any]:
        get = self._service.get
        return {
            "ca_cert": _file(get("ca"), "a CA certificate"),
            "server_name": get("server-name"),
            "client_cert": _file(get("cert"), "a client certificate"),
            "client_key": _file(get("key"), "a client key"),
        }

    def _fill_base(self, args: Args, pair: SnapshotPair) -> None:
        base = pair.base
        if base is None:
            return
        if base.id or self._service.without_cluster:
            args.prev_snapshot_id = base.id or base.name
        else:
            args.prev_snapshot_namespace, args.prev_snapshot_name = base.volume, base.name

    def _fill_access(self, args: Args) -> None:
        """The token and the clients, where they are needed."""
        from blockdiff.csi.tokens import file_token

        if path := self._service.get("token-file"):
            args.token = file_token(path)
        if args.needs_cluster:
            from blockdiff.csi.kube import build_clients

            config = self._service.get("kubeconfig") or default_kubeconfig()
            args.clients = build_clients(config, context=self._service.get("context") or None)

    def _broke(self, error: BlockdiffError, offset: int, _: int) -> None:
        self._last = error, offset
        self._breaks += 1


def default_kubeconfig() -> str | None:
    """KUBECONFIG, else ~/.kube/config if it is there; None: what a pod has."""
    if named := os.environ.get("KUBECONFIG"):
        return named
    path = os.path.expanduser("~/.kube/config")
    return path if os.path.exists(path) else None


def _file(path: str, what: str) -> bytes:
    if not path:
        return b""
    try:
        with open(path, "rb") as file:
            found = file.read(16 << 20)
    except OSError as error:
        raise InvalidInput(f"cannot read {what} from {path}: {error.strerror}") from None
    if not found.strip():
        raise InvalidInput(f"there is no {what.partition(' ')[2]} in {path}: it is empty")
    return found


def _secrets(path: str) -> dict[str, str]:
    """The secrets that a driver wants: a JSON object of texts."""
    if not path:
        return {}
    try:
        found: Any = json.loads(_file(path, "the secrets"))
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise InvalidInput(f"{path} is no JSON object of texts")
    return found
