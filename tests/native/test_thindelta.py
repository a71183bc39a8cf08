import io
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff._fast import ExtentParser
from blockdiff.engine.stream import concatenate
from blockdiff.errors import InvalidInput, OutOfOrder
from tests.native import listoracle
from tests.native.oracle import extent_sets, tuples

K = 65536
SIMPLE = """<superblock uuid="" time="2" transaction="3" data_block_size="128" nr_data_blocks="1000">
  <diff left="1" right="2">
    <same begin="0" length="4"/>
    <different begin="4" length="2"/>
    <left_only begin="20" length="5"/>
    <right_only begin="70" length="7"/>
  </diff>
</superblock>
"""
VERBOSE = """<superblock uuid="a &amp; b" version="2" data_block_size='128'>
  <!-- by - hand -->
  <diff left_root="1" right="2"><same><range begin="0" data_begin="0" length="4"/></same>
    <different><range begin="4" left_data_begin="4" right_data_begin="60" length="2"/></different>
    <left_only><range begin="20" data_begin="10" length="3"/><range begin="23" data_begin="90" length="2" ></range>
"""
FOUND = [(0, 4 * K, 2), (4 * K, 2 * K, 0), (20 * K, 5 * K, 0), (70 * K, 7 * K, 0)]


def parse(text, **options):
    parser = ExtentParser(io.BytesIO(text.encode()), "delta.xml", **options)
    return tuples(concatenate(list(parser))), parser


def test_what_the_tool_prints():
    found, parser = parse(SIMPLE)
    assert found == FOUND
    assert (parser.format, parser.context, parser.block_size, parser.versioned) == ("thin-delta", "changes", K, False)
    assert parser.capacity is None


def test_groups():
    text = (
        VERBOSE.replace(" ></range>", "/>") + '</left_only><right_only>\n<range begin="70" length="7" data_begin="1"/>'
    )
    found, parser = parse(f'<?xml version="1.0"?>\n{text}</right_only></diff></superblock >')
    assert found == [*FOUND[:2], (20 * K, 3 * K, 0), (23 * K, 2 * K, 0), FOUND[3]]
    assert parser.versioned


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('<diff left="1" right="2"/>', []),
        ('<diff left="1" right="2"><same begin="1" length="2"/></diff>', [(512, 1024, 2)]),
        ('<superblock><diff><different begin="0" length="1"/></diff></superblock>', [(0, 512, 0)]),
    ],
)
def test_without_a_block_size(text, found):
    assert parse(text, block_size=512)[0] == found
    with pytest.raises(InvalidInput, match="no block size was given"):
        parse(text)


def test_the_end_of_the_volume_may_lie_in_the_last_block():
    text = SIMPLE.replace('begin="70" length="7"', 'begin="70" length="%d"')
    end = 77 * K - 1000
    assert parse(text % 7, limit=end)[0][-1] == (70 * K, end - 70 * K, 0)
    with pytest.raises(InvalidInput, match="past the end of the device"):
        parse(text % 8, limit=end)


DELTA = '<superblock data_block_size="1"><diff>%s</diff></superblock>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<", "1:2: the file ends too early: expected the name of an element"),
        ("<superblock", "ends too early"),
        ('<superblock data_block_size="1">', "expected the end of the superblock"),
        ('<superblock data_block_size="1"></superblock>', "no <diff>"),
        ('<superblock data_block_size="1"/>', "no <diff>"),
        ('<superblock data_block_size="1"><diff>', "expected the end of the diff"),
        ('<superblock data_block_size="1"><diff></superblock>', "<superblock> ends here"),
        (
            '<superblock data_block_size="1"><device/></superblock>',
            "<device> in the superblock, expected <diff>: thin_dump",
        ),
        ('<superblock data_block_size="0"><diff/></superblock>', "data_block_size is 0 sectors"),
        ('<superblock data_block_size="18014398509481984"><diff/></superblock>', "expected from 1 to 2^54 - 1"),
        ('<superblock data_block_size="99999999999999999999"><diff/></superblock>', "a number past 2^63 - 1"),
        ('<superblock data_block_size="1" data_block_size="1"><diff/></superblock>', "appears twice"),
        ('<superblock data_block_size="x"><diff/></superblock>', "found 'x', expected the value of data_block_size"),
        ('<superblock data_block_size="1&#48;"><diff/></superblock>', "found '&'"),
        ("<superblock data_block_size=1><diff/></superblock>", "in quotes"),
        ('<superblock uuid="<"><diff/></superblock>', "found '<', expected the rest of an attribute"),
        ('<superblock uuid="a"time="1"><diff/></superblock>', "found 't', expected a space"),
        ("<!DOCTYPE a><superblock/>", "expected a comment"),
        ('<superblock data_block_size="1"><?a?></superblock>', "found '?'"),
        ("<root/>", "the root of the XML is <root>"),
        ('<superblock data_block_size="1"><diff/><diff/></superblock>', "a second <diff>"),
        (DELTA % "" + "<a/>", "expected the end of the file"),
        (DELTA % "x", "found 'x', expected a tag"),
        (DELTA % '<changed begin="0" length="1"/>', "<changed> in the diff"),
        (DELTA % '<Same begin="0" length="1"/>', "<Same> in the diff"),
        (DELTA % '<same begin="0" length="1"></same>', "is not ended by '/>'"),
        (DELTA % '<same><range begin="0" length="1"></range></same>', "expected <range .../>"),
        (DELTA % '<same><same begin="0" length="1"/></same>', "<same> in <same>"),
        (DELTA % '<same><range begin="0" length="1"/></different>', "<different> ends here"),
        (DELTA % '<different begin="0"/>', "extent 0 has no length"),
        (DELTA % '<different length="1"/>', "extent 0 has no begin"),
        (DELTA % '<different begin="-1" length="1"/>', "found '-'"),
        (DELTA % '<different begin="0" length="0"/>', "is empty"),
        (DELTA % '<different begin="9223372036854775807" length="1"/>', "ends past 2^63 - 1"),
        (DELTA % '<different begin="18014398509481983" length="1"/>', "ends past 2^63 - 1"),
        (DELTA % "<different begin='0\" length='1'/>", "expected the value of begin"),
        (DELTA % "<!-- a -- b -->", "found ' ', expected the end of the comment"),
        (DELTA % "<!-- never ends", "expected the rest of a comment"),
    ],
)
def test_bad_documents(text, message):
    with pytest.raises(InvalidInput, match=r"^delta\.xml:\d+:\d+: ") as caught:
        parse(text)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_block_size_that_is_not_the_documents():
    assert parse(SIMPLE, block_size=K)[0] == FOUND
    with pytest.raises(InvalidInput, match="data_block_size is 65536 bytes, and the block size that was given is 512"):
        parse(SIMPLE, block_size=512)
    with pytest.raises(InvalidInput, match="at least one byte"):
        parse(SIMPLE, block_size=0)


