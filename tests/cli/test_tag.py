"""tag parse of many names."""

import json
import subprocess

from tests.fixtures.cli import COMMAND, blockdiff
from tests.fixtures.schemas import obeys

GOOD = "auto-v2-hourly-202001020300-4\nmanual-v3-daily-202001020300-image-name\n"
BAD = "auto-v2-hourly-202001020300-4\n\nother\x1b[2J\nauto-v3-daily-202001020300-5"


def test_many_names():
    done = blockdiff("tag", "parse", "-o", "jsonl", "-", stdin=GOOD, expect=0)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(item["id"], item["schedule"]) for item in found] == [
        ("4", "hourly:local=1"),
        ("image-name", "daily:local=1@3"),
    ]
    for item in found:
        obeys(item, "tag")
    assert json.loads(blockdiff("tag", "parse", "-o", "json", "-", stdin=GOOD, expect=0).stdout) == found
    assert blockdiff("tag", "parse", "-", stdin=GOOD, expect=0).stdout.splitlines() == [
        "auto-v2-hourly-202001020300-4  auto hourly:local=1 2020-01-02T03:00:00+00:00 machine 4",
        "manual-v3-daily-202001020300-image-name  manual daily:local=1@3 2020-01-02T03:00:00+00:00 image image-name",
    ]


def test_no_names():
    assert blockdiff("tag", "parse", "-o", "json", "-", stdin="", expect=0).stdout == "[]\n"
    assert blockdiff("tag", "parse", "-o", "jsonl", "-", stdin="", expect=0).stdout == ""


def test_names_that_are_no_tags():
    done = blockdiff("tag", "parse", "-o", "jsonl", "-", stdin=BAD, expect=2)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [item["tag"] for item in found] == [
        "auto-v2-hourly-202001020300-4",
        "",
        "'other\\x1b[2J'",
        "auto-v3-daily-202001020300-5",
    ]
    assert found[1]["error"].startswith('line 2: invalid tag ""')
    for item in found:
        obeys(item, "tag")
    assert json.loads(done.stderr)["message"] == "2 of 4 names are no tag"
    assert json.loads(blockdiff("tag", "parse", "-o", "json", "-", stdin=BAD, expect=2).stdout) == found
    human = blockdiff("tag", "parse", "-", stdin=BAD, expect=2)
    assert "\x1b" not in human.stdout
    assert human.stderr == "blockdiff: error: 2 of 4 names are no tag\n"


def test_bytes_that_are_no_text():
    text = b"auto-v2-hourly-202001020300-4\n\xff\n"
    done = subprocess.run([*COMMAND, "tag", "parse", "-"], input=text, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"line 2 of standard input is no text" in done.stderr


def test_one_name_as_a_line():
    done = blockdiff("tag", "parse", "-o", "jsonl", "auto-v2-hourly-202001020300-4", expect=0)
    assert json.loads(done.stdout)["vm"] == 4
