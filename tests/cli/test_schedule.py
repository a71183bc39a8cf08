"""schedule and tag on the command line."""

import json

import pytest

from tests.fixtures.cli import blockdiff
from tests.fixtures.schemas import obeys


def test_schedule_parse(tmp_path):
    text = "# ours\ndaily:local=7@03:15,remote=7@10 hourly:local=24\n"
    assert blockdiff("schedule", "parse", text, expect=0).stdout == (
        "hourly:local=24 daily:local=7@03:15,remote=7@10\n"
    )
    done = blockdiff("schedule", "parse", "-o", "json", "-", stdin=text, expect=0)
    assert json.loads(done.stdout)[0] == {"destination": "local", "keep": 7, "minute": 15, "hour": 3}
    again = blockdiff("schedule", "parse", "--json", done.stdout, expect=0)
    assert again.stdout == "hourly:local=24 daily:local=7@03:15,remote=7@10\n"


def test_what_a_terminal_would_obey_is_not_said():
    for command in (
        ("schedule", "parse"),
        ("tag", "parse"),
        ("schedule", "explain", "--zone", "\x1b[2J", "daily:local=1", "--at"),
    ):
        done = blockdiff(*command, "\x1b]0;\u202etitle\x07", expect=2)
        assert all(char.isprintable() or char == "\n" for char in done.stderr)


def test_schedule_faults():
    done = blockdiff("schedule", "parse", "hourly:local=1\ndaily:local=1@24", expect=2)
    assert done.stdout == ""
    assert done.stderr.endswith("line 2, column 15:\n    daily:local=1@24\n                  ^^\n")
    blockdiff("schedule", "parse", "stray", expect=2)
    assert blockdiff("schedule", "parse", "--original", "stray", expect=0).stdout == "\n"
    blockdiff("schedule", "parse", "--json", "{}", expect=2)


def test_tags():
    made = blockdiff("tag", "make", "--period", "hourly", "--time", "202001020300", "--vm", "4", expect=0).stdout
    assert made == "auto-v2-hourly-202001020300-4\n"
    facts = json.loads(blockdiff("tag", "parse", "-o", "json", made.strip(), expect=0).stdout)
    assert facts == {
        "tag": "auto-v2-hourly-202001020300-4",
        "type": "auto",
        "version": 2,
        "period": "hourly",
        "time": "2020-01-02T03:00:00+00:00",
        "id": "4",
        "vm": 4,
        "rbd": None,
        "schedule": "hourly:local=1",
    }
    assert "image-name" in blockdiff("tag", "parse", "manual-v3-daily-202001020300-image-name", expect=0).stdout


@pytest.mark.parametrize(
    "words",
    [
        ("parse", "auto-v2-hourly-20200102-4"),
        ("make", "--period", "often", "--time", "202001020300", "--vm", "4"),
        ("make", "--period", "daily", "--time", "2020", "--vm", "4"),
        ("make", "--period", "daily", "--time", "202001020300"),
        ("make", "--period", "daily", "--time", "202001020300", "--rbd", ""),
        ("make", "--period", "daily", "--time", "202001020300", "--rbd", "name", "--tag-version", "2"),
    ],
)
def test_bad_tags(words):
    assert "rror: " in blockdiff("tag", *words, expect=2).stderr


def test_explain():
    words = ("schedule", "explain", "--at", "2024-03-30T12:00", "--next", "3", "--zone", "Europe/Berlin")
    done = blockdiff(*words, "daily:local=7@2:30 yearly:remote=1@Feb-30", expect=0)
    assert done.stdout.splitlines() == [
        "Sun 2024-03-31 03:30 CEST  daily:local=7@02:30",
        "Mon 2024-04-01 02:30 CEST  daily:local=7@02:30",
        "Tue 2024-04-02 02:30 CEST  daily:local=7@02:30",
        "never                      yearly:remote=1@Feb-30",
    ]
    text = "hourly:local=1@5 daily:local=7@15 minutely:local=1@0"
    found = json.loads(blockdiff(*words, "-o", "json", "-", stdin=text, expect=0).stdout)
    obeys(found, "upcoming")
    assert found == {
        "at": "2024-03-30T12:00:00+01:00",
        "next": [{"time": f"2024-03-30T{hour}:05:00+01:00", "rule": "hourly:local=1@5"} for hour in (12, 13, 14)],
        "never": ["minutely:local=1@0"],
    }
    assert blockdiff("schedule", "explain", "daily:local=1", expect=0).stdout.count("\n") == 10
    assert blockdiff("schedule", "explain", "", expect=0).stdout == "nothing is ever due\n"


def test_explain_many():
    done = blockdiff("schedule", "explain", "--next", "100000", "--at", "2024-01-01", "minutely:local=1", expect=0)
    lines = done.stdout.splitlines()
    assert (len(lines), lines[-1]) == (100_000, "Sun 2024-03-10 10:40 UTC  minutely:local=1@100")
    many = "\n".join(f"daily:local=1@{number // 60 % 24}:{number % 60:02}" for number in range(20_000))
    done = blockdiff("schedule", "explain", "--next", "2", "--at", "2024-01-01", "-", stdin=many, expect=0)
    assert done.stdout == "Mon 2024-01-01 00:01 UTC  daily:local=1@00:01\n" * 2