def test_order():
    with pytest.raises(OutOfOrder, match=r"^delta\.xml:1:\d+: extent 1 .* must be ascending"):
        parse(DELTA % '<same begin="4" length="4"/><different begin="7" length="4"/>')


def written(extents, verbose):
    names = {0: "different", 1: "left_only", 2: "same"}
    tag = "<{n}><range begin='{b}' length='{l}'/></{n}>" if verbose else '<{n} begin="{b}" length="{l}"/>'
    return DELTA % "\n ".join(tag.format(n=names[kind], b=offset, l=length) for offset, length, kind in extents)


@given(extents=extent_sets(), verbose=st.booleans(), size=st.integers(1, 30))
def test_as_the_standard_library_reads_it(extents, verbose, size):
    text = written(tuples(extents), verbose).encode()
    file = io.BytesIO(text)
    file.read1 = lambda _=-1: file.read(size)  # every word is cut somewhere
    parser = ExtentParser(file)
    assert tuples(concatenate(list(parser))) == listoracle.read(text)


POOL = """<superblock uuid="" time="2" transaction="3" data_block_size="128" nr_data_blocks="4000">
%s</superblock>
"""
DEVICE = '<device dev_id="%d" mapped_blocks="%d" transaction="0" creation_time="0" snap_time="1">\n%s</device>\n'
MAPPING = '<range_mapping origin_begin="%d" data_begin="%d" length="%d" time="0"/>\n'


@pytest.mark.skipif(shutil.which("thin_restore") is None, reason="no thin_delta (apt install thin-provisioning-tools)")
@pytest.mark.parametrize("verbose", [False, True], ids=["simple", "verbose"])
def test_the_real_thin_delta(tmp_path, verbose):
    """Metadata of a pool whose volumes are known block by block."""
    volumes = {
        1: [(0, 0, 10), (20, 10, 10), (50, 30, 1), (100, 40, 9)],
        2: [(0, 0, 4), (4, 60, 2), (6, 6, 4), (25, 15, 5), (70, 80, 7), (104, 44, 50)],
    }
    devices = "".join(
        DEVICE % (number, sum(length for *_, length in maps), "".join(MAPPING % one for one in maps))
        for number, maps in volumes.items()
    )
    (tmp_path / "pool.xml").write_text(POOL % devices)
    with (tmp_path / "pool").open("wb") as file:
        file.truncate(4 << 20)

    def tool(*words):
        return subprocess.run(words, cwd=tmp_path, check=True, capture_output=True).stdout

    tool("thin_restore", "-i", "pool.xml", "-o", "pool")
    text = tool("thin_delta", "--thin1", "1", "--thin2", "2", *(["--verbose"] if verbose else []), "pool")
    found = concatenate(ExtentParser(io.BytesIO(text)))
    left, right = ({v + i: d + i for v, d, n in volumes[number] for i in range(n)} for number in (1, 2))
    changed = {block for block in left.keys() | right.keys() if left.get(block) != right.get(block)}
    assert {at // K for e in found.only(0) for at in range(e.offset, e.end, K)} == changed
    assert {at // K for e in found.only(2) for at in range(e.offset, e.end, K)} == left.keys() & right.keys() - changed
    assert tuples(found) == listoracle.read(text)
