"""Lists of snapshots of any content are read or refused; nothing else, and nothing is dropped."""

import datetime as dt
import json
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.cli.retention.judging import Question, answers
from blockdiff.cli.retention.reading import read_list
from blockdiff.errors import InvalidInput
from blockdiff.retention import KeepCount
from blockdiff.retention.verdict import Policy

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
KEYS = [
    "name",
    "created",
    "scheduled",
    "volume",
    "series",
    "rule",
    "state",
    "base",
    "managed",
    "protected",
    "id",
    "size",
]
KEYS += ["timestamp", "namespace", "content", "odd"]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 1 << 70),
    st.text(max_size=5),
    st.sampled_from(["a", "b", "complete", "failed", "false", "true", "Sat Jan  3 00:00:01 2026"]),
    st.sampled_from(["2026-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "auto-v2-x"]),
    st.fixed_dictionaries({"type": st.sampled_from(["user", "trash", 3])}),
    st.lists(st.integers(), max_size=2),
)
ITEMS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6)


@given(
    st.lists(ITEMS, max_size=4).map(lambda items: json.dumps(items).encode()) | st.binary() | st.text().map(str.encode)
)
def test_any_list(data):
    question = Question([Policy(KeepCount(1))], NOW, match=("*",))
    try:
        listed = read_list(data, "it", dt.UTC)
        found, _ = answers(listed, question)
    except InvalidInput as error:
        assert str(error)  # noqa: PT017
        return
    assert [one.verdict.name for one in found] == [one.snapshot.name for one in listed]
    assert all(one.verdict.reason for one in found)


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), min_size=1), unique=True))
def test_names(names):
    """As they are, other spaces and separators included."""
    text = "\n".join(names)
    if not text.lstrip().startswith(("[", "{", "\ufeff")):
        for end in ("\n", "\r\n"):
            listed = read_list(text.replace("\n", end).encode(), "it")
            assert [one.snapshot.name for one in listed] == [name for name in names if name.strip()]


@pytest.mark.parametrize("kind", ["trash", "group", "mirror"])
def test_what_ceph_made(kind):
    snap = {"id": 1, "name": "auto-v2-daily-202601010000-4", "size": 1, "timestamp": "", "namespace": {"type": kind}}
    (listed,) = read_list(json.dumps([snap]).encode(), "it")
    assert listed.foreign == f"of Ceph itself ({kind})"


def test_the_hour_that_clocks_show_twice():
    shown = ["01:50", "02:50", "02:10", "02:10", "02:55", "03:05"]
    snaps = [
        {"id": number, "name": str(number), "size": 1, "timestamp": f"Sun Oct 25 {time}:00 2026"}
        for number, time in enumerate(shown)
    ]
    listed = read_list(json.dumps(snaps).encode(), "it", ZoneInfo("Europe/Berlin"))
    times = [f"{one.snapshot.created:%H:%M}" for one in listed]
    assert times == ["23:50", "00:50", "01:10", "01:10", "01:55", "02:05"]


def test_old_ceph_knows_no_times():
    (listed,) = read_list(b'[{"id": 1, "name": "a", "size": 1, "protected": "false"}]', "it")
    assert listed.snapshot.created is None


def test_snapshots_of_ceph_come_by_id():
    snaps = [{"id": number, "name": str(number), "size": 1, "timestamp": ""} for number in (3, 1, 2)]
    assert [one.snapshot.name for one in read_list(json.dumps(snaps).encode(), "it")] == ["1", "2", "3"]
