"""Judges receipts: first the signatures over the bytes, then what they say."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from blockdiff.errors import InvalidInput
from blockdiff.receipt.envelope import IN_TOTO, MAX_BYTES, Envelope, accepted, decode
from blockdiff.receipt.statement import decode_statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdiff.receipt.key import PublicKey
    from blockdiff.receipt.statement import Receipt


class Checked(NamedTuple):
    """A receipt that was read. ``keys`` made signatures that hold; none: nobody vouches for what it says."""

    receipt: Receipt
    envelope: Envelope
    keys: list[PublicKey]


class ReceiptRefused(InvalidInput):
    """A receipt does not hold: it was changed, or those who should have signed it did not."""


def read_file(path: str) -> bytes:
    """The bytes of a receipt. Raises InvalidInput."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {os.strerror(error.errno or 0)}") from error
    return data


def check(data: bytes, what: str, keys: Sequence[PublicKey], *, threshold: int = 1) -> Checked:
    """Reads a receipt, which ``threshold`` of these keys must have signed; without keys it must be unsigned.

    Nothing of the payload is parsed before the signatures over its bytes were checked. Raises ReceiptRefused where it
    does not hold, InvalidInput where it is none.
    """
    envelope = decode(data, what)
    if envelope.signatures and not keys:
        raise InvalidInput(f"{what} is signed, and no key was given to check it: name the public one by --key")
    if keys and not envelope.signatures:
        raise ReceiptRefused(f"{what} is UNSIGNED: nobody vouches for what it says")
    made = accepted(envelope, keys)
    if keys:
        _require(envelope, made, keys, threshold, what)
    if envelope.payload_type != IN_TOTO:
        raise InvalidInput(f"{what} is no receipt: its payloadType is {envelope.payload_type!a}, not {IN_TOTO}")
    receipt = decode_statement(envelope.payload, what)
    signer = receipt.predicate.signer
    if signer is not None and not envelope.signatures:
        raise ReceiptRefused(f"{what} was signed by the key {signer.key_id}, and its signature was taken away")
    return Checked(receipt, envelope, made)


def look(data: bytes, what: str) -> Checked:
    """Reads a receipt without checking who signed it: nothing that it says is proved. Raises InvalidInput."""
    envelope = decode(data, what)
    if envelope.payload_type != IN_TOTO:
        raise InvalidInput(f"{what} is no receipt: its payloadType is {envelope.payload_type!a}, not {IN_TOTO}")
    return Checked(decode_statement(envelope.payload, what), envelope, [])


def _require(envelope: Envelope, made: list[PublicKey], keys: Sequence[PublicKey], threshold: int, what: str) -> None:
    if len(made) >= threshold:
        return
    if made:
        raise ReceiptRefused(f"{what} is signed by {len(made)} of the keys that were given, and {threshold} are needed")
    hints = {signature.key_id for signature in envelope.signatures if signature.key_id}
    if hints & {key.key_id for key in keys}:
        raise ReceiptRefused(f"{what} was TAMPERED with: its signature is not of what it says now")
    told = f" (it names {', '.join(ascii(hint) for hint in sorted(hints)[:3])})" if hints else ""
    given = ", ".join(f"{key.name} ({key.key_id})" for key in keys)
    raise ReceiptRefused(
        f"no signature of {what} holds: it was signed by another key than {given}, or tampered with{told}"
    )
