"""The iterator: from names of snapshots to a stream of block metadata, by the original's sequence of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.csi import lookup
from blockdiff.csi.args import DEFAULT_TOKEN_EXPIRY_SECONDS
from blockdiff.csi.connection import SnapshotMetadata
from blockdiff.csi.kube import KubeApi
from blockdiff.csi.metadata import IteratorMetadata
from blockdiff.csi.tokens import AccountToken, make_tokens

if TYPE_CHECKING:
    from blockdiff.csi.args import Args
    from blockdiff.csi.resume import ResumingStream
    from blockdiff.csi.tokens import Tokens


def get_snapshot_metadata(args: Args) -> None:
    """Gives each record to ``args.emitter``, in order and numbered from 1, and their number to its ``done``.

    An emitter that raises stops the stream, and its error is passed on. Raises InvalidArgs, ApiError, LookupFailed,
    NotReady, CACertError, CallError, OutOfOrder; ``done`` is not called then.
    """
    args.check()
    emitter, number = args.emitter, 0
    assert emitter is not None
    with _opened(args) as records:
        for number, record in enumerate(records, 1):
            emitter.record(number, IteratorMetadata(*record))
            if args.progress is not None:
                args.progress(records.resume_offset, record.capacity)
    emitter.done(number)


def snapshot_metadata(args: Args) -> ResumingStream:
    """The same without an emitter: iterate it for records, and close it. The API server is asked at once."""
    args.check_records()
    return _opened(args)


def _opened(args: Args) -> ResumingStream:
    api = KubeApi(args.clients, args.api_timeout)
    account = lookup.service_account(args, api) if args.needs_token else None
    service = lookup.Service(args.address, args.audience, args.ca_cert)
    if args.needs_service:
        service = lookup.service(args, lookup.csi_driver(args, api), api)
    metadata = SnapshotMetadata(
        service.address,
        token=_tokens(args, api, account, service.audience),
        ca_cert=service.ca_cert,
        server_name=args.server_name,
        client_cert=args.client_cert,
        client_key=args.client_key,
        timeout=args.timeout,
        retries=args.retries,
        on_resume=args.on_resume,
        check=lambda: api.check_same(args.namespace, args.snapshot_name),
    )
    base, start, limit = args.prev_snapshot_id, args.starting_offset, args.max_results
    if args.needs_handle:
        base = lookup.snapshot_handle(args.prev_snapshot_namespace or args.namespace, args.prev_snapshot_name, api)
    if base:
        return metadata.delta(args.namespace, base, args.snapshot_name, start=start, limit=limit)
    return metadata.allocated(args.namespace, args.snapshot_name, start=start, limit=limit)


def _tokens(args: Args, api: KubeApi, account: tuple[str, str] | None, audience: str) -> Tokens:
    if account is None:
        return make_tokens(args.token)
    seconds = args.token_expiry_secs or DEFAULT_TOKEN_EXPIRY_SECONDS
    tokens = AccountToken(lambda: api.create_token(*account, audience, seconds))
    tokens.first()
    return tokens
