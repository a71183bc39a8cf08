"""The DSSE envelope: a payload, its type and signatures over both (protocol.md and envelope.md of DSSE 1.0.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff.errors import InvalidInput
from blockdiff.receipt.strict import parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockdiff.receipt.key import PublicKey

IN_TOTO = "application/vnd.in-toto+json"
MAX_BYTES = 64 << 20  # of a file; ours have some KiB
MAX_SIGNATURES = 64


class Signature(NamedTuple):
    """The bytes of a signature. ``key_id`` is a hint that nobody vouches for; empty if there is none."""

    sig: bytes
    key_id: str = ""


class Envelope(NamedTuple):
    """What is signed, the type that says how to read it, and the signatures; no signature: unsigned."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...] = ()


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that a signature covers: DSSE's pre-authentication encoding. Lengths are of bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def encode(envelope: Envelope) -> bytes:
    """The envelope as JSON, with a newline at its end."""
    import json
    from base64 import b64encode

    signatures = [
        {**({"keyid": s.key_id} if s.key_id else {}), "sig": b64encode(s.sig).decode()} for s in envelope.signatures
    ]
    fields = {
        "payloadType": envelope.payload_type,
        "payload": b64encode(envelope.payload).decode(),
        "signatures": signatures,
    }
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def decode(data: bytes, what: str) -> Envelope:
    """Reads an envelope; the payload is not looked into. Fields that nobody knows are ignored, as DSSE demands.

    Raises InvalidInput. ``what`` names the file in messages.
    """
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"{what} is too large for a receipt: more than {MAX_BYTES:,} bytes")
    fields = parse(data, what)
    if not isinstance(fields, dict) or "payloadType" not in fields:
        raise InvalidInput(f"{what} is no receipt: it is no DSSE envelope, which has payload, payloadType, signatures")
    kind, signatures = fields["payloadType"], fields.get("signatures")
    if not isinstance(kind, str) or not _is_text(kind):
        raise InvalidInput(f"{what} is malformed: payloadType is no text")
    if not isinstance(signatures, list):
        raise InvalidInput(f"{what} is malformed: signatures is no list")
    if len(signatures) > MAX_SIGNATURES:
        raise InvalidInput(f"{what} has {len(signatures)} signatures: more than {MAX_SIGNATURES} are not read")
    payload = _base64(fields.get("payload"), f"{what} is malformed: payload")
    return Envelope(kind, payload, tuple(_signature(item, what) for item in signatures))


def accepted(envelope: Envelope, keys: Iterable[PublicKey]) -> list[PublicKey]:
    """The keys, each once, that made one of the signatures. The payload is not parsed for it, and key ids decide
    nothing: they are hints.
    """
    signed = pae(envelope.payload_type, envelope.payload)
    unique = {key.raw: key for key in keys}
    return [key for key in unique.values() if any(key.made(s.sig, signed) for s in envelope.signatures)]


def _signature(item: Any, what: str) -> Signature:
    if not isinstance(item, dict):
        raise InvalidInput(f"{what} is malformed: a signature is no object")
    key_id = item.get("keyid")
    if key_id is not None and not isinstance(key_id, str):
        raise InvalidInput(f"{what} is malformed: keyid is no text")
    return Signature(_base64(item.get("sig"), f"{what} is malformed: sig"), key_id or "")


def _is_text(text: str) -> bool:
    """False for halves of surrogate pairs, which JSON lets through and UTF-8 does not know."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _base64(text: Any, what: str) -> bytes:
    """Standard or URL-safe base64 (RFC 4648), each in its one canonical form."""
    from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode

    if not isinstance(text, str):
        raise InvalidInput(f"{what} is {'missing' if text is None else 'no text'}")
    try:
        coded = text.encode("ascii")
        made = urlsafe_b64decode(coded) if b"-" in coded or b"_" in coded else b64decode(coded, validate=True)
    except ValueError:  # binascii.Error, UnicodeEncodeError
        raise InvalidInput(f"{what} is no base64") from None
    if coded not in (b64encode(made), urlsafe_b64encode(made)):
        raise InvalidInput(f"{what} is no base64 as it should be written")
    return made
