"""The metadata of volumes, both ways."""

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.cinder.policy import Daily, Express, Monthly, Policies, Weekly, merged, parse_metadata, read_metadata
from blockdiff.errors import InvalidInput
from tests.cinder.policy.strategies import POLICIES

MANAGED = {"x-snapsentry-managed": "true"}

# what the original's command line writes, with the key of the monthly day put right
WRITTEN = {
    "express": (
        Express(retention=1, timezone="Europe/Paris", interval=8),
        {
            "x-snapsentry-express-enabled": "true",
            "x-snapsentry-express-retention-days": "1",
            "x-snapsentry-express-retention-type": "time",
            "x-snapsentry-express-timezone": "Europe/Paris",
            "x-snapsentry-express-interval-hours": "8",
        },
    ),
    "daily": (
        Daily(retention=7, start=dt.time(14, 0)),
        {
            "x-snapsentry-daily-enabled": "true",
            "x-snapsentry-daily-retention-days": "7",
            "x-snapsentry-daily-retention-type": "time",
            "x-snapsentry-daily-timezone": "UTC",
            "x-snapsentry-daily-start-time": "14:00",
        },
    ),
    "weekly": (
        Weekly(retention=14, retention_type="count", weekday=3, start=dt.time(3, 15)),
        {
            "x-snapsentry-weekly-enabled": "true",
            "x-snapsentry-weekly-retention-days": "14",
            "x-snapsentry-weekly-retention-type": "count",
            "x-snapsentry-weekly-timezone": "UTC",
            "x-snapsentry-weekly-start-time": "03:15",
            "x-snapsentry-weekly-start-day-of-week": "wednesday",
        },
    ),
    "monthly": (
        Monthly(enabled=False, retention=60, retention_type="count", day=15, start=dt.time(3, 15)),
        {
            "x-snapsentry-monthly-enabled": "false",
            "x-snapsentry-monthly-retention-days": "60",
            "x-snapsentry-monthly-retention-type": "count",
            "x-snapsentry-monthly-timezone": "UTC",
            "x-snapsentry-monthly-start-time": "03:15",
            "x-snapsentry-monthly-start-day-of-month": "15",
        },
    ),
}


def reasons(metadata, **options):
    return [str(fault) for fault in read_metadata(metadata, **options).faults]


@pytest.mark.parametrize("kind", WRITTEN)
def test_each_kind_both_ways(kind):
    policy, metadata = WRITTEN[kind]
    policies = Policies(managed=True, **{kind: policy})
    assert policies.to_metadata() == dict(sorted((MANAGED | metadata).items()))
    assert parse_metadata(MANAGED | metadata) == policies


@pytest.mark.parametrize(
    ("kind", "policy"),
    [
        ("express", Express(interval=6, retention=1)),
        ("daily", Daily(retention=2)),
        ("weekly", Weekly(retention=7, weekday=0)),
        ("monthly", Monthly(retention=30, day=1)),
    ],
)
def test_defaults(kind, policy):
    metadata = MANAGED | {f"x-snapsentry-{kind}-enabled": "true"}
    assert parse_metadata(metadata) == Policies(**{kind: policy})
    metadata |= {f"x-snapsentry-{kind}-{suffix}": "" for suffix in policy.texts if suffix != "enabled"}
    assert parse_metadata(metadata) == Policies(**{kind: policy})
    assert (policy.enabled, policy.retention_type, policy.timezone) == (True, "time", "UTC")


@given(POLICIES)
def test_metadata_round_trip(policies):
    metadata = policies.to_metadata()
    assert parse_metadata(metadata) == policies
    assert parse_metadata(metadata, original=True).to_metadata() == {
        key: "time" if key.endswith("retention-type") else text for key, text in metadata.items()
    }
    assert json.loads(policies.to_json()) == metadata


@given(POLICIES, st.dictionaries(st.text(), st.text()))
def test_keys_of_others_are_kept_and_make_no_difference(policies, others):
    others = {key: text for key, text in others.items() if "snapsentry" not in key.lower()}
    written = merged(others, policies)
    assert {key: written[key] for key in others} == others
    assert parse_metadata(written) == policies


def test_a_key_called_loc():
    assert parse_metadata(MANAGED | {"loc": "Berlin", "x-snapsentry-daily-enabled": "1"}).daily == Daily()


def test_keys_in_any_case():
    metadata = {
        "X-Snapsentry-Managed": "true",
        "X-SNAPSENTRY-DAILY-ENABLED": "T",
        "x-snapsentry-Daily-Start-Time": "9:30",
    }
    assert parse_metadata(metadata) == Policies(daily=Daily(start=dt.time(9, 30)))


