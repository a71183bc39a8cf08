"""LXD's schedules on the command line."""

import json

import pytest

from tests.fixtures.cli import blockdiff

LXD = ("--language", "lxd")
CONFIG = "snapshots.schedule: '@daily, 15 3 * * mon'\nsnapshots.expiry: 2w\n"


def test_parse():
    done = blockdiff("schedule", "parse", *LXD, "@DAILY, 15 3 * * MON", expect=0)
    assert done.stdout == "@daily, 15 3 * * mon\n"
    done = blockdiff("schedule", "parse", *LXD, "-o", "json", "-", stdin=CONFIG, expect=0)
    assert json.loads(done.stdout) == {"snapshots.schedule": "@daily, 15 3 * * mon", "snapshots.expiry": "2w"}
    again = blockdiff("schedule", "parse", *LXD, "--json", done.stdout, expect=0).stdout
    assert again == "snapshots.schedule: '@daily, 15 3 * * mon'\nsnapshots.expiry: '2w'\n"
    assert blockdiff("schedule", "parse", *LXD, again, expect=0).stdout == again


def test_explain():
    words = ("schedule", "explain", *LXD, "--at", "2024-05-03T12:00", "--next", "3", "-o", "json")
    rows = json.loads(blockdiff(*words, "@daily, 0,30 8-17 * * mon-fri", expect=0).stdout)["next"]
    assert [row["time"][:16] for row in rows] == ["2024-05-03T12:30", "2024-05-03T13:00", "2024-05-03T13:30"]
    texts = {blockdiff(*words, "--id", name, "@daily", expect=0).stdout for name in ("1", "2", "3")}
    assert len(texts) == 3


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("@daily, 0 24 * * *", "line 1, column 11:\n    @daily, 0 24 * * *\n              ^^\n"),
        ("0 0 30 2 *", "it is never due"),
        (CONFIG.replace("2w", "2x"), "line 2, column 19:\n    snapshots.expiry: 2x\n                      ^^\n"),
        ("@daily, @startup", "@startup is due when the instance starts"),
    ],
)
def test_faults(text, error):
    done = blockdiff("schedule", "explain", *LXD, text, expect=2)
    assert error in done.stderr
    assert done.stdout == ""


def test_original():
    words = ("schedule", "explain", *LXD, "--original", "--at", "2024-05-03T12:00", "--next", "2")
    done = blockdiff(*words, "*-5 * * * *, 0 0 30 2 *", expect=0)
    assert done.stdout.splitlines() == [
        "Fri 2024-05-03 12:01 UTC  *-5 * * * *",
        "Fri 2024-05-03 12:02 UTC  *-5 * * * *",
        "never                     0 0 30 2 *",
    ]


def test_what_is_never_due_is_listed():
    words = ("schedule", "explain", *LXD, "--original")
    text = "0 0 30 2 *, @daily, @never, @never"
    done = json.loads(blockdiff(*words, "-o", "json", "--next", "1", text, expect=0).stdout)
    assert done["never"] == ["0 0 30 2 *", "@never"]
    assert blockdiff(*words, "0 0 30 2 *", expect=0).stdout == "never  0 0 30 2 *\n"
    days = ("--since", "2026-01-01", "--until", "2026-01-02")
    assert blockdiff(*words, *days, text, expect=0).stdout.splitlines() == [
        "due Fri 2026-01-02 00:00 UTC  @daily",
        "not due                       0 0 30 2 *",
        "not due                       @never",
    ]
    policy = "x-snapsentry-managed=true\nx-snapsentry-daily-enabled=true\nx-snapsentry-weekly-enabled=false"
    done = blockdiff("schedule", "explain", "--language", "snapsentry", "--next", "1", "-o", "json", policy, expect=0)
    assert json.loads(done.stdout)["never"] == ["weekly"]


def test_a_configuration_as_it_is_printed():
    text = "  snapshots.expiry: 2w\n  snapshots.schedule: '@daily'\n"
    done = blockdiff("schedule", "parse", *LXD, "-", stdin=text, expect=0)
    assert done.stdout == "snapshots.schedule: '@daily'\nsnapshots.expiry: '2w'\n"


@pytest.mark.parametrize("to", ["snapper", "lxd", "snapsentry", "openstorage"])
@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("lxd", "snapshots.expiry: 7d"),
        ("lxd", "@never"),
        ("lxd", "snapshots.schedule: '@never'\nsnapshots.expiry: 7d"),
        ("snapsentry", "x-snapsentry-managed=true\nx-snapsentry-daily-enabled=false"),
    ],
)
def test_what_has_no_rule_is_not_converted_to_nothing(source, text, to):
    done = blockdiff("schedule", "convert", "--from", source, "--to", to, text, expect=2)
    assert done.stdout == ""
    assert f"nothing in the text is ever due, so {to} would say nothing of it" in done.stderr


def test_convert():
    words = ("schedule", "convert", "--from", "snapper", "--to", "lxd")
    text = "daily:local=7@3:15 weekly:local=7@Sun"
    done = blockdiff(*words, "--keep", "days=7", text, expect=0)
    assert done.stdout == "snapshots.schedule: '15 3 * * *, 0 0 * * 0'\nsnapshots.expiry: '7d'\n"
    assert "it has an age only, and nothing for count=7" in blockdiff(*words, text, expect=2).stderr
    assert "lxd cannot say" in blockdiff(*words, "--keep", "days=7", "daily:remote=7", expect=2).stderr
