"""A receipt holds as it was signed, and in no other form; one that contradicts itself is no evidence."""

import base64
import copy
import json

import pytest

from blockdiff.errors import InvalidInput
from blockdiff.receipt.check import ReceiptRefused, check, look
from blockdiff.receipt.envelope import IN_TOTO, Envelope, decode, encode
from blockdiff.receipt.issue import issue, signed
from blockdiff.receipt.key import PrivateKey
from blockdiff.receipt.statement import decode_statement, encode_statement
from blockdiff.receipt.words import lines
from tests.fixtures.receipts import SIZE, predicate

KEY, OTHER = PrivateKey.generate("key.pub"), PrivateKey.generate("other.pub")
ROOT = {"algorithm": "blake3", "block_size": 65536, "digest": "ab" * 32}


def sign(statement, key=KEY):
    """Signs any payload."""
    payload = statement if isinstance(statement, bytes) else json.dumps(statement).encode()
    return encode(signed(Envelope(IN_TOTO, payload), key))


def statement(**changed):
    return json.loads(encode_statement(predicate(**changed)))


def test_holds():
    checked = check(issue(predicate(), KEY), "r", [KEY.public])
    assert [key.key_id for key in checked.keys] == [KEY.public.key_id]
    assert checked.receipt.predicate.result == "identical"
    assert checked.receipt.predicate.is_whole
    assert checked.receipt.fields == predicate(signer={"key_id": KEY.public.key_id})


def test_the_statement_is_of_in_toto():
    made = statement(source={**predicate()["source"], "root": ROOT, "no_root": ""})
    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["predicateType"] == "urn:blockdiff:verify-receipt:v1"
    assert made["subject"] == [
        {"name": "differences", "digest": {"sha256": predicate()["differences"]["sha256"]}},
        {"name": "source", "digest": {"blockdiff-root-blake3-65536": "ab" * 32}},
    ]


def test_unsigned():
    data = issue(predicate(), None)
    assert check(data, "r", []).keys == []
    with pytest.raises(ReceiptRefused, match="r is UNSIGNED"):
        check(data, "r", [KEY.public])


def test_another_key():
    with pytest.raises(ReceiptRefused, match="no signature of r holds"):
        check(issue(predicate(), KEY), "r", [OTHER.public])


def test_signed_and_no_key_to_check():
    with pytest.raises(InvalidInput, match="name the public one by --key"):
        check(issue(predicate(), KEY), "r", [])