def test_the_key_that_the_original_writes_and_does_not_read():
    metadata = MANAGED | {"x-snapsentry-monthly-enabled": "true", "x-snapsentry-monthly-day-of-month": "15"}
    policies = parse_metadata(metadata)
    assert policies.monthly == Monthly(day=15)
    assert "x-snapsentry-monthly-day-of-month" not in policies.to_metadata()
    assert merged(metadata, policies)["x-snapsentry-monthly-start-day-of-month"] == "15"
    assert "x-snapsentry-monthly-day-of-month" not in merged(metadata, policies)
    assert parse_metadata(metadata, original=True).monthly == Monthly(day=1)
    both = metadata | {"x-snapsentry-monthly-start-day-of-month": "15"}
    assert parse_metadata(both).monthly == Monthly(day=15)
    both["x-snapsentry-monthly-start-day-of-month"] = "1"
    assert parse_metadata(both, original=True).monthly == Monthly(day=1)
    assert reasons(both) == [
        "x-snapsentry-monthly-day-of-month: it is '15', but x-snapsentry-monthly-start-day-of-month is '1': remove one"
    ]


def test_writing_one_policy_leaves_the_others():
    before = MANAGED | WRITTEN["weekly"][1] | {"owner": "me", "X-Snapsentry-Daily-Enabled": "false"}
    after = merged(before, Policies(daily=Daily()))
    assert after == MANAGED | WRITTEN["weekly"][1] | {"owner": "me"} | Policies(daily=Daily()).to_metadata()


