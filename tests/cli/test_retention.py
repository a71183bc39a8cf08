"""retention explain on the command line."""

import datetime as dt
import json
import os
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from blockdiff.cli.retention import command
from blockdiff.errors import InvalidInput
from tests.fixtures.cli import blockdiff, within
from tests.fixtures.schemas import obeys

NAMES = [f"auto-v2-daily-2026010{day}0000-4" for day in (1, 2, 3)]
AT = ("--at", "2026-01-31T12:00")


def explain(*words, stdin=None, expect=0, **options):
    run = blockdiff if options else within
    return run("retention", "explain", *words, stdin=stdin, expect=expect, **options)


def verdicts(*words, stdin=None, **options):
    found = json.loads(explain("-o", "json", *AT, *words, stdin=stdin, **options).stdout)
    obeys(found, "retention")
    return found


def expired(*words, **options):
    return [one["name"] for one in verdicts(*words, **options) if one["expired"]]


def listed(*items):
    obeys(list(items), "history")
    return json.dumps(items)


def test_explain():
    done = explain(*AT, "daily:local=2", *NAMES, "other")
    assert done.stdout.splitlines() == [
        f"expired  {NAMES[0]}  older than what daily:local=2@0 keeps",
        f"keep     {NAMES[1]}  kept by daily:local=2@0",
        f"keep     {NAMES[2]}  kept by daily:local=2@0",
        "keep     other                         its name is no tag: not managed",
    ]
    for more in ((), ("-",)):
        found = verdicts("daily:local=2", *more, stdin="\n".join(NAMES))
        assert [item["expired"] for item in found] == [True, False, False]
    assert expired("daily:local=2", "--protect", NAMES[0], *NAMES) == []


def test_policy():
    found = verdicts("--policy", "monthly=1,days=29", *NAMES)
    assert [(one["expired"], one["reason"], one["time"]) for one in found] == [
        (True, "days=29 ended 2026-01-30T00:00+00:00, monthly has a newer one of 2026-01", "2026-01-01T00:00:00+00:00"),
        (True, "days=29 ended 2026-01-31T00:00+00:00, monthly has a newer one of 2026-01", "2026-01-02T00:00:00+00:00"),
        (
            False,
            "kept: days=29 until 2026-02-01T00:00+00:00, monthly 1 of 1 (2026-01)",
            "2026-01-03T00:00:00+00:00",
        ),
    ]
    assert expired("--policy", "days=1", *NAMES) == NAMES[:2]
    assert expired("--policy", "days=1", "--allow-empty", *NAMES) == NAMES


def test_days_of_a_zone():
    names = ["auto-v2-hourly-202601012230-4", "auto-v2-hourly-202601012330-4"]
    assert expired("--policy", "daily=9", *names) == names[:1]
    assert expired("--policy", "daily=9", "--zone", "Europe/Berlin", *names) == []
    assert expired("--policy", "daily=9,zone=Europe/Berlin", *names) == []


def test_a_schedule_of_a_zone():
    """3:00 in Berlin is 2:00 UTC, and 1:00 in summer."""
    names = ["auto-v2-daily-202507010100-4", "auto-v2-daily-202601010200-4", "auto-v2-daily-202601020300-4"]
    assert expired("--zone", "Europe/Berlin", "daily:local=1@3", *names) == names[:1]
    assert verdicts("daily:local=1@3", *names)[0]["reason"] == "no rule is its own: not managed"


RBD = json.dumps(
    [
        {"id": 9, "name": NAMES[2], "size": 1, "protected": "false", "timestamp": "Sat Jan  3 00:00:01 2026"},
        {"id": 4, "name": NAMES[0], "size": 1, "protected": "true", "timestamp": "Thu Jan  1 00:00:01 2026"},
        {"id": 5, "name": NAMES[1], "size": 1, "protected": "false", "timestamp": "Fri Jan  2 00:00:01 2026"},
        {
            "id": 6,
            "name": ".group.1_2_3",
            "size": 1,
            "protected": "false",
            "timestamp": "Fri Jan  2 00:00:01 2026",
            "namespace": {"type": "group", "pool": "p", "group": "g", "group snap": "s"},
        },
        {"id": 7, "name": "before", "size": 1, "protected": "false", "timestamp": "Fri Jan  2 02:30:00 2026"},
    ]
)


