"""Whether a snapshot is due. The vectors are the original's, Europe/Paris."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from blockdiff.cinder.policy import (
    Daily,
    Express,
    Monthly,
    SnapshotMetadata,
    StoredSnapshot,
    Weekly,
    evaluate,
    latest,
    snapshot_name,
    window_of,
)
from blockdiff.errors import InvalidInput
from tests.cinder.policy.strategies import NOW, POLICY

PARIS = ZoneInfo("Europe/Paris")
YES = "Snapshot Window is active and no existing snapshot found."


def at(text):
    return dt.datetime.fromisoformat(text).replace(tzinfo=PARIS)


def snapshot(text, **fields):
    return StoredSnapshot(**{"id": "snap-123", "volume": "vol", "created": at(text), **fields})


SIX = Express(interval=6, timezone="Europe/Paris")
EIGHT = Express(interval=8, timezone="Europe/Paris")
DAILY = Daily(retention=7, timezone="Europe/Paris", start=dt.time(14))


@pytest.mark.parametrize(
    ("policy", "now", "last", "due"),
    [
        pytest.param(SIX, "2025-12-21T14:00", "2025-12-21T12:05", False, id="6h-done"),
        pytest.param(SIX, "2025-12-21T14:00", "2025-12-21T11:55", True, id="6h-of-the-window-before"),
        pytest.param(SIX, "2025-12-21T14:00", None, True, id="6h-first"),
        pytest.param(SIX, "2025-12-21T12:00", None, True, id="6h-on-the-dot"),
        pytest.param(SIX, "2025-12-21T12:00", "2025-12-21T11:59", True, id="6h-on-the-dot-after-another"),
        pytest.param(EIGHT, "2025-12-21T09:00", "2025-12-21T07:55", True, id="8h-of-the-window-before"),
        pytest.param(DAILY, "2025-12-21T10:00", "2025-12-20T14:05", False, id="daily-too-early"),
        pytest.param(DAILY, "2025-12-21T15:00", None, True, id="daily-first"),
        pytest.param(DAILY, "2025-12-21T15:00", "2025-12-21T14:05", False, id="daily-done"),
        pytest.param(DAILY, "2025-12-21T10:00", "2025-12-19T14:00", True, id="daily-missed"),
        pytest.param(DAILY, "2025-12-21T14:00", None, True, id="daily-on-the-dot"),
    ],
)
def test_vectors(policy, now, last, due):
    found = evaluate(policy, at(now), last and snapshot(last))
    assert found.should_snapshot is due
    assert found.window == window_of(policy, at(now))
    created = last and last.replace("T", " ")
    exists = f"Snapshot already exists in active window (ID: snap-123 created at {created})"
    assert found.reason == (YES if due else exists)
    assert (found.metadata is not None) is due


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (Express(enabled=False), "Express Snapshot policy is disabled"),
        (Daily(enabled=False), "Daily Snapshot Policy is disabled"),
        (Weekly(enabled=False), "Weekly Snapshot Policy is disabled"),
        (Monthly(enabled=False), "Monthly Snapshot Policy is disabled"),
    ],
)
def test_disabled(policy, reason):
    assert evaluate(policy, at("2025-12-21T14:00")) == (False, reason, None, None)


@pytest.mark.parametrize(
    ("policy", "now", "expiry", "utc", "local"),
    [
        (DAILY, "2025-12-21T15:00", "2025-12-28T14:00", "2025-12-28T13:00:00Z", "2025-12-28T14:00:00+01:00"),
        # by the calendar: the same time of day, over the change of the clocks
        (DAILY, "2025-10-20T15:00", "2025-10-27T14:00", "2025-10-27T13:00:00Z", "2025-10-27T14:00:00+01:00"),
        # from the window's start, not from now
        (DAILY, "2025-12-21T10:00", "2025-12-27T14:00", "2025-12-27T13:00:00Z", "2025-12-27T14:00:00+01:00"),
        (SIX, "2025-12-21T14:00", "2025-12-22T12:00", "2025-12-22T11:00:00Z", "2025-12-22T12:00:00+01:00"),
    ],
)
def test_expiry(policy, now, expiry, utc, local):
    metadata = evaluate(policy, at(now)).metadata
    assert metadata.expiry == at(expiry)
    assert metadata.to_metadata() == {
        "x-snapsentry-managed": "true",
        "x-snapsentry-snapshot-expiry-date": utc,
        "x-snapsentry-snapshot-expiry-date-user-tz": local,
        "x-snapsentry-snapshot-policy-type": policy.kind,
        "x-snapsentry-snapshot-retention-days": str(policy.retention),
    }


def test_what_is_kept_by_count_has_no_expiry_date():
    metadata = evaluate(Weekly(retention_type="count"), at("2025-12-21T15:00")).metadata
    assert metadata == SnapshotMetadata("weekly", 7, None, "count")
    assert metadata.to_metadata()["x-snapsentry-snapshot-expiry-date"] == ""
    assert metadata.to_metadata()["x-snapsentry-snapshot-retention-type"] == "count"


def test_an_expiry_that_the_clocks_skip():
    """March 30 has no 02:30 in Paris: an hour later, and never earlier."""
    metadata = evaluate(
        Daily(retention=2, timezone="Europe/Paris", start=dt.time(2, 30)), at("2025-03-28T12:00")
    ).metadata
    assert metadata.to_metadata()["x-snapsentry-snapshot-expiry-date-user-tz"] == "2025-03-30T03:30:00+02:00"
    assert metadata.to_metadata()["x-snapsentry-snapshot-expiry-date"] == "2025-03-30T01:30:00Z"


def test_names():
    window = evaluate(DAILY, at("2025-12-21T15:00")).window
    assert snapshot_name("daily", "vol", window.start) == "managed-daily-vol-2025-12-21T14:00:00+01:00"
    assert (
        snapshot_name("daily", "vol", dt.datetime(2025, 1, 1, tzinfo=dt.UTC))
        == "managed-daily-vol-2025-01-01T00:00:00Z"
    )
    london = dt.datetime(2025, 1, 1, tzinfo=ZoneInfo("Europe/London"))
    assert snapshot_name("daily", "vol", london) == "managed-daily-vol-2025-01-01T00:00:00Z"


def test_a_snapshot_of_this_window_by_name_though_the_clock_of_cinder_is_behind():
    last = snapshot("2025-12-21T13:59", name="managed-daily-vol-2025-12-21T14:00:00+01:00")
    assert not evaluate(DAILY, at("2025-12-21T14:01"), last).should_snapshot
    other = snapshot("2025-12-21T13:59", name="managed-daily-vol-2025-12-20T14:00:00+01:00")
    assert evaluate(DAILY, at("2025-12-21T14:01"), other).should_snapshot


def test_the_original_took_two_on_the_day_of_the_change():
    """Its window began at 13:00 or 15:00 then, as it counted 24 hours."""
    last = snapshot("2025-10-25T14:00")
    assert not evaluate(DAILY, at("2025-10-26T13:59"), last).should_snapshot
    assert evaluate(DAILY, at("2025-10-26T14:00"), last).should_snapshot
    midnight = Daily(timezone="Europe/Paris")
    assert not evaluate(midnight, at("2025-10-26T23:30"), snapshot("2025-10-26T00:00")).should_snapshot


@given(POLICY, NOW)
def test_one_snapshot_in_each_window(policy, now):
    """Asked at odd times, it says yes once in each window, and never outside one."""
    taken, last = [], None
    for minutes in range(0, 4 * 24 * 60, 311):
        time = now + dt.timedelta(minutes=minutes)
        found = evaluate(policy, time, last)
        if not policy.enabled:
            assert not found.should_snapshot
        elif found.should_snapshot:
            taken.append(found.window.start)
            last = StoredSnapshot("id", "vol", time)
            assert not evaluate(policy, time, last).should_snapshot
        else:
            assert taken[-1] == found.window.start
    assert len(set(taken)) == len(taken)


def test_a_time_without_a_zone():
    with pytest.raises(InvalidInput, match="no time zone"):
        evaluate(DAILY, dt.datetime(2025, 12, 21))
    with pytest.raises(InvalidInput, match="no time zone"):
        StoredSnapshot("id", "vol", dt.datetime(2025, 12, 21))


OF_DAILY = {"X-snapsentry-snapshot-policy-type": "daily"}


def test_the_newest_of_a_list_in_any_order():
    older, newer = (snapshot(f"2025-12-{day}T14:00", id=day, metadata=OF_DAILY) for day in ("20", "21"))
    others = [snapshot("2025-12-22T14:00", id="w", metadata={"x-snapsentry-snapshot-policy-type": "weekly"})]
    others += [snapshot("2025-12-22T14:00", id="v", volume="other", metadata=OF_DAILY), snapshot("2025-12-22T14:00")]
    for listed in ([older, newer, *others], [*others, newer, older]):
        assert latest(listed, "vol", "daily") == (newer, ())
    assert latest(others, "vol", "daily") == (None, ())
    twins = [snapshot("2025-12-21T14:00", id=name, metadata=OF_DAILY) for name in "ab"]
    assert latest(twins, "vol", "daily") == latest(twins[::-1], "vol", "daily") == (twins[1], ())


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        ("creating", True),
        ("Creating", True),
        ("Backing-Up", True),
        ("backing-up", True),
        ("restoring", True),
        ("error", False),
        ("deleting", False),
        ("error_deleting", False),
        ("unmanaging", False),
        ("something", False),
    ],
)
def test_states_are_told(status, counts):
    one = snapshot("2025-12-21T14:00", metadata=OF_DAILY, status=status)
    found = latest([one], "vol", "daily")
    assert found.snapshot == (one if counts else None)
    told = (
        ()
        if status.lower() in ("backing-up", "restoring")
        else (f"snapshot snap-123 of 2025-12-21T13:00:00+00:00: its state is {status}",)
    )
    assert found.told == told
