import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff._fast import ExtentParser, Extents, Template, format_extents
from blockdiff.engine.stream import concatenate
from blockdiff.errors import InvalidInput
from blockdiff.extent import Kind
from tests.native.oracle import extent_sets, tuples

TOP = 2**63 - 1
PLAIN = Template((b"", b" ", b"\n"))
LISTER = Template((b'{"byte_offset":', b',"size_bytes":', b"}"), separator=b",")
CLASSES = Template(
    {kind: (b'{"offset":', b',"length":', b',"%s":"%s"}' % (b"class" if kind >= 16 else b"kind", kind.label.encode()))
     for kind in Kind},
    separator=b",",
)  # fmt: skip

numbers = st.one_of(
    st.integers(1, TOP // 2),
    st.builds(lambda power, less: max(1, 10**power - less), st.integers(0, 18), st.integers(0, 1)),
)


@given(offset=st.one_of(st.just(0), numbers), length=numbers)
def test_every_number(offset, length):
    length = min(length, TOP - offset)
    extents = Extents([(offset, length)])
    assert format_extents(extents, PLAIN) == b"%d %d\n" % (offset, length)
    row = Template((b"%7d " % 12, b" ", b"\n"), widths=(14, 9))
    assert format_extents(extents, row) == b"%7d %14d %9d\n" % (12, offset, length)


@pytest.mark.parametrize("offset", [10**i + j for i in range(19) for j in (-1, 0, 1)])
def test_every_count_of_digits(offset):
    assert format_extents(Extents([(offset, 1)]), PLAIN) == b"%d 1\n" % offset


@given(extents=extent_sets(kinds=tuple(Kind)))
def test_as_json_does(extents):
    plain = [{"byte_offset": e.offset, "size_bytes": e.length} for e in extents]
    assert b"[%s]" % format_extents(extents, LISTER) == json.dumps(plain, separators=(",", ":")).encode()
    text = b"[%s]" % format_extents(extents, CLASSES)
    assert concatenate(ExtentParser(io.BytesIO(text))) == extents


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 63, 64, 65, 160])
def test_every_length_of_texts(length):
    text = bytes(range(33, 120)) * 2
    shape = (text[:length], text[1 : length + 1], text[2 : length + 2])
    extents = Extents([(i * 10, 5) for i in range(3000)])
    wanted = b"".join(b"%s%d%s%d%s" % (shape[0], o, shape[1], n, shape[2]) for o, n, _ in tuples(extents))
    assert format_extents(extents, Template(shape)) == wanted


def test_chunks_are_bounded_and_complete():
    extents = Extents([(i * 10, 5) for i in range(50_000)])
    chunks = []
    assert format_extents(extents, LISTER, chunks.append) is None
    assert len(chunks) > 5
    assert max(map(len, chunks)) <= 65536
    assert b"".join(chunks) == format_extents(extents, LISTER)
    assert json.loads(b"[%s]" % b"".join(chunks))[49_999] == {"byte_offset": 499_990, "size_bytes": 5}


def test_a_list_goes_on_in_a_second_call():
    first, second = Extents([(0, 1)]), Extents([(5, 1), (8, 1)])
    assert format_extents(second, LISTER, first=False).startswith(b',{"byte_offset":5')
    whole = format_extents(first, LISTER) + format_extents(second, LISTER, first=False)
    assert whole == format_extents(first | second, LISTER)
    assert format_extents(Extents(), LISTER, first=False) == b""


def test_a_kind_without_a_text():
    got = []
    with pytest.raises(InvalidInput, match="kind zero"):
        format_extents(Extents([(0, 1), (2, 1, 1)]), Template({0: (b"", b" ", b";")}), got.append)
    assert got == [b"0 1;"]


def test_a_sink_that_fails_ends_it():
    def full(_):
        raise OSError(28, "full")

    with pytest.raises(OSError, match="full"):
        format_extents(Extents([(0, 1)]), PLAIN, full)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Template((b"x" * 161, b"", b"")),
        lambda: Template((b"", b"", b""), widths=(65, 0)),
        lambda: Template({99: (b"", b"", b"")}),
    ],
)
def test_templates_that_cannot_be(make):
    with pytest.raises(InvalidInput):
        make()