def test_a_list_of_rbd():
    found = {one["name"]: one for one in verdicts("--policy", "last=1", "--rbd-zone", "+01:00", stdin=RBD)}
    assert {name: one["reason"] for name, one in found.items()} == {
        NAMES[0]: "protected in Ceph",
        NAMES[1]: "last=1 are newer",
        ".group.1_2_3": "of Ceph itself (group): not managed",
        "before": "its name is no tag: not managed",
        NAMES[2]: "kept: last 1 of 1",
    }
    assert found["before"]["time"] == "2026-01-02T01:30:00+00:00"
    assert expired("--policy", "last=1", "--match", "bef*", stdin=RBD) == [NAMES[1]]  # each series has a newest
    assert expired("--policy", "last=1", "--match", "[!b]*", stdin=RBD) == [NAMES[1]]


def test_times_of_rbd_are_local():
    env = {**os.environ, "TZ": "Europe/Berlin"}
    found = {one["name"]: one for one in verdicts("--policy", "last=1", stdin=RBD, env=env)}
    assert found["before"]["time"] == "2026-01-02T01:30:00+00:00"


def item(name, day, **fields):
    return {"name": name, "created": f"2026-01-{day:02}T00:00:00Z", "managed": True, **fields}


def test_our_json():
    text = listed(
        item("full", 1),
        item("diff", 2, base="full"),
        item("bad", 3, state="failed"),
        item("more", 4, base="diff"),
        item("making", 5, state="incomplete"),
        item("held", 1, protected=True),
        item("theirs", 1, managed=False),
        {"name": "unknown"},
        item("tick", 20, scheduled="2025-01-01T00:00:00Z"),
    )
    assert {one["name"]: one["reason"] for one in verdicts("--policy", "last=1", stdin=text)} == {
        "full": "more stands on it",
        "diff": "more stands on it",
        "bad": "failed, and more is newer and complete",
        "more": "kept: last 1 of 1",
        "making": "incomplete: it does not count",
        "held": "protected",
        "theirs": "managed by another: not managed",
        "unknown": "its name is no tag: not managed",
        "tick": "last=1 are newer",
    }


def test_volumes_are_judged_by_themselves():
    text = listed(*(item(name, day, volume=volume) for volume in "ab" for name, day in (("s1", 1), ("s2", 2))))
    found = verdicts("--policy", "last=1", stdin=text)
    assert [(one["volume"], one["name"], one["expired"]) for one in found] == [
        ("a", "s1", True),
        ("a", "s2", False),
        ("b", "s1", True),
        ("b", "s2", False),
    ]
    assert "b@s1" in explain(*AT, "--policy", "last=1", stdin=text).stdout


def test_depends():
    assert expired("daily:local=1", "--depends", f"{NAMES[2]}={NAMES[0]}", *NAMES) == [NAMES[1]]
    text = listed(item("a=b", 1), item("c", 2))
    assert expired("--policy", "last=1", "--depends", "c=a=b", stdin=text) == []


def test_replicas(tmp_path):
    one, two, none = (tmp_path / name for name in ("one.json", "two", "none"))
    one.write_text(json.dumps([{"id": 1, "name": NAMES[0], "size": 1, "timestamp": "Thu Jan  1 00:00:01 2026"}]))
    two.write_text("\n".join(NAMES[:2]))
    none.write_text("other\n")
    found = verdicts("--policy", "last=1", "--replica", one, "--replica", two, *NAMES)
    assert [item["reason"] for item in found] == [
        f"the newest in common with {one}",
        f"the newest in common with {two}",
        "kept: last 1 of 1",
    ]
    done = explain(*AT, "--policy", "last=1", "--replica", none, *NAMES)
    assert f"nothing is in common with {none}: the next copy to it will be a full one" in done.stderr


def test_replicas_of_volumes(tmp_path):
    copy = tmp_path / "copy.json"
    text = listed(*(item(name, day, volume=volume) for volume in "ab" for name, day in (("s1", 1), ("s2", 2))))
    copy.write_text(listed({"name": "s1", "volume": "a"}))
    done = explain(*AT, "-o", "json", "--policy", "last=1", "--replica", copy, stdin=text)
    assert [one["expired"] for one in json.loads(done.stdout)] == [False, False, True, False]
    assert "b: nothing is in common" in done.stderr
    # one volume on either side may have two names
    text = listed(item("s1", 1, volume="here"), item("s2", 2, volume="here"))
    assert expired("--policy", "last=1", "--replica", copy, stdin=text) == []
    copy.write_text(listed({"name": "s1", "volume": "a"}, {"name": "s1", "volume": "b"}))
    explain(*AT, "--policy", "last=1", "--replica", copy, *NAMES, expect=2)


