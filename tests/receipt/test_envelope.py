"""DSSE: its test vectors (testvectors/vectors.json and protocol.md of secure-systems-lab/dsse), and what is refused."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blockdiff.errors import InvalidInput
from blockdiff.receipt.envelope import IN_TOTO, MAX_BYTES, Envelope, Signature, accepted, decode, encode, pae
from blockdiff.receipt.key import PrivateKey
from tests.fixtures import receipts

A = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
B = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
TYPE_ONLY = "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEifQ=="
SIG_A = "2WAfaHm5jluo0w+0rk8uVkluELJYWjSmU9x7EUzx+AyteDGJ4/nqyJXfmAUVFIAoQafWm7AxBZNw5M9ixNHiCA=="
SIG_B = "c1+67/aT0yqEpwx8PsVY3MLHsj9D0CZ014/Fv/QlG59P+9CobUZ7xECJ/V3USG0Ob9CiE5LjReEZUzNF2l7eBw=="
URL_SAFE = "P-_KHICeR7tI6S_YyejJTRtrXhcQyQ2LYPaL8h90KjC9qN8HU_svOQ6TuDOT1HIrsGW886DbWNWcCmX5twLrAw=="
NON_ASCII = "xmSk/ug66ysT7ayhkCIjhAq42zgZXSsEWuzUaNL7w2eGAdF/NU6/fRXPtmfN+5DNSAs5/i2lUnHjbbjPsu0tAw=="
EMPTY = "gSggCAaTLTYyRH6FIDBem6meyIynsYy8RTHVzwx9tnTb7Bg/1jMWnuVgI/gffqmbsC2VX5/jHfkkDqsj7CDbDg=="
NO_TYPE = "iC3q/+3Rm0+lpAJRueDmDh15PnwCfxKmS0NAfKsbv+zgulXQC/WM9trc+j1XEqlwDIg/vf/uNfebeD6sxInrDg=="
PAE = {
    IN_TOTO: b'DSSEv1 28 application/vnd.in-toto+json 43 {"_type":"https://in-toto.io/Statement/v1"}',
    "application/vnd.exämple+json": b"DSSEv1 29 application/vnd.ex\xc3\xa4mple+json 43 "
    b'{"_type":"https://in-toto.io/Statement/v1"}',
}


def key(seed=A):
    return PrivateKey(Ed25519PrivateKey.from_private_bytes(seed), "test")


def envelope(payload, kind, *signatures):
    signatures = [{"sig": sig, **({"keyid": hint} if hint else {})} for sig, hint in signatures]
    return json.dumps({"payload": payload, "payloadType": kind, "signatures": signatures}).encode()


VECTORS = {
    "single-signature": (TYPE_ONLY, IN_TOTO, [(SIG_A, "A")], 1, 1),
    "url-safe-base64": ("-_-_Pj8=", IN_TOTO, [(URL_SAFE, "A")], 1, 1),
    "payload-type-swapped": (TYPE_ONLY, "application/vnd.example.other+json", [(SIG_A, "A")], 1, 0),
    "non-ascii-payload-type": (TYPE_ONLY, "application/vnd.exämple+json", [(NON_ASCII, "A")], 1, 1),
    "empty-payload": ("", IN_TOTO, [(EMPTY, "A")], 1, 1),
    "empty-payload-type": (TYPE_ONLY, "", [(NO_TYPE, "A")], 1, 1),  # holds, and no reader supports the type
    "two-distinct-keys": (TYPE_ONLY, IN_TOTO, [(SIG_A, "A"), (SIG_B, "B")], 2, 2),
    "one-key-twice": (TYPE_ONLY, IN_TOTO, [(SIG_A, "A"), (SIG_A, "A")], 2, 1),
    "two-without-keyids": (TYPE_ONLY, IN_TOTO, [(SIG_A, ""), (SIG_B, "")], 2, 2),
}


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_of_the_specification(name):
    payload, kind, signatures, keys, hold = VECTORS[name]
    read = decode(envelope(payload, kind, *signatures), "x")
    trusted = [key(A).public, key(B).public][:keys]
    assert len(accepted(read, trusted)) == hold


@pytest.mark.parametrize("kind", PAE)
def test_the_signed_bytes_are_those_of_the_vectors(kind):
    payload = base64.b64decode(TYPE_ONLY)
    assert pae(kind, payload) == PAE[kind] == receipts.pae(kind, payload)


def test_the_signed_bytes_of_the_protocol():
    kind = "http://example.com/HelloWorld"
    assert pae(kind, b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_signing_gives_the_signature_of_the_vector():
    assert key(A).sign(pae(IN_TOTO, base64.b64decode(TYPE_ONLY))) == base64.b64decode(SIG_A)


def test_a_key_given_twice_counts_once():
    read = decode(envelope(TYPE_ONLY, IN_TOTO, (SIG_A, "A")), "x")
    assert len(accepted(read, [key(A).public, key(A).public])) == 1


def test_key_ids_decide_nothing():
    read = decode(envelope(TYPE_ONLY, IN_TOTO, (SIG_A, key(B).public.key_id)), "x")
    assert [k.raw for k in accepted(read, [key(A).public, key(B).public])] == [key(A).public.raw]


@pytest.mark.parametrize("payload", [b"", b"x", b"\0" * 1000, "ü".encode()], ids=["empty", "one", "many", "text"])
def test_what_is_encoded_is_decoded(payload):
    made = Envelope("a/b", payload, (Signature(b"s" * 64, "id"), Signature(b"")))
    assert decode(encode(made), "x") == made


def test_unknown_fields_are_ignored():
    fields = json.loads(envelope(TYPE_ONLY, IN_TOTO, (SIG_A, "A"))) | {"more": [1]}
    fields["signatures"][0]["extension"] = {"kind": "x"}
    assert accepted(decode(json.dumps(fields).encode(), "x"), [key().public])


GOOD = {"payload": TYPE_ONLY, "payloadType": IN_TOTO, "signatures": [{"sig": SIG_A}]}
BAD = {
    "nothing": (b"", "no JSON"),
    "no object": (b"[]", "no receipt"),
    "a report": (b'{"schema_version":1,"identical":true}', "no receipt"),
    "not UTF-8": (b'{"\xff":1}', "no UTF-8"),
    "UTF-16": ('{"payloadType":"x"}'.encode("utf-16"), "no UTF-8"),
    "two payloads": (b'{"payload":"","payload":"","payloadType":"x","signatures":[]}', "'payload' is there twice"),
    "two keyids": (b'{"payload":"","payloadType":"x","signatures":[{"keyid":"a","keyid":"b","sig":""}]}', "twice"),
    "not a number": (b'{"payloadType":"x","a":NaN}', "NaN"),
    "infinite": (b'{"payloadType":"x","a":-Infinity}', "-Infinity"),
    "a long number": (b'{"payloadType":"x","a":' + b"1" * 5000 + b"}", "too long"),
    "deep": (b"[" * 5000 + b"]" * 5000, "too deep"),
    "very deep": (b"[" * 500000, "malformed|no JSON"),
    "something after": (json.dumps(GOOD).encode() + b"{}", "no JSON"),
    "type is a number": (json.dumps(GOOD | {"payloadType": 7}).encode(), "payloadType is no text"),
    "half a character": (json.dumps(GOOD | {"payloadType": "\ud800"}).encode(), "payloadType is no text"),
    "no payload": (json.dumps({"payloadType": "x", "signatures": []}).encode(), "payload is missing"),
    "payload is a number": (json.dumps(GOOD | {"payload": 7}).encode(), "payload is no text"),
    "no signatures": (json.dumps({"payloadType": "x", "payload": ""}).encode(), "signatures is no list"),
    "signatures is an object": (json.dumps(GOOD | {"signatures": {}}).encode(), "signatures is no list"),
    "signature is a text": (json.dumps(GOOD | {"signatures": [SIG_A]}).encode(), "a signature is no object"),
    "no sig": (json.dumps(GOOD | {"signatures": [{}]}).encode(), "sig is missing"),
    "keyid is a number": (json.dumps(GOOD | {"signatures": [{"sig": "", "keyid": 1}]}).encode(), "keyid is no text"),
    "many signatures": (json.dumps(GOOD | {"signatures": [{"sig": ""}] * 65}).encode(), "65 signatures"),
}
BASE64 = ["=", "A", "AAA", "AA=A", "QQ", "QR==", "Q Q=", "QQ==\n", "-+AA", "ä", "QQ==QQ==", "\x00\x00"]


@pytest.mark.parametrize("name", BAD)
def test_refused(name):
    data, why = BAD[name]
    with pytest.raises(InvalidInput, match=why):
        decode(data, "x")


@pytest.mark.parametrize("text", BASE64, ids=ascii)
@pytest.mark.parametrize("where", ["payload", "sig"])
def test_base64_has_one_form(text, where):
    fields = GOOD | ({"payload": text} if where == "payload" else {"signatures": [{"sig": text}]})
    with pytest.raises(InvalidInput, match=f"{where} is no base64"):
        decode(json.dumps(fields).encode(), "x")


def test_huge_files_are_not_looked_into():
    with pytest.raises(InvalidInput, match="too large"):
        decode(b" " * (MAX_BYTES + 1), "x")


@pytest.mark.parametrize("size", [0, 1, 63, 65, 200])
def test_signatures_of_other_lengths_are_no_signatures(size):
    assert not accepted(Envelope(IN_TOTO, b"", (Signature(b"s" * size),)), [key().public])
