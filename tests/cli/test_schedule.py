"""schedule and tag on the command line."""

import json

import pytest

from tests.fixtures.cli import blockdiff


def test_schedule_parse(tmp_path):
    text = "# ours\ndaily:local=7@03:15,remote=7@10 hourly:local=24\n"
    assert blockdiff("schedule", "parse", text, expect=0).stdout == (
        "hourly:local=24 daily:local=7@03:15,remote=7@10\n"
    )
    done = blockdiff("schedule", "parse", "-o", "json", "-", stdin=text, expect=0)
    assert json.loads(done.stdout)[0] == {"destination": "local", "keep": 7, "minute": 15, "hour": 3}
    again = blockdiff("schedule", "parse", "--json", done.stdout, expect=0)
    assert again.stdout == "hourly:local=24 daily:local=7@03:15,remote=7@10\n"


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
        "never                     yearly:remote=1@Feb-30",
    ]
    found = json.loads(blockdiff(*words, "-o", "json", "-", stdin="hourly:local=1@5 daily:local=7@15", expect=0).stdout)
    assert [item["time"] for item in found] == [f"2024-03-30T{hour}:{minute}:00+01:00" for hour, minute in
                                                ((12, "05"), (13, "05"), (14, "05"))]  # fmt: skip
    assert found[0]["rule"] == "hourly:local=1@5"
    assert blockdiff("schedule", "explain", "daily:local=1", expect=0).stdout.count("\n") == 10


@pytest.mark.parametrize(
    "words", [("--zone", "Moon/Sea"), ("--zone", "../etc/passwd"), ("--at", "soon"), ("--next", "0")]
)
def test_bad_explanations(words):
    assert "rror: " in blockdiff("schedule", "explain", *words, "daily:local=1", expect=2).stderr
