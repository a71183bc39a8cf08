import pytest

from blockdiff._fast import Extents
from blockdiff.csi import wire
from blockdiff.csi._pb import csi, kube
from blockdiff.errors import OutOfOrder, SourceError
from blockdiff.record import BlockMetadataType, Record

RECORD = Record(BlockMetadataType.FIXED_LENGTH, 1 << 20, Extents([(0, 4096), (8192, 4096)]))


@pytest.mark.parametrize("message", [kube.GetMetadataDeltaResponse, csi.GetMetadataAllocatedResponse])
def test_both_ways(message):
    data = wire.encode(RECORD)
    built = message.FromString(data)
    assert [(t.byte_offset, t.size_bytes) for t in built.block_metadata] == [(0, 4096), (8192, 4096)]
    assert (built.block_metadata_type, built.volume_capacity_bytes) == (1, 1 << 20)
    assert wire.decode(built.SerializeToString()) == RECORD
    assert list(wire.decode_all([data, data])) == [RECORD, RECORD]


@pytest.mark.parametrize("kind", [3, 99, -1, 2**31 - 1])
def test_unknown_types_are_trouble(kind):
    data = kube.GetMetadataDeltaResponse(block_metadata_type=kind).SerializeToString()
    with pytest.raises(SourceError, match=f"{kind} is no known type of block metadata"):
        wire.decode(data)


def test_bad_data():
    with pytest.raises(SourceError, match="not a message"):
        wire.decode(b"\xff\xff")
    message = kube.GetMetadataDeltaResponse(block_metadata_type=2)
    message.block_metadata.add(byte_offset=5)
    with pytest.raises(OutOfOrder):
        wire.decode(message.SerializeToString())


def test_a_negative_capacity_is_none():
    """Nothing could be held against it: no range would be past the end."""
    with pytest.raises(SourceError, match="-5 is no capacity"):
        wire.decode(wire.encode(RECORD._replace(capacity=-5)))
