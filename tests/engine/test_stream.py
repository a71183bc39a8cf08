import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff._fast import Extents
from blockdiff.engine import stream
from blockdiff.errors import OutOfOrder
from blockdiff.record import Record
from tests.native.oracle import SPAN, batched, byte_map, extent_sets


def whole(parts):
    return stream.concatenate(parts)


@pytest.mark.parametrize("name", ["union", "intersect", "subtract"])
@given(a=extent_sets(), b=extent_sets(), data=st.data())
def test_two_streams(name, a, b, data):
    found = getattr(stream, name)(batched(data.draw, a), batched(data.draw, b))
    assert whole(found) == getattr(a, name)(b)


@given(a=extent_sets(), capacity=st.integers(0, SPAN + 5), data=st.data())
def test_complement(a, capacity, data):
    assert whole(stream.complement(batched(data.draw, a), capacity, kind=2)) == a.complement(capacity, kind=2)


@given(a=extent_sets(), start=st.integers(0, SPAN), end=st.integers(0, SPAN), delta=st.integers(0, 9), data=st.data())
def test_clip_and_shift(a, start, end, delta, data):
    assert whole(stream.clip(batched(data.draw, a), start, end)) == a.clip(start, end)
    assert whole(stream.shift(batched(data.draw, a), delta)) == a.shift(delta)


@given(a=extent_sets(), g=st.sampled_from([1, 3, 8]), gap=st.integers(0, 9), data=st.data())
def test_align_and_coalesce(a, g, gap, data):
    assert whole(stream.align(batched(data.draw, a), g, limit=a.end)) == a.align(g, limit=a.end)
    assert whole(stream.coalesce(batched(data.draw, a), gap)) == a.coalesce(gap)


@given(a=extent_sets(), data=st.data())
def test_total(a, data):
    assert stream.total(batched(data.draw, a)) == len(byte_map(a))
    assert stream.total(batched(data.draw, a), 1) == a.total(1)


def test_records_are_streams():
    assert whole(stream.batches([Record(2, 9, Extents([(0, 1)])), Record(2, 9, Extents([(5, 1)]))])).n == 2


@pytest.mark.parametrize("walk", [lambda s: stream.align(s, 4), stream.coalesce], ids=["align", "coalesce"])
def test_streams_that_go_back(walk):
    with pytest.raises(OutOfOrder, match="begins at 4, before 16"):
        list(walk([Extents([(8, 8)]), Extents([(4, 2)])]))


LONG = """
import resource, sys
from blockdiff._fast import Extents
from blockdiff.engine import stream

EXTENTS, BATCH = 100_000_000, 50_000
block = Extents.from_map(bytes([1, 0]) * BATCH, 4096)

def extents(first):
    return (block.shift(first + i * BATCH * 8192) for i in range(EXTENTS // BATCH))

def used():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

before = used()
assert stream.total(stream.union(extents(0), extents(2048))) == EXTENTS * 6144
assert stream.total(stream.intersect(extents(0), extents(2048))) == EXTENTS * 2048
print(used() - before)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.unsanitized
def test_a_hundred_million_extents_in_constant_memory():
    run = subprocess.run([sys.executable, "-c", LONG], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 24 * 1024  # KiB: a few batches, not 2.4 GB