def test_other_characters_do_not_reach_the_terminal():
    text = listed(item("a\x1b[31m", 1), item("b\n", 2))
    done = explain(*AT, "--policy", "last=1", stdin=text)
    assert len(done.stdout.splitlines()) == 2
    assert "\x1b" not in done.stdout
    assert [one["name"] for one in verdicts("--policy", "last=1", stdin=text)] == ["a\x1b[31m", "b\n"]


def test_simulate():
    done = explain(*AT, "--simulate", "2026-02-03T12:00", "daily:local=2@0 weekly:local=1", NAMES[2])
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["expired", NAMES[2]],
        ["coming", "auto-v2-weekly-202602010000-4"],
        ["coming", "auto-v2-daily-202602020000-4"],
        ["coming", "auto-v2-daily-202602030000-4"],
    ]
    words = ("--policy", "daily=2", "--schedule", "hourly:local=1", "--simulate", "2026-02-03T12:00")
    found = verdicts(*words, NAMES[2])
    assert [one["time"][:13] for one in found if not one["expired"]] == ["2026-02-02T23", "2026-02-03T12"]
    assert [one.get("planned", False) for one in found] == [False, True, True]


CALENDAR = """\
            January 2026                          February 2026
 Mo   Tu   We   Th   Fr   Sa   Su       Mo   Tu   We   Th   Fr   Sa   Su
                 1o   2.   3%2  4#                                   > 1.
  5.   6.   7.   8.   9.  10.  11.       2    3    4    5    6    7    8
 12.  13.  14.  15.  16.  17.  18.       9   10   11   12   13   14   15
 19.  20.  21.  22.  23.  24.  25.      16   17   18   19   20   21   22
 26.  27.  28.  29.  30.  31.           23   24   25   26   27   28
 2 kept, 2 expired                      0 kept, 0 expired

# kept   % some kept, some expired   o expired   . none   > 2026-02-01
2..9: how many, +: more

5 snapshots: 3 kept, 2 expired
1 of unknown time: kept, not shown
"""


def test_calendar():
    names = [f"auto-v2-hourly-2026010{day}-4" for day in ("10000", "30000", "31500", "40000")]
    words = ("--at", "2026-02-01T12:00", "--policy", "daily=2", "-o", "calendar", *names, "other")
    env = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    env |= {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}
    assert explain(*words, env=env).stdout == CALENDAR
    wide = explain(*words, env={**env, "LC_ALL": "C.UTF-8"}).stdout
    assert wide.translate(str.maketrans("●◐○·", "#%o.")) == CALENDAR
    narrow = explain(*words, env={**env, "COLUMNS": "40"}).stdout
    assert max(map(len, narrow.splitlines())) <= 40
    assert narrow.count(" 2026\n") == 2


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("daily:local=0", *NAMES),
        ("daily:local", *NAMES),
        ("daily:local=1", NAMES[0], NAMES[0]),
        ("daily:local=1", "--protect", "other", *NAMES),
        ("daily:local=1", "--at", "soon", *NAMES),
        ("daily:local=1", "--at", "0001-01-01", *NAMES),
        ("daily:local=1", "--at", "9999-12-31T23:59-12:00", *NAMES),
        ("daily:local=1", "--destination", "moon", *NAMES),
        ("daily:local=1", "--zone", "Moon", *NAMES),
        ("daily:local=1", "--rbd-zone", "Moon", *NAMES),
        ("daily:local=1", "--language", "klingon", *NAMES),
        ("daily:local=1", "--replica", "/nowhere", *NAMES),
        ("daily:local=1", "--replica", "-"),
        ("daily:local=1", "--replica", "-", "--replica", "-", *NAMES),
        ("daily:local=1", "--depends", NAMES[0], *NAMES),
        ("daily:local=1", "--depends", f"{NAMES[0]}=other", *NAMES),
        ("daily:local=1", "--depends", f"{NAMES[0]}={NAMES[0]}", *NAMES),
        ("daily:local=1", "--simulate", "2025-01-01", *NAMES),
        ("daily:local=1", "--schedule", "daily:local=1", *NAMES),
        ("--policy", "daily=1", "--simulate", "2027-01-01", *NAMES),
        ("minutely:local=1", "--simulate", "2090-01-01", *NAMES),
        ("minutely:local=1", "--simulate", "2026-02-28", *(f"auto-v2-minutely-202601010000-{vm}" for vm in range(9))),
        ("--policy", "daily=1", "--destination", "remote", *NAMES),
        ("--policy", "daily=1", "--id", "x", *NAMES),
        ("--policy", "daily=1", "--anchor", "2026-01-01", *NAMES),
        ("--policy", "daily=0", *NAMES),
        ("--policy", "dayly=1", *NAMES),
        ("--policy", "age=3m", *NAMES),
    ],
)
def test_bad_input(words):
    refused(*([] if "--at" in words else AT), *words)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[1]",
        "[",
        "[" * 100_000,
        '[{"name":""}]',
        '[{"name":"a","nmae":"b"}]',
        '[{"name":"a","created":"2026-01-01T00:00:00"}]',
        '[{"name":"a","created":"0001-01-01T00:00:00Z"}]',
        '[{"name":"a","state":"odd"}]',
        '[{"name":"a","base":"b"}]',
        '[{"name":"a"},{"name":"a"}]',
        '[{"name":"a","volume":"v"},{"name":"a"}]',
        '[{"name":"auto-v2-daily-202601010000-4","scheduled":"2026-01-02T00:00:00Z"}]',
        '[{"name":"a","id":1,"size":1,"timestamp":"yesterday"}]',
        '[{"name":"a","id":1,"size":1,"timestamp":"Thu Feb 30 00:00:01 2026"}]',
        '[{"name":"a","size":1,"timestamp":"Thu Jan  1 00:00:01 2026"}]',
    ],
)
def test_bad_lists(text):
    refused("--policy", "last=1", stdin=text)


