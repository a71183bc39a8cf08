"""The arithmetic of chains: later wins, and what growing brings is zero."""

from hypothesis import given, settings
from hypothesis import strategies as st

from blockdiff.exportdiff.form import Header, Piece
from blockdiff.exportdiff.layer import Layer, flatten
from tests.fixtures.exportdiff import Spec, applied, random_chain


def layer(spec, content, number):
    """A layer whose data stands in ``content``, which grows."""
    made = Layer(Header(spec.from_name, spec.to_name, spec.size))
    for offset, data in spec.records:
        zero = isinstance(data, int)
        made.add(Piece(offset, data if zero else len(data), zero, len(content)))
        content += b"" if zero else data
    return number, made


def painted(base, specs, *, size):
    """The image that the flattened chain makes of a base."""
    contents = [bytearray() for _ in specs]
    columns = flatten([layer(spec, contents[i], i) for i, spec in enumerate(specs)], size)
    result = bytearray(base[: specs[-1].size])
    result += bytes(specs[-1].size - len(result))
    end = 0
    for offset, length, zero, file, position in zip(*(column.tolist() for column in columns), strict=True):
        assert length > 0
        assert end <= offset
        end = offset + length
        result[offset:end] = bytes(length) if zero else contents[file][position : position + length]
    assert end <= specs[-1].size
    return bytes(result), columns


@settings(deadline=None)
@given(st.integers(0, 1 << 32))
def test_a_chain_is_what_its_diffs_are_one_by_one(seed):
    base, specs, images = random_chain(seed, whole=False)
    assert painted(base, specs, size=len(base))[0] == images[-1]


@settings(deadline=None)
@given(st.integers(0, 1 << 32))
def test_without_the_size_of_the_base_too(seed):
    """As merge does: the first diff may have cut or grown what it is laid on."""
    base, specs, images = random_chain(seed)
    assert painted(applied(base, specs[0]), specs, size=None)[0] == images[-1]


def test_what_was_cut_off_does_not_come_back():
    base = b"x" * 100
    cut, grown = Spec(10, (), "a", "b"), Spec(100, ((50, b"y"),), "b", "c")
    assert painted(base, [cut, grown], size=100)[0] == b"x" * 10 + bytes(40) + b"y" + bytes(49)


def test_data_beyond_the_end_is_cut():
    result, columns = painted(b"", [Spec(100, ((0, b"x" * 100),), None, "a"), Spec(7, (), "a", "b")], size=None)
    assert result == b"x" * 7
    assert columns[1].tolist() == [7]


def test_nothing_at_all():
    assert painted(b"abc", [Spec(0, (), "a", "b")], size=3)[0] == b""


def test_ranges_are_cut_where_others_begin_and_end():
    first = Spec(100, ((10, bytes(range(1, 81))),), "a", "b")
    second = Spec(100, ((0, b"A" * 12), (20, 5), (30, b"B"), (85, b"C" * 15)), "b", "c")
    result, columns = painted(bytes(100), [first, second], size=100)
    assert result == applied(applied(bytes(100), first), second)
    assert columns[0].tolist() == [0, 12, 20, 25, 30, 31, 85]
