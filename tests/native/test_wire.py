import random

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from blockdiff._fast import Extents, decode_metadata, encode_metadata
from blockdiff.csi._pb import csi, kube
from blockdiff.errors import InvalidInput, OutOfOrder, SourceError
from tests.native.oracle import tuples

TOP = 2**63 - 1
MESSAGES = {
    "kube-allocated": kube.GetMetadataAllocatedResponse,
    "kube-delta": kube.GetMetadataDeltaResponse,
    "csi-allocated": csi.GetMetadataAllocatedResponse,
    "csi-delta": csi.GetMetadataDeltaResponse,
}
Delta = MESSAGES["kube-delta"]

numbers = st.one_of(
    st.integers(0, TOP),
    st.integers(0, 300),
    st.builds(lambda power, less: max(0, 2**power - less), st.integers(0, 62), st.integers(-1, 1)),
)


def varint(value, size=1):
    """The usual bytes of a number; of at least so many bytes, as nobody writes it."""
    out = bytearray()
    value &= 2**64 - 1
    while value >= 0x80 or len(out) + 1 < size:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def tagged(field, wire, payload=b""):
    return varint(field << 3 | wire) + payload


def sized(field, payload):
    return tagged(field, 2, varint(len(payload)) + payload)


def group(field, *inside):
    return tagged(field, 3) + b"".join(inside) + tagged(field, 4)


def number(field, value, size=1):
    return tagged(field, 0, varint(value, size))


@st.composite
def sets(draw):
    """Extents anywhere in [0, 2^63)."""
    cuts = sorted(draw(st.sets(numbers, max_size=40)))
    return Extents([(a, b - a) for a, b in zip(cuts[::2], cuts[1::2], strict=False)])


def build(message, kind, capacity, extents):
    built = message(block_metadata_type=kind, volume_capacity_bytes=capacity)
    for extent in extents:
        built.block_metadata.add(byte_offset=extent.offset, size_bytes=extent.length)
    return built


def facts(built):
    """What protobuf read, as we give it."""
    found = [(t.byte_offset, t.size_bytes) for t in built.block_metadata]
    return built.block_metadata_type, built.volume_capacity_bytes, found


def ours(data):
    kind, capacity, extents = decode_metadata(data)
    return kind, capacity, [(offset, length) for offset, length, _ in tuples(extents)]


def in_order(found):
    end = 0
    for offset, length in found:
        if length <= 0 or offset < end or offset + length > TOP:
            return False
        end = offset + length
    return True


def check_error(error, data, wanted):
    """Protobuf refuses too, except: numbers that lose bits there, deep groups, their fields 0, tuples out of order."""
    if isinstance(error, OutOfOrder):
        assert error.index is not None
        assert wanted is None or not in_order(wanted[2])
    else:
        assert 0 <= error.position <= len(data)
        stricter = ("too many bytes", "too deep", "no field begins")
        assert wanted is None or any(text in str(error) for text in stricter)


def judge(data):
    """Ours against protobuf's: the same facts, or an error of ours."""
    try:
        wanted = facts(Delta.FromString(data))
    except DecodeError:
        wanted = None
    try:
        found = ours(data)
    except (SourceError, OutOfOrder) as error:
        return check_error(error, data, wanted)
    assert found == wanted
    assert in_order(found[2])
    return found


@pytest.mark.parametrize("message", [pytest.param(message, id=name) for name, message in MESSAGES.items()])
@given(kind=st.sampled_from([0, 1, 2]), capacity=numbers, extents=sets())
def test_bytes_are_those_of_protobuf(message, kind, capacity, extents):
    built = build(message, kind, capacity, extents)
    data = encode_metadata(kind, capacity, extents)
    assert data == built.SerializeToString()
    assert decode_metadata(data) == (kind, capacity, extents)


@given(kind=st.integers(-(2**31), 2**31 - 1), capacity=st.integers(-(2**63), TOP))
@example(kind=-1, capacity=-1)
def test_every_type_and_capacity(kind, capacity):
    data = encode_metadata(kind, capacity, Extents())
    assert data == Delta(block_metadata_type=kind, volume_capacity_bytes=capacity).SerializeToString()
    assert decode_metadata(data) == (kind, capacity, Extents())


@pytest.mark.parametrize(
    "value", [i for power in range(64) for i in (2**power - 1, 2**power, 2**power + 1) if i <= TOP]
)
def test_every_length_of_numbers(value):
    extents = Extents([(0, value)] if value else []) if value == TOP else Extents([(value, TOP - value)])
    data = encode_metadata(1, value, extents)
    assert data == build(Delta, 1, value, extents).SerializeToString()
    for padding in (b"", sized(15, bytes(40))):
        assert decode_metadata(data + padding) == (1, value, extents)


@pytest.mark.parametrize("n", [1, 2, 3, 4095, 4096, 4097, 600_000])
def test_many_tuples(n):
    extents = Extents([(i * 8192, 4096) for i in range(n)])
    data = encode_metadata(1, n * 8192, extents)
    assert data == build(Delta, 1, n * 8192, extents).SerializeToString()
    assert decode_metadata(data) == (1, n * 8192, extents)


