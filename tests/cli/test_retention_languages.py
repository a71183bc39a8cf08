"""retention explain with schedules of other languages."""

import json

import pytest

from tests.fixtures.cli import within as blockdiff

AT = ("--at", "2026-01-08T12:00")


def expired(*words, stdin=None):
    done = blockdiff("retention", "explain", "-o", "json", *AT, *words, stdin=stdin, expect=0)
    return [one["name"] for one in json.loads(done.stdout) if one["expired"]]


def made(**days):
    times = {name: f"2026-01-{day:02}T03:00:12Z" for name, day in days.items()}
    return json.dumps([{"name": name, "created": time, "managed": name != "mine"} for name, time in times.items()])


def test_lxd():
    config = "snapshots.schedule: '@daily, @weekly'\nsnapshots.expiry: 3d"
    assert expired("--language", "lxd", config, stdin=made(snap0=1, mine=1, snap1=4, snap2=7)) == ["snap0", "snap1"]
    assert expired("--language", "lxd", "@daily", stdin=made(snap0=1, snap1=4)) == []  # no expiry: never


def test_snapsentry():
    policy = {"managed": "true", "daily-enabled": "true", "daily-retention-days": "3", "daily-start-time": "03:00"}
    text = json.dumps({f"x-snapsentry-{key}": value for key, value in policy.items()})
    names = [
        "managed-daily-vol-1-2026-01-01T03:00:00Z",
        "managed-daily-vol-1-2026-01-07T03:00:00+01:00",
        "managed-weekly-vol-1-2026-01-01T03:00:00Z",  # of no policy that there is
        "managed-daily-vol-1-2026-13-01T03:00:00Z",
        "auto-v2-daily-202601010300-4",
        "auto-v2-hourly-202601010300-4",
        "auto-v2-daily-202601070300-4",
    ]
    assert expired("--language", "snapsentry", text, *names) == [names[0], names[4]]
    assert expired("--policy", "last=1", *names) == [names[4], names[5]]


def test_openstorage():
    tags = [f"auto-v2-{kind}-202601{day}0300-4" for kind, day in (("daily", "05"), ("daily", "06"), ("weekly", "04"))]
    words = ("--language", "openstorage", "daily=03:00,1;weekly=Sunday@03:00,2")
    assert expired(*words, *tags) == tags[:1]
    text = made(a=1, b=4, mine=1)
    assert expired("--language", "openstorage", "daily=03:00,1", stdin=text) == ["a"]


@pytest.mark.parametrize(
    "words",
    [
        ("--language", "lxd", "@daily\n\nx"),
        ("--language", "lxd", "snapshots.schedule: '@daily'\nsnapshots.expiry: 0d"),
        ("--language", "openstorage", "daily=03:00,0"),
        ("--language", "snapsentry", '{"x-snapsentry-daily-enabled": "perhaps"}'),
        ("--language", "lxd", "@daily", "--anchor", "soon"),
    ],
)
def test_bad_schedules(words):
    done = blockdiff("retention", "explain", *AT, *words, "a", expect=2)
    assert "rror: " in done.stderr
    assert done.stdout == ""


def test_intervals_begin_at_the_anchor():
    words = (*AT, "-o", "json", "--language", "openstorage", "periodic=60,2", "--simulate", "2026-01-08T15:00")
    done = blockdiff("retention", "explain", *words, "--anchor", "2026-01-01T00:20", stdin="[]", expect=0)
    assert [one["time"] for one in json.loads(done.stdout)] == [
        "2026-01-08T13:20:00+00:00",
        "2026-01-08T14:20:00+00:00",
    ]
