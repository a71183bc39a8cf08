"""CompareSnapshots: vectors, and a rule written out plainly as the oracle."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.pool.compare import ComparableSnapshot, compare_snapshots
from blockdiff.pool.instant import Instant

make = ComparableSnapshot.make
NOON = "2024-05-01T12:00:00Z"


def snaps(*items):
    return [make(*item) if isinstance(item, tuple) else make(item, NOON) for item in items]


@pytest.mark.parametrize(
    ("source", "target", "sync", "delete"),
    [
        ((), (), (), ()),
        (("a", "b"), (), (0, 1), ()),
        ((), ("a", "b"), (), (0, 1)),
        (("a", "b"), ("b", "a"), (), ()),
        (("a", "b", "c"), ("b",), (0, 2), ()),
        (("b",), ("a", "b", "c"), (), (0, 2)),
        # made anew: a name alone says nothing (#10436)
        ((("a", NOON), "b"), (("a", "2024-05-01T12:00:01Z"), "b"), (0,), (0,)),
        ((("a", NOON, "x"),), (("a", NOON, "y"),), (0,), (0,)),
        ((("a", NOON, "x"),), (("a", NOON),), (0,), (0,)),
        # the same instant in other zones; a nanosecond apart is not the same
        ((("a", "2024-05-01T14:00:00+02:00"),), (("a", "2024-05-01T07:30:00-04:30"),), (), ()),
        ((("a", "2024-05-01T12:00:00.000000001Z"),), ("a",), (0,), (0,)),
        ((("a", "2024-05-01T12:00:00.123456789Z"),), (("a", "2024-05-01T12:00:00.123456788Z"),), (0,), (0,)),
        # of duplicates the last stands for the name
        ((("a", NOON, "1"), ("a", NOON, "2")), (("a", NOON, "2"),), (0,), ()),
        ((("a", NOON, "2"), ("a", NOON, "1")), (("a", NOON, "2"),), (1,), (0,)),
        ((("a", NOON, "1"),), (("a", NOON, "1"), ("a", NOON, "2")), (0,), (1,)),
    ],
)
def test_vectors(source, target, sync, delete):
    assert compare_snapshots(snaps(*source), snaps(*target)) == (sync, delete)


names, ids = st.sampled_from("abc"), st.sampled_from(["", "1", "2"])
instants = st.integers(-2, 2).map(Instant)
lists = st.lists(st.builds(ComparableSnapshot, names, instants, ids), max_size=6)


@given(lists, lists)
def test_against_the_rule_written_out(source, target):
    def differs(one, others):
        last = None
        for other in others:
            if other.name == one.name:
                last = other
        return last is None or last.created.nanoseconds != one.created.nanoseconds or last.id != one.id

    found = compare_snapshots(source, target)
    assert found.sync_source == tuple(i for i in range(len(source)) if differs(source[i], target))
    assert found.delete_target == tuple(i for i in range(len(target)) if differs(target[i], source))


@given(lists)
def test_after_a_refresh_all_is_the_same(source):
    unique = list({one.name: one for one in source}.values())
    assert compare_snapshots(unique, unique) == ((), ())


@given(st.builds(ComparableSnapshot, st.text(), st.integers(-(10**18), 10**18).map(Instant), st.text()))
def test_json_goes_round(one):
    assert ComparableSnapshot.from_json(one.to_json()) == one


def test_json():
    one = make("snap0", "2024-05-01T14:00:00.123456780+02:00", "u")
    assert one.to_json() == b'{"Name":"snap0","ID":"u","CreationDate":"2024-05-01T12:00:00.12345678Z"}'
    assert ComparableSnapshot.from_json('{"Name":"a","CreationDate":"0001-01-01T00:00:00Z"}').id == ""


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"Name":"a"}', '{"Name":1,"CreationDate":"2024-05-01T12:00:00Z"}',
        '{"Name":"a","CreationDate":"2024-05-01"}', '{"Name":"a","CreationDate":"2024-05-01T12:00:00Z","Id":"x"}',
        b"\xff",
    ],
)  # fmt: skip
def test_bad_json(text):
    with pytest.raises(InvalidInput):
        ComparableSnapshot.from_json(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2024-05-01T12:00:00.100Z", "2024-05-01T12:00:00.1Z"),
        ("2024-05-01T12:00:00,000000001Z", "2024-05-01T12:00:00.000000001Z"),
        ("2024-05-01T12:00:00.1234567890000Z", "2024-05-01T12:00:00.123456789Z"),
        ("2024-02-29T23:59:59.999999999-23:59", "2024-03-01T23:58:59.999999999Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("0000-02-29T00:00:00Z", "0000-02-29T00:00:00Z"),
        ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
        ("1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999999Z"),
    ],
)
def test_instants_as_text(text, shown):
    assert str(Instant.parse(text)) == shown
    assert Instant.parse(shown) == Instant.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01T12:00:00", "2024-05-01 12:00:00Z", "2024-05-01T12:00:00z", "2023-02-29T00:00:00Z",
        "2024-05-01T24:00:00Z",
        "2024-05-01T12:00:60Z", "2024-05-01T12:00:00.Z", "2024-05-01T12:00:00.1234567891Z", "2024-05-01T12:00:00+24:00",
        "٢٠٢٤-05-01T12:00:00Z", "0000-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "2024-05-01T12:00:00Z\n", "",
    ],
)  # fmt: skip
def test_texts_that_are_no_instants(text):
    with pytest.raises(InvalidInput):
        Instant.parse(text)


@given(st.datetimes(timezones=st.sampled_from([dt.UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe")])))
def test_instants_of_times(time):
    try:
        utc = time.astimezone(dt.UTC)
    except OverflowError:
        return
    found = Instant.of(time)
    assert found == Instant.parse(utc.isoformat().replace("+00:00", "Z"))
    assert found == Instant.of(found)


def test_a_time_needs_a_zone():
    with pytest.raises(InvalidInput, match="no time zone"):
        Instant.of(dt.datetime(2024, 1, 1))
    with pytest.raises(InvalidInput, match="outside the years"):
        Instant.of(dt.datetime(9999, 12, 31, 23, tzinfo=dt.timezone(-dt.timedelta(hours=2))))


def test_names_that_are_no_unicode():
    with pytest.raises(InvalidInput, match="is no Unicode"):
        make("\udcff", NOON).to_json()