def test_empty():
    assert encode_metadata(0, 0, Extents()) == b""
    for empty in (b"", bytearray(), memoryview(b"")):
        assert decode_metadata(empty) == (0, 0, Extents())


def test_kinds_are_not_written():
    assert encode_metadata(2, 9, Extents([(1, 2, 1), (3, 4, 2)])) == encode_metadata(2, 9, Extents([(1, 2), (3, 4)]))


@pytest.mark.parametrize("arguments", [(2**31, 0), (-(2**31) - 1, 0), (2**70, 0), (1, 2**63), (1, -(2**63) - 1)])
def test_numbers_that_do_not_fit(arguments):
    with pytest.raises(InvalidInput):
        encode_metadata(*arguments, Extents())


@pytest.mark.parametrize("arguments", [(None, 0, Extents()), (1, "1", Extents()), (1, 0, None), (1, 0, [])])
def test_arguments_of_other_types(arguments):
    with pytest.raises(TypeError):
        encode_metadata(*arguments)


def test_any_contiguous_buffer():
    extents = Extents([(4096, 512)])
    data = encode_metadata(2, 8192, extents)
    for given_ in (data, bytearray(data), memoryview(b"x" + data)[1:]):
        assert decode_metadata(given_) == (2, 8192, extents)
    with pytest.raises(TypeError):
        decode_metadata("text")
    with pytest.raises(BufferError):
        decode_metadata(memoryview(data * 2)[::2])


# ---- other forms of the same message ----

TUPLE = sized(3, number(1, 4096) + number(2, 512))
UNKNOWN = [
    number(7, 2**64 - 1),
    tagged(7, 1, bytes(8)),
    tagged(7, 5, bytes(4)),
    sized(7, b"abc"),
    group(7),
    group(7, number(1, 1), group(8, sized(3, b"xyz")), tagged(9, 5, bytes(4))),
    number(2**29 - 1, 0),
    sized(1, b"\x01"),  # a field of ours, in the form of another
    sized(2, b"\x01"),
    number(3, 1),
]


@pytest.mark.parametrize("unknown", UNKNOWN, ids=range(len(UNKNOWN)))
def test_unknown_fields_are_skipped(unknown):
    head = number(1, 2) + number(2, 10_000)
    # the tuple's size as a group or as 8 bytes is unknown too
    for data in (unknown + head + TUPLE, head + unknown + TUPLE, head + TUPLE + unknown):
        assert judge(data) == (2, 10_000, [(4096, 512)])
    inside = unknown if unknown not in UNKNOWN[7:] else sized(3, b"")
    for entry in (inside + number(1, 4096) + number(2, 512), number(2, 512) + inside + number(1, 4096)):
        for rest in (b"", TUPLE_AFTER):
            found = judge(head + sized(3, entry) + rest)
            assert found is not None
            assert found[2][0] == (4096, 512)


TUPLE_AFTER = b"".join(sized(3, number(1, 10_000 + i) + number(2, 1)) for i in range(10))


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        pytest.param(number(2, 512) + number(1, 4096), (4096, 512), id="size-first"),
        pytest.param(number(1, 1) + number(2, 2) + number(1, 4096) + number(2, 512), (4096, 512), id="last-wins"),
        pytest.param(number(1, 0) + number(2, 512), (0, 512), id="zero-written"),
        pytest.param(number(1, 4096, 10) + number(2, 512, 10), (4096, 512), id="padded-numbers"),
        pytest.param(number(1, 4096, 8) + number(2, 512, 8), (4096, 512), id="padded-to-8"),
        pytest.param(number(1, 4096, 9) + number(2, 512, 9), (4096, 512), id="padded-to-9"),
        pytest.param(varint(8, 5) + varint(4096) + varint(16, 3) + varint(512), (4096, 512), id="padded-tags"),
    ],
)
@pytest.mark.parametrize("rest", [b"", TUPLE_AFTER], ids=["alone", "followed"])
def test_forms_of_a_tuple(entry, wanted, rest):
    for payload in (sized(3, entry), tagged(3, 2, varint(len(entry), 5) + entry), varint(26, 4) + sized(3, entry)[1:]):
        found = judge(payload + rest)
        assert found is not None
        assert found[2][0] == wanted


def test_repeated_scalars_and_any_order():
    assert judge(TUPLE + number(2, 5) + number(1, 1) + number(2, 9000) + number(1, 2)) == (2, 9000, [(4096, 512)])


# ---- what is no message ----