def test_entries_of_one_time_take_one_snapshot():
    """Planned twice, it was refused as a name that is given twice."""
    words = ("--at", "2026-01-03T12:00", "--simulate", "2026-01-05T12:00", "daily:local=2\ndaily:local=3")
    said = explain(*words, *NAMES).stdout.splitlines()
    assert [line.split()[:2] for line in said if line.startswith("coming")] == [
        ["coming", f"auto-v2-daily-2026010{day}0000-4"] for day in (4, 5)
    ]


@pytest.mark.parametrize("text", ["", " \n"], ids=["nothing", "blank"])
def test_a_replica_whose_list_is_empty_is_refused(tmp_path, text):
    """The command that was to write it may have failed: without it the base of the next copy expires."""
    (tmp_path / "copy").write_text(text)
    said = explain("daily:local=1", "--replica", tmp_path / "copy", *NAMES, expect=2).stderr
    assert "is empty: the list of a copy without snapshots is []" in said
    (tmp_path / "copy").write_text("[]")
    assert "will be a full one" in explain("daily:local=1", "--replica", tmp_path / "copy", *NAMES).stderr


@pytest.mark.parametrize("key", ["volume", "created", "scheduled", "series", "rule", "state", "base", "managed"])
def test_our_words_in_a_list_of_rbd_are_refused(key):
    """They were lost: what stands on another, or belongs to somebody else, could expire."""
    item = {"id": 1, "name": NAMES[0], "size": 1, "protected": "false", "timestamp": "", key: "x"}
    assert f"has no {key!r}" in explain("daily:local=1", stdin=json.dumps([item]), expect=2).stderr


def refused(*words, stdin=None):
    """In this process: there are many of them."""
    done = CliRunner().invoke(command, ["explain", *map(str, words)], input=stdin)
    assert done.exit_code == 2 or isinstance(done.exception, InvalidInput)
    assert done.stdout == ""


def test_what_is_said_of_bad_input():
    done = explain("--policy", "last=1,dayly=7", *NAMES, expect=2)
    assert 'no retention "dayly=7": accepted are count, days' in done.stderr
    assert done.stderr.endswith("    last=1,dayly=7\n           ^^^^^^^\n")
    assert done.stdout == ""


def test_a_mark_of_byte_order():
    assert expired("--policy", "last=1", stdin="\ufeff" + RBD) == expired("--policy", "last=1", stdin=RBD) != []


def test_no_snapshots():
    assert explain("--policy", "last=1", stdin="").stdout == ""
    assert explain("--policy", "last=1", "-o", "json", stdin="[]").stdout == "[]\n"
    assert "0 snapshots" in explain("--policy", "last=1", "-o", "calendar", stdin="").stdout


def test_the_page_has_all_options():
    page = (Path(__file__).parent.parent.parent / "docs/commands/retention.md").read_text()
    documented = set(re.findall(r"--[\w-]+", " ".join(re.findall(r"^\| (`-.*?`) \|", page, re.MULTILINE))))
    options = [one for one in command.commands["explain"].params if isinstance(one, click.Option)]
    assert documented == {name for one in options for name in one.opts if name.startswith("--")}


def test_now_is_the_default():
    name = f"auto-v2-daily-{dt.datetime.now(dt.UTC) + dt.timedelta(days=2):%Y%m%d%H%M}-4"
    assert "its time has not come" in explain("--policy", "last=1", name).stdout
