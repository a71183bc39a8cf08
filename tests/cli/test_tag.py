"""tag parse of many names."""

import json
import subprocess

import pytest

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


@pytest.mark.parametrize("form", ["json", "jsonl", "human"])
def test_bytes_that_are_no_text_are_told_in_their_place(form):
    text = b"auto-v2-hourly-202001020300-4\n\xff\nauto-v2-hourly-202001020300-5\n"
    done = subprocess.run([*COMMAND, "tag", "parse", "-o", form, "-"], input=text, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"1 of 3 names is no tag" in done.stderr
    assert done.stdout.count(b"line 2: no tag is of bytes that are no UTF-8") == 1
    if form == "json":
        found = json.loads(done.stdout)
        assert [item["tag"] for item in found] == [
            "auto-v2-hourly-202001020300-4", "b'\\xff'", "auto-v2-hourly-202001020300-5",
        ]  # fmt: skip
        obeys(found[1], "tag")


def test_what_a_terminal_would_obey_is_written_out():
    name = "manual-v3-hourly-202001020300-\x1b[2Jx\r"
    for stdin, argument in ((name + "\n", "-"), ("", name)):
        human = blockdiff("tag", "parse", argument, stdin=stdin, expect=0).stdout
        assert all(char.isprintable() or char == "\n" for char in human)
        assert "\\x1b[2Jx\\r" in human
        assert (
            json.loads(blockdiff("tag", "parse", "-o", "jsonl", argument, stdin=stdin, expect=0).stdout)["tag"] == name
        )


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[2J", "not-\udcff-text"])
def test_names_that_no_line_could_hold_are_not_made(name):
    done = blockdiff("tag", "make", "--period", "daily", "--time", "202001020300", "--rbd", name, expect=2)
    assert "cannot be printed" in done.stderr
    assert done.stdout == ""


def test_no_stdin():
    command = subprocess.list2cmdline([*COMMAND, "tag", "parse", "-"])
    done = subprocess.run(["/bin/sh", "-c", f"{command} <&-"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot read stdin" in done.stderr


def test_one_name_as_a_line():
    done = blockdiff("tag", "parse", "-o", "jsonl", "auto-v2-hourly-202001020300-4", expect=0)
    assert json.loads(done.stdout)["vm"] == 4


@pytest.mark.parametrize("options", [(), ("--vm", "4", "--rbd", "x"), ("--rbd", "")])
def test_a_machine_or_an_image(options):
    done = blockdiff("tag", "make", "--period", "daily", "--time", "202001020300", *options, expect=2)
    assert done.stdout == ""