@pytest.mark.parametrize(
    ("key", "text", "reason"),
    [
        ("daily-enabled", "yes", "invalid value 'yes'; must be true or false (or 1, t, T, 0, f, F)"),
        ("daily-retention-days", "a week", "invalid number 'a week'; must be a whole number in decimal digits"),
        ("daily-retention-days", "10000000", "invalid retention 10000000; must be at most 1000000"),
        ("daily-retention-type", "age", "invalid retention type 'age'; must be time or count"),
        ("daily-start-time", "25:00", "invalid start time '25:00'; must be HH:MM or HH:MM:SS"),
        (
            "daily-timezone",
            "Mars/Phobos",
            "invalid timezone 'Mars/Phobos': unknown time zone Mars/Phobos; must be one such as UTC or Europe/Berlin",
        ),
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_key(key, text, reason):
    metadata = MANAGED | WRITTEN["daily"][1] | WRITTEN["weekly"][1] | {f"x-snapsentry-{key}": text}
    assert reasons(metadata) == [f"x-snapsentry-{key}: {reason}"]
    found = read_metadata(metadata)
    assert found.policies == Policies(weekly=WRITTEN["weekly"][0]), "the others go on"
    assert found.doubtful("daily")
    assert not found.doubtful("weekly")
    with pytest.raises(InvalidInput, match=f"x-snapsentry-{key}: invalid"):
        parse_metadata(metadata)


@pytest.mark.parametrize(
    ("key", "text", "reason"),
    [
        ("weekly-start-day-of-week", "SUN", "invalid day 'SUN'"),
        ("express-interval-hours", "5", "express interval must be 6, 8, or 12 hours; got 5"),
        ("express-interval-hours", "six", "invalid number 'six'"),
        ("monthly-start-day-of-month", "first", "invalid number 'first'"),
        ("monthly-day-of-month", "first", "invalid number 'first'"),
    ],
)
def test_values_of_other_kinds(key, text, reason):
    kind = key.split("-")[0]
    metadata = MANAGED | {f"x-snapsentry-{kind}-enabled": "true", f"x-snapsentry-{key}": text}
    assert [one.startswith(f"x-snapsentry-{key}: {reason}") for one in reasons(metadata)] == [True]


@pytest.mark.parametrize(
    ("key", "kind", "hint"),
    [
        ("x-snapsentry-daily-retention-day", "daily", "x-snapsentry-daily-retention-days"),
        ("x-snapsentry-daily-retention_days", "daily", "x-snapsentry-daily-retention-days"),
        ("x_snapsentry_daily_start_time", "daily", "x-snapsentry-daily-start-time"),
        (" x-snapsentry-daily-timezone", "daily", "x-snapsentry-daily-timezone"),
        ("x-ſnapsentry-daily-timezone", "daily", "x-snapsentry-daily-timezone"),
        ("x-snapsentry-daily-start-day-of-week", "daily", "x-snapsentry-weekly-start-day-of-week"),
        ("x-snapsentry-dayly-enabled", "", "x-snapsentry-daily-enabled"),
        ("x-snapsentry-manage", "", "x-snapsentry-managed"),
        ("x-snapsentrydaily-enabled", "", "x-snapsentry-daily-enabled"),
        ("x-snapsentry-snapshot-expiry-date", "", ""),
        ("x-snapsentry", "", ""),
    ],
)
def test_keys_that_are_not_known_are_not_passed_over(key, kind, hint):
    metadata = MANAGED | WRITTEN["daily"][1] | WRITTEN["weekly"][1] | {key: "5"}
    (fault,) = read_metadata(metadata).faults
    assert (fault.key, fault.kind) == (key, kind)
    assert fault.reason.startswith(
        f"this key is not known: did you mean {hint}? accepted are" if hint else "this key is"
    )
    used = read_metadata(metadata).policies
    assert used.weekly == WRITTEN["weekly"][0]
    assert used.daily == (None if kind else WRITTEN["daily"][0]), "it may be what the key was meant for"
    assert read_metadata(metadata, original=True).faults == ()


WRITE = "write true, or false for all policies"


def test_what_a_person_forgot():
    daily = {"x-snapsentry-daily-start-time": "03:00"}
    assert reasons(MANAGED | daily) == [
        "x-snapsentry-daily-enabled: it is missing, but there is x-snapsentry-daily-start-time: write true or false"
    ]
    assert reasons(daily | {"x-snapsentry-daily-enabled": "true"}) == [
        f"x-snapsentry-managed: it is missing, but x-snapsentry-daily-enabled is true: {WRITE}"
    ]
    assert reasons(daily | {"x-snapsentry-daily-enabled": "false"}) == []
    assert reasons(daily | {"x-snapsentry-daily-enabled": "", "x-snapsentry-managed": ""}) == []
    assert read_metadata(daily, original=True) == (Policies(managed=None), ())


def test_managed_switches_all():
    metadata = {"x-snapsentry-managed": "false", **WRITTEN["daily"][1]}
    policies = parse_metadata(metadata)
    assert policies.every == (WRITTEN["daily"][0],)
    assert policies.active == policies.rules() == ()
    assert policies.never == ("daily",)
    assert parse_metadata(metadata | MANAGED).never == ()
    assert parse_metadata(metadata | MANAGED).active == (WRITTEN["daily"][0],)
    assert read_metadata(metadata | {"x-snapsentry-managed": "on"}).doubtful("daily")


def test_twice_in_other_letters():
    metadata = MANAGED | {"x-snapsentry-daily-enabled": "true", "X-Snapsentry-daily-enabled": "false"}
    (reason,) = reasons(metadata)
    assert "it is given twice, 'true' as x-snapsentry-daily-enabled and 'false' as X-Snapsentry-daily-enabled" in reason
    assert parse_metadata(metadata, original=True).daily == Daily()
    assert parse_metadata(dict(reversed(metadata.items())), original=True).daily == Daily()
    assert reasons(metadata | {"X-Snapsentry-daily-enabled": "true"}) == []


def test_octal_numbers():
    metadata = MANAGED | {"x-snapsentry-daily-enabled": "true", "x-snapsentry-daily-retention-days": "010"}
    assert parse_metadata(metadata).daily == Daily(retention=10)
    assert parse_metadata(metadata, original=True).daily == Daily(retention=8)


def test_values_that_are_no_text():
    assert reasons({"x-snapsentry-managed": True}) == ["x-snapsentry-managed: invalid value True; must be a text"]


def test_nothing_is_said():
    assert (
        parse_metadata({})
        == parse_metadata({"owner": "me", "x-acme-snapsentry-managed": "1"})
        == Policies(managed=None)
    )
    assert str(Policies(managed=None)) == ""


def test_a_reason_fits_a_line():
    (reason,) = reasons({"x-snapsentry-" + "\x1b" * 1000: "\n" * 1000})
    assert reason.isprintable()
    assert len(reason) < 1000


@pytest.mark.parametrize(
    ("kind", "fields", "key"),
    [
        (Daily, {"retention": "7"}, "retention-days"),
        (Daily, {"retention": True}, "retention-days"),
        (Daily, {"retention": 10**7}, "retention-days"),
        (Daily, {"enabled": "true"}, "enabled"),
        (Daily, {"timezone": "Mars"}, "timezone"),
        (Daily, {"start": "03:00"}, "start-time"),
        (Daily, {"start": dt.time(3, tzinfo=dt.UTC)}, "start-time"),
        (Daily, {"retention_type": "age"}, "retention-type"),
        (Express, {"interval": 5}, "interval-hours"),
        (Weekly, {"weekday": 7}, "start-day-of-week"),
        (Weekly, {"weekday": "sunday"}, "start-day-of-week"),
        (Monthly, {"day": 1.5}, "start-day-of-month"),
    ],
)
def test_a_bad_policy_cannot_be_made(kind, fields, key):
    with pytest.raises(InvalidInput, match=f"^x-snapsentry-{kind.kind}-{key}: "):
        kind(**fields)


def test_a_policy_has_its_place():
    with pytest.raises(InvalidInput, match="no daily policy: Weekly"):
        Policies(daily=Weekly())


@pytest.mark.parametrize(("text", "managed"), [("true", True), ("True", False), ("1", False), ("", False)])
def test_the_original_wants_true_to_the_letter(text, managed):
    assert read_metadata({"x-snapsentry-managed": text}, original=True).policies.managed is managed


def test_policies_are_values():
    assert {Daily(start=dt.time(3, 0, 59)), Daily(start=dt.time(3))} == {Daily(start=dt.time(3))}
    with pytest.raises(AttributeError):
        Daily().retention = 3