BROKEN = {
    "half-tag": (b"\x80", 0),
    "half-number": (number(1, 2) + b"\x10\x80", 3),
    "number-missing": (b"\x08", 1),
    "overlong-number": (tagged(2, 0, b"\x80" * 10 + b"\x01"), 1),
    "overlong-tag": (b"\x88" + b"\x80" * 5 + b"\x00" * 3, 0),
    "overlong-length": (b"\x1a" + b"\x80" * 5 + b"\x00", 1),
    "length-past-the-end": (b"\x1a\x05\x10\x01", 1),
    "length-of-2^32": (b"\x1a\xff\xff\xff\xff\x0f\x10\x01", 1),
    "length-of-2^35": (b"\x1a\xff\xff\xff\xff\x7f\x10\x01", 1),
    "8-bytes-cut": (tagged(9, 1, bytes(7)), 0),
    "4-bytes-cut": (tagged(9, 5, bytes(3)), 0),
    "field-0": (number(1, 1) + b"\x00\x00", 2),
    "wire-type-6": (b"\x0e", 0),
    "wire-type-7": (number(2, 300) + b"\x0f", 3),
    "end-of-no-group": (b"\x3c", 0),
    "group-without-end": (b"\x3b", 0),
    "group-with-another-end": (b"\x3b\x44", 1),
    "groups-too-deep": (b"\x3b" * 200 + b"\x3c" * 200, 64),
    "tuple-number-leaves-the-tuple": (b"\x1a\x03\x08\x01\x10\x01" + bytes(40), 5),
    "tuple-number-cut-by-the-tuple": (b"\x1a\x04\x08\x01\x10\x80\x01" + bytes(40), 5),
    "tuple-group-leaves-the-tuple": (b"\x1a\x01\x3b\x3c" + bytes(40), 2),
}


@pytest.mark.parametrize(("data", "position"), BROKEN.values(), ids=BROKEN)
def test_broken_wire(data, position):
    with pytest.raises(DecodeError):
        Delta.FromString(data)
    with pytest.raises(SourceError, match=rf"byte {position}\)") as caught:
        decode_metadata(data)
    assert caught.value.position == position
    assert not isinstance(caught.value, OutOfOrder)


def test_a_number_that_loses_bits():
    data = tagged(2, 0, b"\xff" * 9 + b"\x03")
    assert Delta.FromString(data).volume_capacity_bytes == -1
    with pytest.raises(SourceError, match="byte 1"):
        decode_metadata(data)


ORDER = {
    "empty": ([(0, 4), (8, 0)], 1),
    "negative-size": ([(0, -1)], 0),
    "negative-offset": ([(0, 1), (-4096, 4096)], 1),
    "lowest": ([(-(2**63), TOP)], 0),
    "overflow": ([(1, 1), (TOP, 1)], 1),
    "overflow-by-size": ([(2, TOP - 1)], 0),
    "size-of-2^63": ([(0, -(2**63))], 0),
    "descending": ([(8, 8), (0, 8), (16, 1)], 1),
    "overlapping": ([(0, 8), (7, 1)], 1),
    "twice": ([(0, 8), (8, 8), (8, 8)], 2),
}


@pytest.mark.parametrize(("found", "index"), ORDER.values(), ids=ORDER)
@pytest.mark.parametrize("padding", [b"", sized(15, bytes(40))], ids=["alone", "followed"])
def test_out_of_order(found, index, padding):
    message = Delta(block_metadata_type=2)
    for offset, length in found:
        message.block_metadata.add(byte_offset=offset, size_bytes=length)
    with pytest.raises(OutOfOrder, match=f"extent {index} ") as caught:
        decode_metadata(message.SerializeToString() + padding)
    assert caught.value.index == index


def test_int64_limits():
    for extents in (Extents([(0, TOP)]), Extents([(TOP - 1, 1)]), Extents([(0, 1), (2**62, 2**62 - 1)])):
        data = encode_metadata(2, TOP, extents)
        assert data == build(Delta, 2, TOP, extents).SerializeToString()
        assert decode_metadata(data + sized(15, bytes(40))) == (2, TOP, extents)


# ---- whatever bytes come ----


@given(data=st.binary(max_size=200))
def test_random_bytes(data):
    judge(data)


@given(data=st.lists(st.sampled_from(
    [*UNKNOWN, TUPLE, number(1, 1), number(1, -1), number(2, 9), b"\x1a", b"\x08", b"\x10", b"\x80", b"\x3b", b"\x3c"]
)).map(b"".join))  # fmt: skip
def test_random_fields(data):
    judge(data)


@given(extents=sets(), seed=st.integers(0, 2**32), flips=st.integers(0, 4), cut=st.booleans())
def test_bit_flips_and_truncation(extents, seed, flips, cut):
    data = bytearray(encode_metadata(2, TOP, extents))
    chance = random.Random(seed)
    for _ in range(flips):
        at = chance.randrange(len(data))
        data[at] ^= 1 << chance.randrange(8)
    judge(bytes(data[: chance.randrange(len(data) + 1)] if cut else data))


def test_every_truncation():
    data = encode_metadata(1, 2**40, Extents([(i << 33, 4096) for i in range(1, 20)]))
    for size in range(len(data)):
        # a copy of its own, so that a sanitizer sees a step beyond
        judge(bytes(data[:size]))
