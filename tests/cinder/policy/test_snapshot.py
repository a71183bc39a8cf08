import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.cinder.policy import SnapshotMetadata
from blockdiff.cinder.policy.snapshot import rfc3339
from blockdiff.errors import InvalidInput
from tests.cinder.policy.strategies import ZONES

WRITTEN = {
    "x-snapsentry-managed": "true",
    "x-snapsentry-snapshot-expiry-date": "2025-12-28T13:00:00Z",
    "x-snapsentry-snapshot-expiry-date-user-tz": "2025-12-28T14:00:00+01:00",
    "x-snapsentry-snapshot-policy-type": "daily",
    "x-snapsentry-snapshot-retention-days": "7",
}
DATE, LOCAL = (f"x-snapsentry-snapshot-expiry-date{end}" for end in ("", "-user-tz"))
EXPIRY = dt.datetime(2025, 12, 28, 13, tzinfo=dt.UTC)


@given(
    st.builds(
        SnapshotMetadata,
        kind=st.sampled_from(["express", "daily", "weekly", "monthly"]),
        retention=st.integers(1, 10_000),
        expiry=st.none()
        | st.datetimes(
            dt.datetime(1900, 1, 1), dt.datetime(9000, 1, 1), timezones=st.sampled_from(ZONES).map(ZoneInfo)
        ),
        retention_type=st.sampled_from(["time", "count"]),
        managed=st.booleans(),
    )
)
def test_both_ways(metadata):
    assert SnapshotMetadata.parse(metadata.to_metadata()) == metadata


def test_as_written():
    metadata = SnapshotMetadata.parse(WRITTEN)
    assert metadata == SnapshotMetadata("daily", 7, EXPIRY)
    assert metadata.to_metadata() == WRITTEN
    assert SnapshotMetadata.parse({key.upper(): text for key, text in WRITTEN.items()} | {"other": "1"}) == metadata


def test_nothing_written():
    assert SnapshotMetadata.parse({}) == SnapshotMetadata("", 0, managed=False)


@pytest.mark.parametrize("text", ["", "0001-01-01T00:00:00Z"])
def test_no_expiry_date(text):
    assert SnapshotMetadata.parse(WRITTEN | {DATE: text, LOCAL: text}).expiry is None
    assert SnapshotMetadata.parse(WRITTEN | {DATE: text}).expiry is None, "the original would delete it"
    missing = {key: text for key, text in WRITTEN.items() if key != DATE}
    assert SnapshotMetadata.parse(missing).expiry is None


def test_the_later_of_two_dates():
    later = "2026-01-01T00:00:00Z"
    for key in (DATE, LOCAL):
        assert SnapshotMetadata.parse(WRITTEN | {key: later}).expiry == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2025-12-28",
        "2025-12-28T13:00:00",
        "2025-12-28 13:00:00Z",
        "2025-12-28t13:00:00z",
        "2025-13-28T13:00:00Z",
        "soon",
        "2025-02-29T13:00:00Z",
        "2025-12-28T24:00:00Z",
        "2025-12-28T13:00:00+24:00",
        "2025-12-28T13:00:00+01:60",
        "0",
        "9999-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "20251228T130000Z",
        "2025-W52-7",
        "2025-12-28T13:00Z",
        " ",
        "\ud800",
        "2025-12-28T13:00:00Z\n",
        "٢٠٢٥-12-28T13:00:00Z",
        "2025-12-28T13:00:00+0100",
        "1766926800",
    ],
)
@pytest.mark.parametrize("key", [DATE, LOCAL])
def test_dates_that_cannot_be_read(key, text):
    with pytest.raises(InvalidInput, match=f"^{key}: invalid time"):
        SnapshotMetadata.parse(WRITTEN | {key: text})


def test_fractions_are_rounded_up():
    metadata = SnapshotMetadata.parse(WRITTEN | {DATE: "2025-12-28T13:00:00.0000001Z"})
    assert metadata.expiry == EXPIRY + dt.timedelta(seconds=1)
    assert SnapshotMetadata.parse(WRITTEN | {DATE: "2025-12-28T13:00:00.000Z"}).expiry == EXPIRY


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("x-snapsentry-managed", "maybe"),
        ("x-snapsentry-snapshot-retention-days", "many"),
        ("x-snapsentry-snapshot-retention-type", "age"),
    ],
)
def test_other_values_that_cannot_be_read(key, text):
    with pytest.raises(InvalidInput, match=f"^{key}: invalid"):
        SnapshotMetadata.parse(WRITTEN | {key: text})


@pytest.mark.parametrize("key", [*WRITTEN, "x-snapsentry-snapshot-retention-type"])
@pytest.mark.parametrize("given", [7, True, None, ["true"], dt.datetime(2020, 1, 1, tzinfo=dt.UTC)], ids=repr)
def test_values_that_are_no_text(key, given):
    """As JSON or YAML might give them: an error, and so the snapshot stays."""
    with pytest.raises(InvalidInput, match=f"^{key}: invalid value .*; must be a text$"):
        SnapshotMetadata.parse(WRITTEN | {key: given})
    assert SnapshotMetadata.parse(WRITTEN | {"other": given}).expiry == EXPIRY


def test_twice_in_other_letters():
    with pytest.raises(InvalidInput, match=f"{DATE}: it is given twice"):
        SnapshotMetadata.parse(WRITTEN | {DATE.upper(): "2020-01-01T00:00:00Z"})


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("UTC", "2025-07-01T12:00:00Z"),
        ("Asia/Kathmandu", "2025-07-01T17:45:00+05:45"),
        ("America/St_Johns", "2025-07-01T09:30:00-02:30"),
        ("Africa/Abidjan", "2025-07-01T12:00:00Z"),
    ],
)
def test_rfc3339(zone, text):
    time = dt.datetime(2025, 7, 1, 12, 0, 0, 999, tzinfo=dt.UTC).astimezone(ZoneInfo(zone))
    assert rfc3339(time) == text


def test_offsets_with_seconds_name_the_same_instant():
    time = dt.datetime(1850, 1, 1, 12, tzinfo=ZoneInfo("Europe/Paris"))  # 9 minutes and 21 seconds ahead
    assert dt.datetime.fromisoformat(rfc3339(time)) == time
    assert rfc3339(time).endswith("+00:09")
    west = time.astimezone(ZoneInfo("America/New_York"))  # 4 hours, 56 minutes and 2 seconds behind
    assert dt.datetime.fromisoformat(rfc3339(west)) == west
    assert rfc3339(west).endswith("-04:56")
