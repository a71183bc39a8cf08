"""Verdicts: what is never touched, what stays although no retention keeps it, and properties of all of them."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.retention import GFS, KeepAge, KeepCount, KeepDays
from blockdiff.retention.chain import State, bases, worst
from blockdiff.retention.verdict import Point, Policy, expired
from tests.retention import oracle
from tests.retention.strategies import ZONES, retentions

UTC = dt.UTC
NOW = dt.datetime(2026, 3, 1, tzinfo=UTC)


def point(name, day=0, **fields):
    """``day`` days before NOW."""
    return Point(name, NOW - dt.timedelta(days=day), **fields)


def reasons(points, keep, now=NOW, **options):
    return {one.name: one.reason for one in expired(points, now, keep, **options)}


def gone(points, keep, now=NOW, **options):
    return [one.name for one in expired(points, now, keep, **options) if one.expired]


def test_what_it_does_not_manage():
    points = [
        point("foreign", 9, foreign="manual"),
        Point("unknown", None),
        point("future", -1),
        point("old", 8),
        point("new", 7),
    ]
    assert gone(points, KeepCount(1)) == ["old"]
    assert reasons(points, KeepCount(1)) == {
        "foreign": "manual: not managed",
        "unknown": "when it was made is not known: not managed",
        "future": "its time has not come: a clock was wrong",
        "old": "count=1 are newer",
        "new": "kept: count 1 of 1",
    }


def test_foreign_ones_do_not_count():
    points = [point("a", 3), point("b", 2, foreign="of another owner"), point("c", 1)]
    assert gone(points, KeepCount(2)) == []
    assert gone(points, GFS(yearly=1)) == ["a"]


def test_the_newest_stays():
    points = [point("a", 400), point("b", 300), point("x", 350, series="other")]
    assert gone(points, KeepDays(1)) == ["a"]
    assert reasons(points, KeepDays(1))["b"] == "the newest stays (days=1 ended 2025-05-06T00:00+00:00)"
    assert gone(points, KeepDays(1), empty=True) == ["a", "b", "x"]
    assert gone([*points, point("future", -1)], KeepDays(1)) == ["a"]


def test_the_newest_complete_one_stays():
    points = [point("good", 400), point("making", 300, state=State.INCOMPLETE), point("bad", 200, state=State.FAILED)]
    assert gone(points, KeepDays(1)) == []
    assert reasons(points, KeepDays(1))["bad"] == "failed: it does not count"
    assert gone([*points, point("newer", 199)], KeepDays(1)) == ["good", "bad"]


def test_failed_ones_do_not_count_and_go_once_something_newer_is_complete():
    points = [point("a", 4), point("b", 3, state=State.FAILED), point("c", 2), point("d", 1, state=State.FAILED)]
    assert gone(points, KeepCount(2)) == ["b"]
    assert reasons(points, KeepCount(2))["b"] == "failed, and c is newer and complete"
    assert gone([point("x", 1, state=State.FAILED)], KeepCount(2)) == []
    assert gone([point("x", 1, state=State.FAILED), point("y", 1)], KeepCount(2)) == []  # not newer


def test_what_is_being_made_is_left_alone():
    points = [point("a", 4, state=State.INCOMPLETE), *(point(str(day), day) for day in (3, 2, 1))]
    assert gone(points, KeepCount(1)) == ["3", "2"]


def test_what_stands_on_a_broken_one_is_broken():
    points = [point("full", 5), point("bad", 4, state=State.FAILED), point("diff", 3), point("other", 2)]
    depends = {"bad": "full", "diff": "bad"}
    assert reasons(points, KeepCount(2), depends=depends) == {
        "full": "kept: count 2 of 2",
        "bad": "failed, and other is newer and complete",
        "diff": "stands on bad, which is failed, and other is newer and complete",
        "other": "kept: count 1 of 2",
    }
    assert gone(points[:3], KeepCount(1), depends=depends) == []


def test_the_chain_of_a_kept_one_stays():
    points = [point("full", 9), point("one", 8), point("two", 7), point("full2", 6), point("three", 5)]
    depends = {"one": "full", "two": "one", "three": "full2"}
    assert reasons(points, KeepCount(1), depends=depends) == {
        "full": "count=1 are newer",
        "one": "count=1 are newer",
        "two": "count=1 are newer",
        "full2": "three stands on it",
        "three": "kept: count 1 of 1",
    }
    assert reasons(points[:3], KeepCount(1), depends=depends and {"one": "full", "two": "one"}) == {
        "full": "two stands on it",
        "one": "two stands on it",
        "two": "kept: count 1 of 1",
    }


def test_the_chain_of_a_foreign_or_protected_one_stays():
    points = [
        point("full", 9),
        point("mine", 8, foreign="manual"),
        point("full2", 7),
        point("held", 6),
        point("new", 1),
    ]
    depends = {"mine": "full", "held": "full2"}
    assert gone(points, KeepCount(1), depends=depends) == ["full2", "held"]
    found = reasons(points, KeepCount(1), depends=depends, protected={"held": "the base of replica B"})
    assert found["held"] == "the base of replica B"
    assert found["full2"] == "held stands on it"
    assert found["full"] == "mine stands on it"


def test_several_policies():
    hourly = Policy(KeepCount(2), "hourly", covers=lambda one: one.rule == "hourly")
    daily = Policy(GFS(daily=2), "daily", covers=lambda one: one.rule in ("daily", "both"))
    forever = Policy(None, "archive", covers=lambda one: one.rule in ("archive", "both"))
    points = [
        point(f"{rule}{day}", day, rule=rule) for rule in ("hourly", "daily", "archive", "other") for day in (1, 2, 3)
    ]
    points.append(point("both4", 4, rule="both"))
    found = reasons(points, [hourly, daily, forever])
    assert gone(points, [hourly, daily, forever]) == ["hourly3", "daily3"]
    assert found["hourly1"] == "kept by hourly"
    assert found["hourly3"] == "older than what hourly keeps"
    assert found["daily1"] == "kept by daily: daily 1 of 2 (2026-02-28)"
    assert found["daily3"] == "daily: daily=2 are newer"
    assert found["archive3"] == "archive keeps everything"
    assert found["other3"] == "no rule is its own: not managed"
    assert found["both4"] == "archive keeps everything"
    assert gone(points, []) == []


@pytest.mark.parametrize("turn", [1, -1])
def test_the_newest_of_a_series_is_that_of_all_its_policies(turn):
    policies = [Policy(KeepDays(1), name, covers=lambda one, name=name: one.rule == name) for name in ("a", "b")]
    points = [point("older", 9, rule="a"), point("newer", 8, rule="b")]
    assert gone(points, policies[::turn]) == ["older"]


def test_clocks_that_go_back():
    """Within one zone Python compares what the clocks show: 2:10 is earlier than 2:50, also an hour after it."""
    berlin = ZoneInfo("Europe/Berlin")
    first = dt.datetime(2026, 10, 25, 2, 50, tzinfo=berlin)
    second = dt.datetime(2026, 10, 25, 2, 10, tzinfo=berlin, fold=1)
    points = [Point("first", first), Point("second", second)]
    assert gone(points, KeepCount(1), now=second) == ["first"]
    assert gone(points, KeepCount(1), now=first) == []  # the second has not come
    assert gone(points, KeepAge(minutes=15), now=second, empty=True) == ["first"]


@pytest.mark.parametrize(
    ("points", "keep", "options", "words"),
    [
        ([point("a"), point("a")], KeepCount(1), {}, "named twice"),
        ([Point("a", NOW.replace(tzinfo=None))], KeepCount(1), {}, "has no time zone"),
        ([Point("a", NOW.replace(year=1))], KeepCount(1), {}, "out of range"),
        ([], KeepCount(1), {"now": dt.datetime.max.replace(tzinfo=UTC)}, "out of range"),
        ([], KeepCount(1), {"now": NOW.replace(tzinfo=None)}, "no time zone"),
        ([], KeepCount(0), {}, "count=0 would remove every snapshot"),
        ([], [Policy(KeepCount(-1), "hourly")], {}, r"hourly \(count=-1\) would remove every snapshot"),
        ([point("a")], KeepCount(1), {"protected": {"b": "why"}}, "'b' is to be protected, but is not among"),
        ([point("a")], KeepCount(1), {"depends": {"a": "b"}}, "not among"),
    ],
)
def test_refused(points, keep, options, words):
    with pytest.raises(InvalidInput, match=words):
        expired(points, options.pop("now", NOW), keep, **options)


# ---- properties ----


@st.composite
def cases(draw):
    """Points of two series with gaps, states, chains and protected ones."""
    minutes = draw(st.lists(st.integers(-3000, 60 * 24 * 400), min_size=1, max_size=25))
    points = [
        Point(
            str(number),
            None if draw(st.integers(0, 30)) == 0 else NOW - dt.timedelta(minutes=minute),
            series=draw(st.sampled_from("aab")),
            state=draw(st.sampled_from([State.COMPLETE] * 6 + [State.INCOMPLETE, State.FAILED])),
            foreign=draw(st.sampled_from([""] * 9 + ["manual"])),
        )
        for number, minute in enumerate(minutes)
    ]
    depends = {
        str(number): str(draw(st.integers(0, number - 1)))
        for number in range(1, len(points))
        if draw(st.integers(0, 3)) == 0
    }
    protected = {one.name: "a base" for one in points if draw(st.integers(0, 15)) == 0}
    return points, {"depends": depends, "protected": protected, "zone": draw(ZONES) or UTC}


def among(verdicts, points):
    stay = {one.name for one in verdicts if not one.expired}
    return [one for one in points if one.name in stay]


def narrowed(options, points):
    names = {one.name for one in points}
    return {
        **options,
        "depends": {name: base for name, base in options["depends"].items() if name in names},
        "protected": {name: why for name, why in options["protected"].items() if name in names},
    }


@given(cases(), retentions(), st.randoms())
def test_the_order_does_not_matter(case, keep, rng):
    points, options = case
    shuffled = rng.sample(points, len(points))
    links = list(options["depends"].items())
    options2 = {**options, "depends": dict(rng.sample(links, len(links)))}
    assert sorted(expired(points, NOW, keep, **options)) == sorted(expired(shuffled, NOW, keep, **options2))


@given(cases(), retentions(), st.booleans())
def test_applied_twice_it_removes_nothing_more(case, keep, empty):
    points, options = case
    rest = among(expired(points, NOW, keep, empty=empty, **options), points)
    assert gone(rest, keep, empty=empty, **narrowed(options, rest)) == []


@given(cases(), retentions(), st.integers(0, 60 * 24 * 500))
def test_what_has_expired_stays_expired(case, keep, minutes):
    points, options = case
    later = NOW + dt.timedelta(minutes=minutes)
    assert set(gone(points, keep, **options)) <= set(gone(points, keep, now=later, **options))


@given(cases(), retentions())
def test_what_is_promised(case, keep):
    points, options = case
    depends = options["depends"]
    verdicts = {one.name: one for one in expired(points, NOW, keep, **options)}
    states = worst({one.name: one.state for one in points}, depends)
    stay = {name for name, one in verdicts.items() if not one.expired}
    assert all(one.reason for one in verdicts.values())
    for name in stay:
        assert set(bases(name, depends)) <= stay
    for one in points:
        if one.foreign or one.time is None or one.time > NOW or one.name in options["protected"]:
            assert one.name in stay
    managed = [one for one in points if not one.foreign and one.time and one.time <= NOW]
    for series in "ab":
        mine = [one for one in managed if one.series == series]
        promised_of_a_series(mine, states, keep, verdicts, options)


def promised_of_a_series(points, states, keep, verdicts, options):
    times = {one.time for one in points if states[one.name] is State.COMPLETE}
    for one in points:
        verdict, state = verdicts[one.name], states[one.name]
        if state is State.COMPLETE:
            stays = one.time == max(times) or oracle.keeps(keep, one.time, times, NOW, options["zone"])
        else:
            stays = state is State.INCOMPLETE or not any(time > one.time for time in times)
        if stays:
            assert not verdict.expired
        elif not verdict.expired:
            assert one.name in options["protected"] or verdict.reason.endswith(" stands on it")


def test_a_hundred_thousand():
    points = [point(str(number), number / 24, series=str(number % 3)) for number in range(100_000)]
    depends = {str(number): str(number + 3) for number in range(99_000) if number % 50}
    keep = GFS(last=10, hourly=48, daily=30, weekly=52, monthly=60, yearly=9, zone=ZoneInfo("Europe/Berlin"))
    verdicts = expired(points, NOW, keep, depends=depends)
    assert sum(not one.expired for one in verdicts) > 500
