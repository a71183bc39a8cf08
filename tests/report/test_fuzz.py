"""Spoilt reports: refused with their place, or read as what Python's own JSON reader says that they are.

``BLOCKDIFF_FUZZ`` is how many are tried; docs/report.md records the largest run.
"""

import io
import json
import os
import random
from contextlib import suppress

import pytest

from blockdiff.errors import InvalidInput
from blockdiff.report.page import render
from blockdiff.report.reading import in_order, read_report
from blockdiff.report.verdict import judge
from tests.report.making import G, report, text_of

COUNT = int(os.environ.get("BLOCKDIFF_FUZZ", "2500"))
SEED = int(os.environ.get("BLOCKDIFF_FUZZ_SEED", "1"))
SIZE = 1 << 20
LISTS = ("differences", "under_reported", "ranges")
TOKENS = [
    b"true", b"false", b"null", b"0", b"1", b"-1", b"9007199254740993", b"1e3", b"1.5", b"[]", b"{}", b'""', b'"data"',
    b'"identical":true', b'"complete":true', b'"difference_count":0', b'"differing_bytes":0', b'"differences":[]', b",",
    b'"unreadable":[]', b'"unreadable_bytes":0', b'"runs":[]', b":", b'"', b"\\ud800", b"\xff", b"\\u0000", b"}", b"{",
]  # fmt: skip


def lines(value):
    key = next((name for name in LISTS if name in value), "")
    rest = {name: item for name, item in value.items() if name != key}
    return b"\n".join(json.dumps(item, separators=(",", ":")).encode() for item in [*value[key], rest])


def seeds():
    found = [(0, G), (3 * G, 2 * G, 19), (SIZE - 100, 100, 20)]
    different = report(found, SIZE, bad=[(8 * G, G)], triage={"stale": {"bytes": G}})
    same = report([], SIZE, holes=[(0, G)])
    audit = {**report(found, SIZE, map=None), "command": "audit", "correct": False, "under_reported_bytes": 3 * G}
    audit["under_reported"] = audit.pop("differences")
    copied = {**report([], SIZE, map=None), "command": "copy", "verified": True, "difference_count": 4}
    sample = {**same, "identical": False, "complete": False, "sample": {"seed": 1}}
    repair = {"planned": False, "remaining_ranges": 0, "remaining_bytes": 0}
    repaired = {**report(found, SIZE, repair=repair), "identical": True}
    values = [different, same, repaired, report([], 0), audit, copied, sample, report(found[:1], SIZE, map=None)]
    return [form(value) for value in values for form in (text_of, lines)]


def spoilt(text, dice):
    """The text with a few bytes, tokens or pieces changed, and sometimes cut."""
    text = bytearray(text)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 6))):
        at = dice.randrange(len(text) + 1)
        length = dice.choice((0, 1, 1, 2, 5, 20))
        way = dice.randrange(6)
        if way == 0:
            text[at : at + length] = dice.randbytes(dice.randrange(4))
        elif way == 1:
            text[at : at + length] = dice.choice(TOKENS)
        elif way == 2:
            other = dice.randrange(len(text) + 1)
            text[at:at] = text[other : other + dice.randrange(60)]
        elif way == 3:
            del text[at : at + dice.randrange(60)]
        elif way == 4:
            flip(text, dice)
        elif dice.random() < 0.1:
            del text[at:]
    return bytes(text)


def flip(text, dice):
    """Another value for one that is there: what makes a lie of a true report."""
    old, new = dice.choice([(b"false", b"true"), (b"true", b"false"), (b"4096", b"0"), (b"[{", b"[]"), (b": ", b":0")])
    at = text.find(old, dice.randrange(len(text) + 1))
    if at >= 0:
        text[at : at + len(old)] = new


def told(text):
    """What it says, read by other means: the report and the ranges that are lines or a list."""
    decoder, values, at = json.JSONDecoder(), [], 0
    plain = text.decode()
    while at < len(plain):
        if plain[at].isspace():
            at += 1
            continue
        value, at = decoder.raw_decode(plain, at)
        values.append(value)
    *ranges, last = values
    return last, ranges + [item for name in LISTS if isinstance(last.get(name), list) for item in last[name]]


def says_identical(value, ranges):
    """The oracle: nothing in the report speaks against it."""
    if value["identical"] is not True or value["complete"] is not True or value.get("error"):
        return False
    if value.get("unreadable") or value.get("unreadable_bytes"):
        return False
    runs = (value.get("map") or {}).get("runs", [])
    if any(run.get("bad") for run in runs):
        return False
    repair = value.get("repair")
    if isinstance(repair, dict):
        done = (repair.get("planned"), repair.get("remaining_ranges"), repair.get("remaining_bytes"))
        if done[0] is False and done[1:] == (0, 0):
            return True
    if value["command"] != "copy" and any(run.get("changed") for run in runs):
        return False
    if value["command"] == "verify" and ranges:
        return False
    return value["command"] == "copy" or not (value["difference_count"] or value["differing_bytes"])


def read(text, limit):
    """The run, or None where the text was refused with the file's name."""
    refusal = None
    try:
        return read_report(io.BytesIO(text), "r.json", limit=limit)
    except InvalidInput as error:
        refusal = str(error)
    assert "r.json" in refusal
    return None


@pytest.mark.timeout(7200)
def test_spoilt_reports():
    dice = random.Random(SEED)
    whole = seeds()
    refused = accepted = same = 0
    for number in range(COUNT):
        text = spoilt(dice.choice(whole), dice)
        run = read(text, dice.choice((0, 2, 100)))
        if run is None:
            refused += 1
            continue
        accepted += 1
        value, ranges = told(text)
        assert run.facts.identical is value["identical"], text
        assert run.listed.count == len(ranges), text
        if run.facts.identical:
            same += 1
            assert says_identical(value, ranges), text
        assert run.facts.identical or "dentical" not in judge(run).word, text
        if number % 50 == 0:
            render(in_order([run]), title="T", made_at="now")
    assert refused
    if COUNT > 1000:
        assert accepted
        assert same


@pytest.mark.parametrize("text", seeds())
def test_the_seeds_are_reports(text):
    run = read_report(io.BytesIO(text), "r.json", limit=10)
    value, ranges = told(text)
    assert (run.facts.identical, run.listed.count) == (value["identical"], len(ranges))
    with suppress(KeyError):
        assert not run.facts.identical or says_identical(value, ranges)