def test_tampered():
    fields = json.loads(issue(predicate(result="different"), KEY))
    payload = base64.b64decode(fields["payload"]).replace(b'"different"', b'"identical"')
    fields["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(ReceiptRefused, match="TAMPERED"):
        check(json.dumps(fields).encode(), "r", [KEY.public])


def test_a_signature_taken_away():
    envelope = decode(issue(predicate(), KEY), "r")
    with pytest.raises(ReceiptRefused, match="its signature was taken away"):
        check(encode(envelope._replace(signatures=())), "r", [])


def test_the_payload_is_not_parsed_before_it_is_proved():
    """What nobody signed does not reach the reader of statements."""
    with pytest.raises(ReceiptRefused):
        check(sign(b"[" * 100000, OTHER), "r", [KEY.public])
    with pytest.raises(InvalidInput, match=r"malformed|no JSON"):
        check(sign(b"[" * 100000), "r", [KEY.public])


def test_another_type_of_payload():
    payload = encode_statement(predicate())
    data = encode(signed(Envelope("application/json", payload), KEY))
    with pytest.raises(InvalidInput, match="payloadType is 'application/json'"):
        check(data, "r", [KEY.public])
    with pytest.raises(InvalidInput, match="payloadType is 'application/json'"):
        look(data, "r")


@pytest.mark.parametrize(("keys", "threshold", "holds"), [(1, 1, True), (2, 2, True), (2, 3, False)])
def test_several_signatures(keys, threshold, holds):
    data = encode(signed(decode(issue(predicate(), KEY), "r"), OTHER))
    trusted = [KEY.public, OTHER.public, PrivateKey.generate("third").public]
    if holds:
        assert len(check(data, "r", trusted[:keys], threshold=threshold).keys) == keys
    else:
        with pytest.raises(ReceiptRefused, match="signed by 2 of the keys that were given, and 3 are needed"):
            check(data, "r", trusted, threshold=threshold)


def test_a_bad_signature_beside_a_good_one():
    envelope = decode(issue(predicate(), KEY), "r")
    both = envelope._replace(signatures=(envelope.signatures[0]._replace(sig=bytes(64)), *envelope.signatures))
    assert check(encode(both), "r", [KEY.public]).keys


def altered(path, value):
    """A statement with one thing in it changed."""
    made = copy.deepcopy(statement())
    place = made
    for name in path[:-1]:
        place = place[name]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return made


P = "predicate"
MALFORMED = {
    "other version": (("predicateType",), "urn:blockdiff:verify-receipt:v2", "version '2', and known is 1"),
    "odd version": (("predicateType",), "urn:blockdiff:verify-receipt:v01", "version '01'"),
    "no version": (("predicateType",), "urn:blockdiff:verify-receipt:v", "version ''"),
    "other predicate": (("predicateType",), "https://slsa.dev/provenance/v1", "no receipt of a verify"),
    "predicate is a number": (("predicateType",), 1, "no receipt of a verify"),
    "newer statement": (("_type",), "https://in-toto.io/Statement/v2", "statement of version 2, and known is 1"),
    "old statement": (("_type",), "https://in-toto.io/Statement/v0.1", "statement of version 0.1"),
    "no statement": (("_type",), ..., "no in-toto statement"),
    "no predicate": ((P,), ..., "malformed"),
    "no subject": (("subject",), ..., "malformed"),
    "empty subject": (("subject",), [], "the subjects are not"),
    "other digest": (("subject", 0, "digest", "sha256"), "0" * 64, "the subjects are not"),
    "other result": ((P, "result"), "different", "the result is different and the report says"),
    "unknown result": ((P, "result"), "fine", "malformed"),
    "identical though it failed": ((P, "report", "error"), "interrupted", "contradicts"),
    "identical though it is not complete": ((P, "report", "complete"), False, "contradicts itself: it calls identical"),
    "identical though something was unreadable": ((P, "report", "unreadable_bytes"), 1, "it calls identical"),
    "identical though it is a sample": ((P, "report", "sample"), {}, "it calls identical what was a sample"),
    "identical though nobody compared it": ((P, "report", "bytes_compared"), SIZE - 1, "what was not compared"),
    "identical after a recheck": ((P, "report", "recheck"), {"verdict": "transient"}, "differed before a recheck"),
    "the report found more": ((P, "report", "difference_count"), 1, "not those of the report"),
    "differences without a digest": ((P, "differences", "sha256"), "0" * 64, "count of differences and their digest"),
    "a digest in capitals": ((P, "differences", "sha256"), "A" * 64, "malformed"),
    "negative": ((P, "report", "differing_bytes"), -1, "malformed"),
    "true as a number": ((P, "report", "difference_count"), False, "malformed"),
    "a number as true": ((P, "report", "identical"), 1, "malformed"),
    "another source": ((P, "source", "url"), "c.img", "the source is not that of the report"),
    "another size": ((P, "target", "size"), SIZE + 1, "the target is not that of the report"),
    "a root without its subject": ((P, "source", "root"), ROOT, "a root and a reason why not"),
    "no root and no reason": ((P, "source", "no_root"), "", "a root and a reason why not, or neither"),
    "a time without a zone": ((P, "started"), "2026-11-21T20:00:00", "malformed"),
    "no tool": ((P, "tool"), ..., "malformed"),
    "predicate is a list": ((P,), [], "malformed"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_signed_nonsense_is_refused_too(name):
    path, value, why = MALFORMED[name]
    with pytest.raises(InvalidInput, match=why):
        check(sign(altered(path, value)), "r", [KEY.public])


@pytest.mark.parametrize(
    ("reason", "whole"),
    [("hole", True), ("shared", True), ("osd-checksum", True), ("not-listed", False), ("a new reason", False)],
)
def test_what_was_skipped_is_known_to_be_equal_or_it_is_not_whole(reason, whole):
    report = predicate()["report"] | {"skipped": [{"reason": reason, "bytes": 4096}]}
    checked = check(issue(predicate(report=report), KEY), "r", [KEY.public])
    assert checked.receipt.predicate.says_identical is whole
    assert any("NOT the whole devices" in line for line in lines(checked, "valid")) is not whole


REPAIR = {"planned": False, "remaining_ranges": 0}
DIGEST = {"count": 1, "bytes": 4096, "sha256": "ab" * 32}


@pytest.mark.parametrize(
    ("repair", "found", "holds"),
    [
        (REPAIR, DIGEST, True),
        (REPAIR, None, False),
        (None, DIGEST, False),
        (REPAIR | {"planned": True}, DIGEST, False),
        (REPAIR | {"remaining_ranges": 1}, DIGEST, False),
    ],
    ids=["done", "nothing found", "no repair", "planned only", "not all"],
)
def test_repaired(repair, found, holds):
    found = found or predicate()["differences"]
    report = predicate()["report"] | {"difference_count": found["count"], "differing_bytes": found["bytes"]}
    report |= {"repair": repair} if repair else {}
    data = issue(predicate(result="repaired", differences=found, report=report), KEY)
    if holds:
        assert check(data, "r", [KEY.public]).receipt.predicate.says_identical
    else:
        with pytest.raises(InvalidInput, match="it calls repaired what was not"):
            check(data, "r", [KEY.public])


@pytest.mark.parametrize("result", ["transient", "incomplete"])
def test_results_that_found_nothing(result):
    report = predicate()["report"] | {"identical": False}
    assert check(issue(predicate(result=result, report=report), KEY), "r", [KEY.public])
    report |= {"difference_count": 1, "differing_bytes": 4096}
    with pytest.raises(InvalidInput, match=f"the result is {result}, and there are differences"):
        check(issue(predicate(result=result, report=report, differences=DIGEST), KEY), "r", [KEY.public])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "and not everything was compared"),
        ({"sample": {"seed": "x"}}, "and only a sample was compared"),
        ({"ledger": {"different_before_bytes": 4096}}, "and 4,096 bytes that differed earlier were not"),
    ],
    ids=["part", "sample", "ledger"],
)
def test_words_of_what_was_not_all_compared(more, words):
    report = predicate()["report"] | {"identical": False, "complete": False} | more
    checked = check(issue(predicate(result="incomplete", report=report), None), "r", [])
    text = "\n".join(lines(checked, "unsigned"))
    assert words in text
    assert "INCOMPLETE" in text


