"""Receipts that were damaged or forged: each is refused in words, or says exactly what was signed.

FUZZ_INPUTS says how many are tried; docs/receipts.md records the largest run.
"""

import base64
import json
import os
import random
import re

import pytest

from blockdiff.errors import InvalidInput
from blockdiff.receipt.check import check, look
from blockdiff.receipt.envelope import IN_TOTO, Envelope, decode, encode
from blockdiff.receipt.issue import issue, signed
from blockdiff.receipt.key import PrivateKey
from blockdiff.receipt.statement import encode_statement
from blockdiff.receipt.words import lines
from tests.fixtures.receipts import predicate

INPUTS = int(os.environ.get("FUZZ_INPUTS", "1500"))
KEY, OTHER = PrivateKey.generate("key.pub"), PrivateKey.generate("other.pub")
EMPTY = predicate()["differences"]["sha256"]
DIFFERENT = predicate(
    result="different",
    differences={"count": 2, "bytes": 8192, "sha256": "ab" * 32},
    report=predicate()["report"] | {"identical": False, "difference_count": 2, "differing_bytes": 8192},
)
PARTIAL = predicate(
    result="incomplete",
    report=predicate()["report"] | {"identical": False, "complete": False, "sample": {"bytes": 4096}},
)
RECEIPTS = [predicate(), DIFFERENT, PARTIAL]
PIECE = re.compile(rb'"[^"]*"|[0-9]+|true|false|null|.', re.DOTALL)
NASTY = [
    *(b"", b" ", b"\0", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b'"', b"\\", b"\\ud800", b"\\u0000"),
    *(b"true", b"false", b"null", b"NaN", b"Infinity", b"-0", b"1e9999", b"-1", b"0", b"1", b"9" * 30, b"1.0", b"1E2"),
    *(b"{}", b"[]", b"{", b"}", b"[", b"]", b",", b":", b"[" * 200, b'{"a":' * 200, b'"identical"', b'"different"'),
    *(
        b'"result":"identical"',
        b'"identical":true',
        b'"complete":true',
        b'"error":""',
        b'"sample":null',
        b"=",
        b"==",
        b"-_",
    ),
]


def mutate(data, chance):
    """The data with one to four things done to it."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        data = chance.choice((bits, cut, doubled, pieces, pieces, pieces, swapped))(data, chance)
    return data


def bits(data, chance):
    made = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        if made:
            made[chance.randrange(len(made))] ^= 1 << chance.randrange(8)
    return bytes(made)


def span(data, chance):
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + chance.choice((1, 2, 8, 64, 1000)))


def cut(data, chance):
    start, end = span(data, chance)
    return data[:start] + data[end:]


def doubled(data, chance):
    start, end = span(data, chance)
    at = chance.choice((end, chance.randrange(len(data) + 1)))
    return data[:at] + data[start:end] + data[at:]


def pieces(data, chance):
    """A token is replaced by a nasty one, or by another token."""
    found = PIECE.findall(data)
    if not found:
        return chance.choice(NASTY)
    at = chance.randrange(len(found))
    found[at] = chance.choice((*NASTY, *chance.choices(found, k=8)))
    return b"".join(found)


def swapped(data, chance):
    found = PIECE.findall(data)
    if len(found) > 1:
        one, other = chance.randrange(len(found)), chance.randrange(len(found))
        found[one], found[other] = found[other], found[one]
    return b"".join(found)


def told(checked):
    """Whatever was accepted can be shown too."""
    text = "\n".join(lines(checked, "unchecked"))
    assert text.isprintable() or text.replace("\n", "").isprintable()
    return text


def is_identical(payload):
    """Whether a payload may be called identical: judged by itself, of plain JSON."""
    made = json.loads(payload)["predicate"]
    report, found = made["report"], made["differences"]
    return (
        report["identical"] is True
        and report["complete"] is True
        and (found["count"], found["bytes"], found["sha256"]) == (0, 0, EMPTY)
        and (report["difference_count"], report["differing_bytes"], report["unreadable_bytes"]) == (0, 0, 0)
        and not report.get("error")
        and report.get("sample") is None
    )


def judge(data, keys, original):
    """True if the receipt was accepted. Then it says what was signed, and nothing that it does not say."""
    try:
        checked = check(data, "r", keys)
    except InvalidInput:
        return False
    told(checked)
    if keys:
        assert (checked.envelope.payload_type, checked.envelope.payload) == original
    if checked.receipt.predicate.result == "identical":
        assert is_identical(checked.envelope.payload)
    return True


def forged_file(fields, chance):
    """The file was changed: also by somebody who keeps its JSON and its base64 right."""
    data, keys = issue(fields, KEY), [KEY.public]
    original = decode(data, "r")
    kind = chance.randrange(4)
    if kind == 0:
        data = mutate(data, chance)
    elif kind == 1:
        data = encode(original._replace(payload=mutate(original.payload, chance)))
    elif kind == 2:
        signature = original.signatures[0]
        data = encode(original._replace(signatures=(signature._replace(sig=mutate(signature.sig, chance)),)))
    else:
        another = json.loads(data) | {"payload": base64.b64encode(encode_statement(chance.choice(RECEIPTS))).decode()}
        data = mutate(json.dumps(another).encode(), chance)
    return data, keys, original[:2]


def forged_statement(fields, chance):
    """The holder of the key signs nonsense."""
    payload = mutate(encode_statement(fields), chance)
    return encode(signed(Envelope(IN_TOTO, payload), KEY)), [KEY.public], (IN_TOTO, payload)


def forged_unsigned(fields, chance):
    """Nobody signed, or a key that is not the one."""
    data = issue(fields, chance.choice((None, OTHER)))
    return mutate(data, chance), chance.choice(([], [KEY.public])), None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("forge", [forged_file, forged_statement, forged_unsigned])
def test_nothing_forged_is_believed(forge, seed):
    chance = random.Random(f"{forge.__name__} {seed}")
    refused = 0
    for _ in range(INPUTS // 12):
        data, keys, original = forge(chance.choice(RECEIPTS), chance)
        judge(data, keys, original)
        try:
            told(look(data, "r"))
        except InvalidInput:
            refused += 1
    assert refused


def test_the_judge_accepts_what_is_right():
    for fields in RECEIPTS:
        data = issue(fields, KEY)
        assert judge(data, [KEY.public], decode(data, "r")[:2])
