import pytest

from blockdiff._fast import Extents
from blockdiff.engine.source import ordered
from blockdiff.errors import OutOfOrder
from blockdiff.record import BlockMetadataType, Record
from blockdiff.snapshot import Snapshot, SnapshotPair

FIXED, VARIABLE = BlockMetadataType.FIXED_LENGTH, BlockMetadataType.VARIABLE_LENGTH


def record(*extents, type_=VARIABLE, capacity=1000):
    return Record(type_, capacity, Extents(extents))


@pytest.mark.parametrize(
    "good",
    [
        [],
        [record()],
        [record((0, 10)), record(), record((10, 10), (20, 980))],
        [record((0, 5000), capacity=0)],
        [record((0, 100), (500, 100), type_=FIXED), record((950, 50), type_=FIXED)],
    ],
)
def test_good_streams_pass_unchanged(good):
    guard = ordered(iter(good))
    assert list(guard) == good
    assert guard.resume_offset == max([r.extents.end for r in good], default=0)


@pytest.mark.parametrize(
    ("second", "message", "index"),
    [
        (record((5, 10)), "record 2 begins at 5, before 10", 0),
        (record((0, 10)), "record 2 begins at 0, before 10", 0),
        (record((990, 11)), "record 2 ends at 1001, past the capacity 1000", 0),
        (record((20, 10), (990, 11)), "past the capacity", 1),
        (record((20, 10), capacity=1001), "has the capacity 1001, the records before it 1000", None),
        (record((20, 10), type_=FIXED), "has the type FIXED_LENGTH, the records before it VARIABLE_LENGTH", None),
        (record((20, 10), type_=7), "has the type 7", None),
    ],
)
def test_bad_streams_stop_at_the_bad_record(second, message, index):
    guard = ordered([record((0, 10)), second, record((500, 1))])
    assert next(guard).extents.end == 10
    with pytest.raises(OutOfOrder, match=message) as caught:
        next(guard)
    assert caught.value.index == index
    assert caught.value.resume_offset == guard.resume_offset == 10
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("extents", [[(0, 100), (200, 50)], [(0, 100), (100, 200)]], ids=["short", "long"])
def test_fixed_length_means_one_length(extents):
    with pytest.raises(OutOfOrder, match="in a stream of fixed length 100"):
        list(ordered([record(*extents, type_=FIXED)]))
    with pytest.raises(OutOfOrder, match="in a stream of fixed length 100"):
        list(ordered([record(extents[0], type_=FIXED), record(extents[1], type_=FIXED)]))


def test_a_failing_source_keeps_the_place():
    def failing():
        yield record((0, 10))
        raise ConnectionError

    guard = ordered(failing())
    next(guard)
    with pytest.raises(ConnectionError):
        next(guard)
    assert guard.resume_offset == 10


def test_snapshots_are_values():
    base, target = Snapshot("vol", "monday"), Snapshot("vol", "tuesday", "id-2")
    assert str(SnapshotPair(base, target)) == "vol@monday -> vol@tuesday"
    assert str(SnapshotPair(None, target)) == "vol@tuesday"
    assert {SnapshotPair(None, target): 1}[SnapshotPair(None, target)] == 1