def test_new_fields_are_ignored():
    for path in (("more",), (P, "more"), (P, "report", "more"), (P, "source", "more")):
        assert check(sign(altered(path, {"x": [1]})), "r", [KEY.public])


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" + "0" * 400 + ".5"])
def test_numbers_that_are_infinite(number):
    """They would be printed as what is no JSON."""
    payload = json.dumps(altered((P, "report", "granularity"), "here")).replace('"here"', number).encode()
    with pytest.raises(InvalidInput, match=r"the number .* is too large"):
        check(sign(payload), "r", [KEY.public])


def test_keys_that_are_there_twice():
    payload = encode_statement(predicate()).replace(b'"result":', b'"result":"different","result":')
    with pytest.raises(InvalidInput, match="'result' is there twice"):
        check(sign(payload), "r", [KEY.public])


@pytest.mark.parametrize("payload", [b"", b"7", b'"x"', b"null", b"[]", b"{}"], ids=ascii)
def test_no_statement(payload):
    with pytest.raises(InvalidInput):
        decode_statement(payload, "r")


def test_credentials_are_not_told():
    source = {**predicate()["source"], "url": "nbd://user:word@host/x?key=1&tls=on&password=2"}
    report = predicate()["report"] | {"warnings": ["nbds://me@h/x failed"]}
    report["source"] = report["source"] | {"url": source["url"]}
    made = decode_statement(encode_statement(predicate(source=source, report=report)), "r").predicate
    assert made.source.url == "nbd://host/x?key=...&tls=on&password=..."
    assert made.report.warnings == ["nbds://h/x failed"]


def test_names_that_are_no_text_are_told_in_escapes():
    source = {**predicate()["source"], "url": "a\udcff.img"}
    report = predicate()["report"]
    report = report | {"source": report["source"] | {"url": source["url"]}}
    made = decode_statement(encode_statement(predicate(source=source, report=report)), "r").predicate
    assert made.source.url == "a\\xff.img"