def test_explain_what_was_missed():
    words = ("schedule", "explain", "--since", "2026-01-30T09:00", "--until", "2026-01-31T12:00:30")
    text = "hourly:local=24 monthly:local=1 daily:local=1@3"
    assert blockdiff(*words, text, expect=0).stdout.splitlines() == [
        "due Sat 2026-01-31 12:00 UTC  hourly:local=24  (26 missed)",
        "not due                       monthly:local=1@1",
        "due Sat 2026-01-31 03:00 UTC  daily:local=1@3",
    ]
    found = json.loads(blockdiff(*words, "-o", "json", "--no-catch-up", text, expect=0).stdout)
    obeys(found, "due")
    assert [(rule["due"], rule["missed"]) for rule in found["rules"]] == [
        ("2026-01-31T12:00:00+00:00", 26), (None, 0), (None, 1)]  # fmt: skip


@pytest.mark.parametrize(
    ("at", "zone", "first"),
    [
        ("9999-12-31T23:58", "Asia/Tokyo", "Fri 9999-12-31 23:59 JST  minutely:local=1@100"),
        ("9999-12-31T23:58", "America/New_York", "never  minutely:local=1@100"),
        ("0001-01-01", "Asia/Tokyo", "Mon 0001-01-01 09:18"),
        ("2024-10-27T02:59+01:00", "Europe/Berlin", "Sun 2024-10-27 03:00 CET  minutely:local=1@100"),
    ],
)
def test_explain_at_the_ends_of_time(at, zone, first):
    done = blockdiff("schedule", "explain", "--at", at, "--zone", zone, "--next", "1", "minutely:local=1", expect=0)
    assert done.stdout.startswith(first)


def test_explain_other_languages():
    words = ("schedule", "explain", "--at", "2024-03-30T12:00", "--next", "2")
    done = blockdiff(*words, "--language", "lxd", "--zone", "Europe/Berlin", "30 2 * * *, @never", expect=0)
    assert done.stdout.splitlines()[0].startswith("Sun 2024-03-31 03:")
    spread = {blockdiff(*words, "--language", "lxd", "--id", name, "@daily", expect=0).stdout for name in "abcd"}
    assert len(spread) == 4
    policy = "x-snapsentry-managed=true\nx-snapsentry-daily-enabled=true\nx-snapsentry-daily-timezone=Asia/Tokyo\n"
    done = blockdiff(*words, "--language", "snapsentry", "-", stdin=policy, expect=0)
    assert done.stdout == "Sun 2024-03-31 00:00 JST  daily\nMon 2024-04-01 00:00 JST  daily\n"
    done = blockdiff(*words, "--language", "snapsentry", "--zone", "UTC", "-", stdin=policy, expect=0)
    assert done.stdout.startswith("Sat 2024-03-30 15:00 UTC  daily\n")


@pytest.mark.parametrize(
    "words",
    [
        ("--zone", "Moon/Sea"), ("--zone", "../etc/passwd"), ("--zone", ""), ("--at", "soon"), ("--next", "0"),
        ("--until", "2026-01-01"), ("--since", "2026-01-01", "--next", "1"), ("--no-catch-up",),
        ("--since", "2026-01-02", "--until", "2026-01-01"), ("--language", "cron"), ("--anchor", "x"),
    ],
)  # fmt: skip
def test_bad_explanations(words):
    assert "rror: " in blockdiff("schedule", "explain", *words, "daily:local=1", expect=2).stderr


def test_convert():
    policy = blockdiff("schedule", "convert", "--to", "snapsentry", "daily:local=7@3:15", expect=0).stdout
    assert "x-snapsentry-daily-start-time=03:15\n" in policy
    words = ("schedule", "convert", "--from", "snapsentry", "--to", "snapper", "-")
    assert blockdiff(*words, stdin=policy, expect=0).stdout == "daily:local=7@03:15\n"
    words = ("schedule", "convert", "--from", "lxd", "--to", "snapper")
    done = blockdiff(*words, "@weekly", expect=2)
    assert done.stderr == (
        'blockdiff: error: snapper cannot say "@weekly": it says how many are kept, and nothing else\n'
    )
    assert blockdiff(*words, "@weekly", "--keep", "count=4", "-o", "json", expect=0).stdout == (
        '[{"destination":"local","keep":4,"minute":0,"hour":0,"weekday":0}]\n'
    )
    blockdiff(*words, "@weekly", "--keep", "4", expect=2)
    blockdiff("schedule", "convert", "daily:local=1", expect=2)


def test_bad_stdin():
    words = ("schedule", "explain", "-")
    assert (
        "byte 1 is no UTF-8" in blockdiff(*words, prefix=("sh", "-c", 'printf "a\\377" | "$@"', "-"), expect=2).stderr
    )
    assert "cannot read stdin" in blockdiff(*words, prefix=("sh", "-c", 'exec "$@" <&-', "-"), expect=2).stderr
    done = blockdiff(*words, prefix=("sh", "-c", 'head -c 70000000 /dev/zero | "$@"', "-"), expect=2)
    assert "that is no schedule" in done.stderr


def test_an_option_that_would_mean_nothing():
    done = blockdiff("schedule", "parse", "--original", "--language", "openstorage", "daily=12:00", expect=2)
    assert "read in one way only" in done.stderr
    for words in (["--id", "7"], ["--anchor", "2026-01-01"]):
        assert "goes with" in blockdiff("schedule", "explain", *words, "daily:local=1", expect=2).stderr
    assert (
        "goes with"
        in blockdiff(
            "retention", "explain", "--id", "7", "daily:local=1", "auto-v2-daily-202601010000-4", expect=2
        ).stderr
    )
