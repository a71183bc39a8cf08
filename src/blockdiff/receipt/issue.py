"""Writes receipts: the statement of a run, in an envelope, signed where there is a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.errors import OutputError
from blockdiff.receipt.envelope import IN_TOTO, MAX_BYTES, Envelope, Signature, encode, pae
from blockdiff.receipt.statement import encode_statement

if TYPE_CHECKING:
    from blockdiff.receipt.key import PrivateKey


def issue(predicate: dict[str, Any], key: PrivateKey | None) -> bytes:
    """The bytes of a receipt. Without a key it is unsigned, and every check says so. Raises OutputError."""
    signer = {} if key is None else {"signer": {"key_id": key.public.key_id}}
    payload = encode_statement({**predicate, **signer})
    data = encode(signed(Envelope(IN_TOTO, payload), key))
    if len(data) > MAX_BYTES:
        raise OutputError(f"the receipt would have {len(data):,} bytes: more than {MAX_BYTES:,} are not read")
    return data


def signed(envelope: Envelope, key: PrivateKey | None) -> Envelope:
    """The envelope with one more signature."""
    if key is None:
        return envelope
    sig = key.sign(pae(envelope.payload_type, envelope.payload))
    return envelope._replace(signatures=(*envelope.signatures, Signature(sig, key.public.key_id)))
