"""The arithmetic of images and objects against a loop that deals out one byte after the other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.backends.rbd.layout import Layout
from blockdiff.errors import InvalidInput

ORDER = 12


def dealt(size, unit, count):
    """(object, offset) of every byte: units are dealt to ``count`` objects in turn until these are full."""
    places, fill, first = [], [0] * count, 0
    column = 0
    while len(places) < size:
        for _ in range(min(unit, size - len(places))):
            places.append((first + column, fill[column]))
            fill[column] += 1
        column = (column + 1) % count
        if column == 0 and fill[-1] >= 1 << ORDER:
            first, fill = first + count, [0] * count
    return places


shapes = st.tuples(st.sampled_from([512, 1024, 2048, 4096]), st.integers(1, 5), st.integers(0, 60_000))


@given(shapes, st.data())
def test_runs_are_what_a_naive_loop_says(shape, data):
    unit, count, size = shape
    layout = Layout(ORDER, size, "p", unit, count)
    places = dealt(size, unit, count)
    start = data.draw(st.integers(0, size))
    length = data.draw(st.integers(0, size - start))
    at = start
    for run in layout.runs(start, length):
        assert run.start == at
        assert run.length > 0
        assert run.offset + run.length <= layout.object_size
        assert places[at] == (run.number, run.offset)
        assert places[at + run.length - 1] == (run.number, run.offset + run.length - 1)
        at += run.length
    assert at == start + length


@given(shapes)
def test_the_way_back(shape):
    unit, count, size = shape
    layout = Layout(ORDER, size, "p", unit, count)
    places = dealt(size, unit, count)
    for at in range(0, size, 509):
        assert layout.locate(at) == places[at]
        assert layout.image_offset(*places[at]) == at
    assert layout.objects == len({number for number, _ in places})


@given(shapes)
def test_objects_hold_every_byte_once(shape):
    unit, count, size = shape
    layout = Layout(ORDER, size, "p", unit, count)
    ranges = sorted(r for number in range(layout.objects) for r in layout.object_ranges(number))
    at = 0
    for start, length in ranges:
        assert start == at
        at += length
    assert at == size


def test_an_image_of_many_terabytes():
    layout = Layout(22, 1 << 50, "rbd_data.1", 65536, 16)
    last = (1 << 50) - 1
    assert layout.image_offset(*layout.locate(last)) == last
    assert layout.objects == (1 << 50) >> 22


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        pytest.param("rbd_data.10406b8b4567", "rbd_data.10406b8b4567.000000000000001f", id="new"),
        pytest.param("rbd_data.3.10406b8b4567", "rbd_data.3.10406b8b4567.000000000000001f", id="data-pool"),
        pytest.param("rb.0.1234.6b8b4567", "rb.0.1234.6b8b4567.00000000001f", id="old"),
    ],
)
def test_names_of_objects(prefix, name):
    assert Layout(22, 0, prefix).name(31) == name


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param((11, 0, "p"), id="small objects"),
        pytest.param((26, 0, "p"), id="big objects"),
        pytest.param((22, 0, "p", 3000, 2), id="a unit that does not divide"),
        pytest.param((22, 0, "p", 4096, 0), id="no objects in turn"),
        pytest.param((22, -1, "p"), id="negative size"),
    ],
)
def test_impossible_layouts(arguments):
    with pytest.raises(InvalidInput):
        Layout(*arguments)
