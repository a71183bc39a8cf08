"""retention explain on the command line."""

import json

import pytest

from tests.fixtures.cli import blockdiff

NAMES = [f"auto-v2-daily-2026010{day}0000-4" for day in (1, 2, 3)]


def test_explain():
    words = ("retention", "explain", "--at", "2026-01-31T12:00")
    done = blockdiff(*words, "daily:local=2", *NAMES, "other", expect=0)
    assert done.stdout.splitlines() == [
        f"expired  {NAMES[0]}  older than what daily:local=2@0 keeps",
        f"keep     {NAMES[1]}  kept by daily:local=2@0",
        f"keep     {NAMES[2]}  kept by daily:local=2@0",
        "keep     other                         its name is no tag: not managed",
    ]
    for more in ((), ("-",)):
        done = blockdiff(*words, "-o", "json", "daily:local=2", *more, stdin="\n".join(NAMES), expect=0)
        assert [item["expired"] for item in json.loads(done.stdout)] == [True, False, False]
    done = blockdiff(*words, "daily:local=2", "--protect", NAMES[0], *NAMES, expect=0)
    assert "expired" not in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("daily:local=0", *NAMES),
        ("daily:local", *NAMES),
        ("daily:local=1", NAMES[0], NAMES[0]),
        ("daily:local=1", "--protect", "other", *NAMES),
        ("daily:local=1", "--at", "soon", *NAMES),
        ("daily:local=1", "--destination", "moon", *NAMES),
    ],
)
def test_bad_input(words):
    done = blockdiff("retention", "explain", *words, expect=2)
    assert "rror: " in done.stderr
    assert done.stdout == ""
