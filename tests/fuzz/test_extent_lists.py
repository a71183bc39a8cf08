"""Lists of extents that were changed at random: what is read says the same as what the standard library reads of it.

FUZZ_LISTS is how many changed lists of each format are tried.
"""

import io
import json
import os
import random
import xml.etree.ElementTree as ET

import pytest

from blockdiff._fast import ExtentParser
from blockdiff.engine.stream import concatenate
from blockdiff.errors import InvalidInput
from tests.fuzz.invent import mutated, pieces
from tests.native import listoracle
from tests.native.oracle import tuples

ROUNDS = int(os.environ.get("FUZZ_LISTS", "0")) or 1500
SHAPES = {
    "lister": [
        {
            "block_metadata_type": 2,
            "volume_capacity_bytes": 65536,
            "block_metadata": [{"size_bytes": 512}, {"byte_offset": 4096, "size_bytes": 8192, "kind": "zero"}],
        },
        {"block_metadata": [{"byte_offset": 16384, "size_bytes": 1}], "volume_capacity_bytes": 65536},
    ],
    "rbd": [{"offset": 0, "length": 4096, "exists": "true"}, {"offset": 8192, "length": 4096, "exists": "false"}],
    "qemu": [
        {"start": 0, "length": 10, "depth": 0, "present": True, "zero": True, "data": False, "offset": 0},
        {"start": 10, "length": 10, "depth": 0, "present": False, "zero": True, "data": False},
        {"start": 20, "length": 5, "depth": 1, "present": True, "zero": False, "data": True, "offset": 327680},
    ],
    "nbd": [
        {"offset": 0, "length": 65536, "type": 0, "description": "data"},
        {"offset": 65536, "length": 65536, "type": 3, "description": "hole,zero"},
        {"offset": 131072, "length": 1, "type": 2, "description": "zero"},
    ],
    "bitmap": [
        {"offset": 0, "length": 65536, "type": 0, "description": "clean"},
        {"offset": 65536, "length": 65536, "type": 1, "description": "dirty"},
    ],
    "ovirt": [
        {"start": 0, "length": 65536, "zero": False, "hole": False},
        {"start": 65536, "length": 65536, "zero": True, "hole": False},
        {"start": 131072, "length": 7, "zero": True, "hole": True},
    ],
    "ovirt-dirty": [
        {"start": 0, "length": 65536, "dirty": True, "zero": False},
        {"start": 65536, "length": 65536, "dirty": False, "zero": False},
        {"start": 131072, "length": 7, "dirty": True, "zero": True},
    ],
    "report": {
        "schema_version": 1,
        "command": "verify",
        "difference_count": 2,
        "differences": [
            {"offset": 0, "length": 512, "class": "data"},
            {"offset": 1024, "length": 512, "class": "bit-flip"},
        ],
    },
}
SUMMARY = {"schema_version": 1, "command": "verify", "complete": True, "difference_count": 2}
THIN = """<superblock uuid="" time="2" data_block_size="128" nr_data_blocks="1000">
  <diff left="1" right="2">
    <same begin="0" length="4"/><different begin="4" length="2"/><left_only begin="20" length="5"/>
    <!-- end --><right_only begin="70" length="7"/>
  </diff>
</superblock>
"""
GROUPS = """<superblock data_block_size="128" version="2"><diff left="1" right="2">
<same><range begin="0" data_begin="0" length="4"/></same>
<different><range begin="4" left_data_begin="4" right_data_begin="60" length="2"/></different>
<left_only><range begin='20' data_begin='1' length='5'/><range begin="30" length="5"/></left_only>
</diff></superblock>"""
SEEDS = {
    **{name: tuple(json.dumps(shape, indent=indent) for indent in (None, 1)) for name, shape in SHAPES.items()},
    "lines": tuple(
        "\n".join(json.dumps(item) for item in items)
        for items in (
            SHAPES["lister"],
            [*SHAPES["report"]["differences"], SUMMARY],
            [{"offset": 5, "length": 5, "kind": "hole"}],
        )
    ),
    "thin-delta": (THIN, GROUPS),
}


def second_opinion(text, found):
    """What the standard library reads; of XML we do not look at all that is no range, so it may refuse more."""
    try:
        return listoracle.read(text)
    except ET.ParseError as error:
        if any(word in str(error) for word in ("entity", "not well-formed", "duplicate attribute")):
            return found
        raise


def judge(text):
    """True if the list is read; what is then found is all that is in it."""
    parser = ExtentParser(io.BytesIO(text), "list", block_size=None)
    try:
        found = tuples(concatenate(list(parser)))
    except InvalidInput as error:
        words = str(error)
        assert words.startswith("list:"), words
        line, column = map(int, words.split(":")[1:3])
        assert 1 <= line <= text.count(b"\n") + 1, words
        assert 1 <= column <= len(text) + 1, words
        assert len(words) < 600, words
        return False
    assert found == second_opinion(text, found), text
    assert listoracle.sane(found), text
    assert parser.end == (found[-1][0] + found[-1][1] if found else 0)
    return True


@pytest.mark.parametrize("name", SEEDS)
def test_changed_lists(name):
    seeds = SEEDS[name]
    others = tuple(seed for more in SEEDS.values() for seed in more)
    chance, words = random.Random(f"lists-{name}"), pieces(others)
    assert all(judge(seed.encode()) for seed in seeds)
    for _ in range(ROUNDS):
        judge(mutated(chance, seeds, words).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("name", SEEDS)
def test_changed_bytes(name):
    """Bytes that are no text, and every place where a list could be cut."""
    chance = random.Random(f"bytes-{name}")
    for seed in SEEDS[name]:
        text = seed.encode()
        for end in range(len(text)):
            if judge(text[:end]):  # only white space, or whole lines, are gone
                rest = text[end:].strip()
                assert not rest or (name == "lines" and rest.startswith(b"{")), text[:end]
        for _ in range(ROUNDS // 10):
            changed = bytearray(text)
            changed[chance.randrange(len(changed))] = chance.randrange(256)
            judge(bytes(changed))
