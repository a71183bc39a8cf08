"""Ranges and blocks, against a naive reference."""

import random

import pytest

from blockdiff import Extents
from blockdiff.csi.provider import shape as shapes
from blockdiff.csi.provider.shape import Shape
from blockdiff.engine.source import ordered
from blockdiff.errors import InvalidInput
from blockdiff.record import BlockMetadataType
from tests.fixtures.provider import tuples


def random_extents(rng, capacity, count):
    ends = sorted(rng.sample(range(capacity + 1), 2 * count))
    return [(lo, hi - lo) for lo, hi in zip(ends[::2], ends[1::2], strict=True)]


def batched(items, rng):
    while items:
        count = rng.randint(0, 5)
        yield Extents(items[:count])
        items = items[count:]


def naive(items, size, capacity):
    touched = sorted({block for lo, n in items for block in range(lo // size, -(-(lo + n) // size))})
    return [(block * size, min(size, capacity - block * size)) for block in touched]


@pytest.mark.parametrize("capacity", [65536, 65536 + 700, 512, 100], ids=str)
@pytest.mark.parametrize("batch", [1, 3, 65536])
@pytest.mark.parametrize("size", [512, 4096])
def test_blocks(monkeypatch, capacity, size, batch):
    monkeypatch.setattr(shapes, "BATCH", batch)
    rng = random.Random(capacity * size + batch)
    for count in (0, 1, 2, min(30, capacity // 4)):
        items = random_extents(rng, capacity, count)
        records = list(ordered(Shape(fixed=True, block_size=size).records(batched(items, rng), capacity)))
        assert tuples(records) == naive(items, size, capacity)
        wanted = BlockMetadataType.VARIABLE_LENGTH if capacity % size else BlockMetadataType.FIXED_LENGTH
        assert {record.type for record in records} == {wanted}
        assert all(len(record.extents) <= batch for record in records)


def test_ranges_are_joined():
    batches = [Extents([(0, 10, 0), (10, 10, 1), (30, 5, 0)]), Extents(), Extents([(40, 1, 1)])]
    records = list(Shape().records(iter(batches), 100))
    assert tuples(records) == [(0, 20), (30, 5), (40, 1)]


@pytest.mark.parametrize("fixed", [False, True])
def test_an_empty_list_has_type_and_capacity(fixed):
    (record,) = Shape(fixed=fixed).records(iter([]), 8192)
    assert (record.type, record.capacity, len(record.extents)) == (2 - fixed, 8192, 0)


def test_a_huge_volume_is_made_in_pieces():
    records = Shape(fixed=True, block_size=512).records(iter([Extents([(0, 1 << 50)])]), 1 << 50)
    first = next(records)
    assert len(first.extents) == shapes.BATCH
    assert first.extents.end == shapes.BATCH * 512


@pytest.mark.parametrize("size", [0, -512, 256, 513, 3000, 1 << 21])
def test_wrong_block_sizes(size):
    with pytest.raises(InvalidInput, match="power of two"):
        Shape(block_size=size)
