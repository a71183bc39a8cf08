"""Which snapshots may be deleted."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockdiff.cinder.policy import (
    Daily,
    Policies,
    Reading,
    SnapshotMetadata,
    StoredSnapshot,
    Weekly,
    evaluate,
    expire,
    latest,
    read_metadata,
    window_of,
)
from blockdiff.errors import InvalidInput
from tests.cinder.policy.strategies import NOW, POLICY

NOW_ = dt.datetime(2025, 12, 21, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
DATE = "x-snapsentry-snapshot-expiry-date"


def snapshot(age, expires=None, kind="daily", *, retention_type="time", **fields):
    """``age`` and ``expires`` in days, before and after now."""
    expiry = None if expires is None else NOW_ + expires * DAY
    metadata = SnapshotMetadata(kind, 7, expiry, retention_type).to_metadata()
    return StoredSnapshot(
        **{"id": f"{kind}-{age}", "volume": "vol", "created": NOW_ - age * DAY, "metadata": metadata} | fields
    )


def reading(**policies):
    return {"vol": Reading(Policies(**policies), ())}


PLAIN = {"vol": Reading(Policies(managed=None), ()), "other": Reading(Policies(managed=None), ())}
"""Volumes that say nothing of policies."""


def verdicts(snapshots, volumes=PLAIN, **options):
    return {one.id: (one.expired, one.reason) for one in expire(snapshots, NOW_, volumes, **options)}


def gone(snapshots, volumes=PLAIN, **options):
    return [one.id for one in expire(snapshots, NOW_, volumes, **options) if one.expired]


def test_the_date_decides():
    every = [snapshot(3, 1), snapshot(4, 0), snapshot(5, -1)]
    assert verdicts(every) == {
        "daily-3": (False, "it expires at 2025-12-22T12:00:00Z"),
        "daily-4": (True, "it expired at 2025-12-21T12:00:00Z"),
        "daily-5": (True, "it expired at 2025-12-20T12:00:00Z"),
    }
    assert gone(every, reading(daily=Daily())) == ["daily-4", "daily-5"]


@pytest.mark.parametrize(
    "metadata",
    [
        {DATE: ""},
        {DATE: "soon"},
        {DATE: "2020-01-01"},
        {DATE: "0001-01-01T00:00:00Z"},
        {f"{DATE}-user-tz": "soon"},
        {"x-snapsentry-managed": "false"},
        {"x-snapsentry-managed": ""},
        {"x-snapsentry-managed": "maybe"},
        {"x-snapsentry-snapshot-policy-type": "hourly"},
        {"x-snapsentry-snapshot-policy-type": ""},
        {"x-snapsentry-snapshot-retention-days": "x"},
        {DATE.upper(): "2019-01-01T00:00:00Z"},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "volumes",
    [PLAIN, reading(daily=Daily()), reading(daily=Daily(retention_type="count", retention=1))],
    ids=["", "time", "count"],
)
def test_what_cannot_be_read_or_is_not_ours_stays(metadata, volumes):
    old = snapshot(50, -40)
    every = [snapshot(1, 1), snapshot(2, 1), StoredSnapshot("old", "vol", old.created, old.metadata | metadata)]
    (verdict,) = [one for one in expire(every, NOW_, volumes) if one.id == "old"]
    assert not verdict.expired
    assert verdict.wrong is not (verdict.reason == "not managed")


@pytest.mark.parametrize("missing", ["x-snapsentry-managed", DATE, "x-snapsentry-snapshot-policy-type"])
def test_a_key_that_is_missing(missing):
    old = snapshot(50, -40)
    metadata = {key: text for key, text in old.metadata.items() if key != missing}
    assert gone([StoredSnapshot("old", "vol", old.created, metadata)]) == []


def test_those_of_earlier_versions_say_nothing_of_managed():
    metadata = {**snapshot(50, -40).metadata, "x-snapsentry-snapshot-managed": "true"}
    del metadata["x-snapsentry-managed"]
    assert verdicts([snapshot(50, metadata=metadata)]) == {"daily-50": (False, "not managed")}


@pytest.mark.parametrize("status", ["creating", "error", "deleting", "error_deleting", "anything"])
def test_states_are_told(status):
    (verdict,) = expire([snapshot(50, -40, status=status)], NOW_, PLAIN)
    assert verdict == ("daily-50", False, f"its state is {status}: it does not count", True)


def test_broken_ones_do_not_count():
    """Two failed ones are newer: the good ones stay."""
    every = [snapshot(age, status="error" if age < 2 else "available", retention_type="count") for age in range(5)]
    count = reading(daily=Daily(retention=2, retention_type="count"))
    assert gone(every, count) == ["daily-4"]


def test_count():
    every = [snapshot(age, retention_type="count") for age in (3, 1, 2, 5, 4)]
    other = [snapshot(age, retention_type="count", kind="weekly") for age in (8, 15)]
    other.append(snapshot(99, retention_type="count", volume="other", id="other"))
    volumes = PLAIN | reading(daily=Daily(retention=3, retention_type="count"), weekly=Weekly(retention_type="count"))
    found = verdicts([*every, *other], volumes)
    assert found["daily-3"] == (False, "kept by the daily policy, newest 3")
    assert found["daily-4"] == (True, "older than what the daily policy, newest 3 keeps")
    other_found = next(one for one in expire(other, NOW_, volumes) if one.id == "other")
    assert other_found.wrong
    assert found["other"] == (False, "it is kept by count, and no policy of its volume says how many")
    assert [name for name, (expired, _) in found.items() if expired] == ["daily-5", "daily-4"]


def test_count_holds_when_the_policy_is_switched_off():
    every = [snapshot(age, retention_type="count") for age in range(5)]
    assert gone(every, reading(daily=Daily(enabled=False, retention=4, retention_type="count"))) == ["daily-4"]
    assert gone(every, reading(managed=False, daily=Daily(retention=4, retention_type="count"))) == ["daily-4"]
    assert gone(every, reading(daily=None)) == []


def test_a_count_over_snapshots_with_dates():
    """What the original wrote: the count keeps more than the dates, and a date that has not come holds too."""
    every = [snapshot(1, -1), snapshot(2, -2), snapshot(3, -3), snapshot(4, 5), snapshot(5, None)]
    volumes = reading(daily=Daily(retention=2, retention_type="count"))
    assert verdicts(every, volumes) == {
        "daily-1": (False, "kept by the daily policy, newest 2"),
        "daily-2": (False, "kept by the daily policy, newest 2"),
        "daily-3": (True, "older than what the daily policy, newest 2 keeps"),
        "daily-4": (False, "it expires at 2025-12-26T12:00:00Z"),
        "daily-5": (False, "it has no expiry date"),
    }


def test_from_count_to_time():
    assert gone([snapshot(9, retention_type="count"), snapshot(1, 1)], reading(daily=Daily())) == []


def test_the_newest_stays_while_its_policy_is_active():
    """Days that are fewer than its windows are apart: the original deleted it, and took the next at once."""
    weekly = Weekly(retention=2)
    every = [snapshot(5, -3, "weekly"), snapshot(12, -10, "weekly")]
    assert verdicts(every, reading(weekly=weekly))["weekly-5"] == (False, "kept by the weekly policy, newest 1")
    assert gone(every, reading(weekly=weekly)) == ["weekly-12"]
    assert gone(every, reading(weekly=Weekly(enabled=False))) == ["weekly-5", "weekly-12"]
    assert gone(every, reading(managed=False, weekly=weekly)) == ["weekly-5", "weekly-12"]
    assert gone(every) == ["weekly-5", "weekly-12"]


@pytest.mark.parametrize(
    "key", ["x-snapsentry-daily-retention-day", "x-snapsentry-dayly-retention-type", "x-snapsentry-daily-timezone"]
)
def test_a_policy_that_cannot_be_read_holds_all(key):
    volume = {"x-snapsentry-managed": "true", "x-snapsentry-daily-enabled": "true", key: "count"}
    every = [snapshot(9, -2), snapshot(10, -3)]
    assert verdicts(every, {"vol": read_metadata(volume)}) == {
        one.id: (False, "the daily policy of its volume cannot be read") for one in every
    }
    other = [snapshot(9, -2, "weekly")]
    assert gone(other, {"vol": read_metadata(volume)}) == ([] if "dayly" in key else ["weekly-9"])


def test_protected_and_order():
    every = [snapshot(9, -2), snapshot(8, -1), snapshot(7, -1)]
    found = expire(every, NOW_, PLAIN, protected={"daily-8": "the base of the next copy"})
    assert [(one.id, one.expired) for one in found] == [("daily-9", True), ("daily-8", False), ("daily-7", True)]
    assert found[1] == ("daily-8", False, "the base of the next copy", False)


def test_a_protected_one_that_is_not_there():
    with pytest.raises(InvalidInput, match="'x' is to be protected, but is not among the snapshots"):
        expire([], NOW_, {}, protected={"x": "why"})


def test_a_volume_that_is_not_given_keeps_all():
    """It may have a policy that keeps them: nobody has looked."""
    every = [snapshot(9, -2), snapshot(8, 1), snapshot(7, retention_type="count")]
    found = expire(every, NOW_, {})
    unknown = "its volume is not among those given: what its policy keeps is not known"
    assert found == [
        ("daily-9", False, unknown, True),
        ("daily-8", False, "it expires at 2025-12-22T12:00:00Z", False),
        ("daily-7", False, unknown, True),
    ]


def test_a_volume_that_is_gone_for_sure():
    every = [snapshot(9, -2), snapshot(8, 1), snapshot(7, retention_type="count"), snapshot(6, -1, volume="other")]
    assert verdicts(every, {}, gone={"vol"}) == {
        "daily-9": (True, "it expired at 2025-12-19T12:00:00Z"),
        "daily-8": (False, "it expires at 2025-12-22T12:00:00Z"),
        "daily-7": (False, "it is kept by count, and no policy of its volume says how many"),
        "daily-6": (False, "its volume is not among those given: what its policy keeps is not known"),
    }
    with pytest.raises(InvalidInput, match="the volume 'vol' is said to be gone, but is given"):
        expire(every, NOW_, PLAIN, gone=["vol"])


def test_letters_of_a_state():
    assert gone([snapshot(9, -2, status="Available")]) == ["daily-9"]


def test_given_twice():
    with pytest.raises(InvalidInput, match="'daily-9' is given twice"):
        expire([snapshot(9, 1), snapshot(9, -1)], NOW_, {})


def test_a_clock_that_is_wrong():
    future = snapshot(-1, -2)
    assert verdicts([future])[future.id] == (False, "it was created later than now: a clock is wrong")
    with pytest.raises(InvalidInput, match="no time zone"):
        expire([], dt.datetime(2025, 1, 1), {})


@settings(max_examples=60)
@given(POLICY.filter(lambda policy: policy.enabled), NOW, st.lists(st.integers(1, 60), min_size=10, max_size=40))
def test_over_simulated_time(policy, now, gaps):
    """Runs at random: one snapshot a window, none goes before its time, and what is promised stays."""
    now = now.replace(microsecond=0)
    stored, volumes, starts = [], reading(**{policy.kind: policy}), []
    for number, hours in enumerate(gaps):
        now += dt.timedelta(hours=hours * 5)
        found = evaluate(policy, now, latest(stored, "vol", policy.kind).snapshot)
        if found.should_snapshot:
            stored.append(StoredSnapshot(str(number), "vol", now, found.metadata.to_metadata()))
            starts.append(found.window.start)
        result = expire(stored, now, volumes)
        old = [one for one, verdict in zip(stored, result, strict=True) if verdict.expired]
        stored = [one for one in stored if one not in old]
        assert stored, "the newest stays"
        if policy.retention_type == "count":
            assert len(stored) == min(policy.retention, len(starts))
        else:
            for one in old:
                start = window_of(policy, one.created).start
                assert now - start.astimezone(dt.UTC) > (policy.retention - 1) * DAY
            for one in stored[:-1]:
                start = window_of(policy, one.created).start
                assert now - start.astimezone(dt.UTC) < (policy.retention + 1) * DAY
    assert len(set(starts)) == len(starts)


PREFIX = "x-snapsentry-"
DATES = st.sampled_from(["", None, "soon", *(f"2025-12-{day:02}T12:00:00Z" for day in (1, 15, 20, 21, 22, 30))])
WRITTEN = st.fixed_dictionaries(
    {
        f"{PREFIX}managed": st.sampled_from(["true"] * 6 + ["false", "maybe", None]),
        DATE: DATES,
        f"{DATE}-user-tz": DATES,
        f"{PREFIX}snapshot-policy-type": st.sampled_from(["daily"] * 4 + ["weekly", "hourly", None]),
        f"{PREFIX}snapshot-retention-type": st.sampled_from([None, None, "count", "time", "x"]),
    }
).map(lambda found: {key: text for key, text in found.items() if text is not None})
STORED = st.lists(
    st.tuples(
        WRITTEN,
        st.integers(-1, 12),
        st.sampled_from(["available"] * 4 + ["creating", "error", "backing-up"]),
        st.sampled_from(["vol", "vol", "other"]),
    ),
    max_size=8,
).map(
    lambda rows: [
        StoredSnapshot(f"s{number}", volume, NOW_ - age * DAY, metadata, status)
        for number, (metadata, age, status, volume) in enumerate(rows)
    ]
)
SAID = st.fixed_dictionaries(
    {
        f"{PREFIX}managed": st.sampled_from(["true", "true", "false", None]),
        f"{PREFIX}daily-enabled": st.sampled_from(["true", "true", "false", "on", None]),
        f"{PREFIX}daily-retention-days": st.sampled_from(["1", "2", "3", None]),
        f"{PREFIX}daily-retention-type": st.sampled_from(["time", "count", None]),
        f"{PREFIX}daily-retention": st.sampled_from([None, None, None, "1"]),
    }
).map(lambda found: {key: text for key, text in found.items() if text is not None})


def said(snapshot, key):
    return snapshot.metadata.get(f"{PREFIX}{key}", "")


def sound(snapshot):
    return (
        said(snapshot, "managed") == "true"
        and snapshot.status in ("available", "backing-up")
        and said(snapshot, "snapshot-retention-type") != "x"
        and "soon" not in (said(snapshot, "snapshot-expiry-date"), said(snapshot, "snapshot-expiry-date-user-tz"))
        and snapshot.created <= NOW_
        and said(snapshot, "snapshot-policy-type") in ("daily", "weekly")
    )


def unclear(volume, kind):
    enabled = volume.get("daily-enabled")
    if enabled == "true" and "managed" not in volume:
        return True  # nobody can say what was meant: it concerns all policies
    daily = any(key.startswith("daily") for key in volume)
    return kind == "daily" and daily and (enabled not in ("true", "false") or "daily-retention" in volume)


def policy_keeps(one, stored, volume):
    """Whether the policy of the volume keeps a snapshot whose date has come, or that is kept by count."""
    dated = said(one, "snapshot-expiry-date") != ""
    if said(one, "snapshot-policy-type") == "weekly" or "daily-enabled" not in volume:
        return not dated
    newer = {
        other.created
        for other in stored
        if sound(other) and (other.volume, said(other, "snapshot-policy-type")) == (one.volume, "daily")
        if other.created > one.created
    }
    if volume.get("daily-retention-type") == "count":
        marked = said(one, "snapshot-retention-type") == "count"
        return len(newer) < int(volume.get("daily-retention-days", "2")) or not (dated or marked)
    active = (volume["daily-enabled"], volume.get("managed")) == ("true", "true")
    return (active and not newer) or not dated


def may_go(one, stored, volumes, gone):
    """The law in its plain words, on the metadata as it is written."""
    if not sound(one):
        return False
    date, local = said(one, "snapshot-expiry-date"), said(one, "snapshot-expiry-date-user-tz")
    if date and max(dt.datetime.fromisoformat(text) for text in (date, local or date)) > NOW_:
        return False
    if one.volume in gone:
        return date != ""
    if one.volume not in volumes:
        return False
    volume = {key.removeprefix(PREFIX): text for key, text in volumes[one.volume].items()}
    kind = said(one, "snapshot-policy-type")
    return not unclear(volume, kind) and not policy_keeps(one, stored, volume)


@settings(max_examples=80)
@given(STORED, st.dictionaries(st.sampled_from(["vol", "other"]), SAID), st.booleans())
def test_against_the_law_in_plain_words(stored, volumes, missing):
    gone = {"vol", "other"} - volumes.keys() if missing else set()
    read = {name: read_metadata(metadata) for name, metadata in volumes.items()}
    for one, verdict in zip(stored, expire(stored, NOW_, read, gone=gone), strict=True):
        assert verdict.expired is may_go(one, stored, volumes, gone), verdict
