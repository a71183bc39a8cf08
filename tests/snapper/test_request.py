"""Requests: their tags, and the items of the daemon's status."""

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.schedule import Schedule, Type, parse_schedules
from blockdiff.snapper.image import ImageSpec
from blockdiff.snapper.request import AutoRequest, ManualRequest, from_dict, from_json, to_json
from blockdiff.tag import Tag
from tests.schedule.strategies import calendar_schedules
from tests.snapper.test_image import SPECS

TIME = dt.datetime(2020, 1, 2, 3, 0, tzinfo=dt.UTC)
HOURLY = Schedule.make(minute=0)
KEYS = ["type", "id", "instance", "hypervisor", "rbd", "scheduled", "started", "finished", "schedule", "progress"]
EMPTY = {"hypervisor": "", "rbd": "", "scheduled": None, "started": None, "finished": None, "schedule": ""}


def test_the_original_s_vector():
    request = ManualRequest(rbd_name="imagename", scheduled=TIME, schedule=HOURLY)
    assert str(request.tag) == "manual-v3-hourly-202001020300-imagename"
    assert request.type is Type.MANUAL


def test_the_tag_of_a_machine():
    request = AutoRequest(scheduled=TIME, schedule=HOURLY, vm=4)
    assert request.tag == Tag(HOURLY.period, TIME, vm=4, version=2)
    assert str(request.tag) == "auto-v2-hourly-202001020300-4"
    assert request.vm_id == 4


def test_no_machine():
    request = AutoRequest(scheduled=TIME, schedule=HOURLY)
    assert request.vm_id == -1
    assert str(request.tag) == "auto-v2-hourly-202001020300--1"
    assert Tag.parse(str(request.tag)) == request.tag


def test_nothing_known_is_no_tag():
    assert str(AutoRequest().tag) == ""
    assert str(ManualRequest(rbd_name="x").tag) == ""


def test_a_manual_request_without_an_image_has_no_tag():
    """The original gives it the name of a snapshot of machine 0."""
    with pytest.raises(InvalidInput, match="request 7 names no image"):
        _ = ManualRequest(id=7, scheduled=TIME, schedule=HOURLY).tag


@pytest.mark.parametrize("make", [
    lambda: AutoRequest(vm=-1), lambda: AutoRequest(vm=1 << 63), lambda: AutoRequest(progress=(1 << 64,)),
    lambda: ManualRequest(vm=-2), lambda: ManualRequest(vm=1 << 63),
])  # fmt: skip
def test_numbers_that_no_json_could_say(make):
    with pytest.raises(InvalidInput, match="accepted are"):
        make()


@pytest.mark.parametrize("key", ["id", "instance", "progress"])
@pytest.mark.parametrize("number", ["18446744073709551616", "-9223372036854775809", "1e3000", "9" * 5000])
def test_numbers_of_more_than_64_bits(key, number):
    with pytest.raises(InvalidInput):
        from_json(f'{{"type":"auto","{key}":{f"[{number}]" if key == "progress" else number}}}')


@pytest.mark.parametrize("kind", [AutoRequest, ManualRequest])
def test_changed_copies(kind):
    first = kind()
    changed = (
        first.with_id(7).with_scheduled(TIME).with_started(TIME).with_finished(TIME).with_schedule(HOURLY)
    )  # fmt: skip
    assert changed == kind(id=7, scheduled=TIME, started=TIME, finished=TIME, schedule=HOURLY)
    assert first == kind()
    assert changed.with_finished(None).finished is None


def test_the_status_of_a_machine():
    request = AutoRequest(
        id=(1 << 64) - 1,
        scheduled=TIME,
        started=TIME + dt.timedelta(microseconds=1),
        schedule=parse_schedules("daily:remote=3@10 options:PauseVM")[0],
        vm=42,
        hypervisor="kvm-1",
        images=(ImageSpec.parse("one/one-7-42-0"),),
        progress=(100, 3),
    )
    status = request.to_status()
    assert status == {
        "type": "auto",
        "id": 18446744073709551615,
        "instance": 42,
        "hypervisor": "kvm-1",
        "rbd": "",
        "scheduled": {"seconds": 1577934000, "nanos": 0},
        "started": {"seconds": 1577934000, "nanos": 1000},
        "finished": None,
        "schedule": "daily:remote=3@10 options:PauseVM",
        "progress": [100, 3],
    }
    assert list(status) == KEYS
    assert json.loads(to_json(request)) == status | {
        "images": [
            {"Pool": "one", "Namespace": "", "Image": {"prefix": "one", "template": 7, "vm": 42, "disk": 0}}
        ]
    }  # fmt: skip


def test_no_key_is_left_out():
    assert AutoRequest().to_status() == {"type": "auto", "id": 0, "instance": -1, **EMPTY, "progress": []}
    assert ManualRequest().to_status() == {"type": "manual", "id": 0, "instance": -1, **EMPTY, "progress": []}
    assert list(ManualRequest().to_status()) == KEYS


def test_what_go_leaves_out_or_writes_as_null():
    item = {"type": "AUTO", "id": 1, "scheduled": {"seconds": 60}, "started": {}, "progress": None, "later": "key"}
    found = from_dict(item)
    assert (found.scheduled.minute, found.started.timestamp(), found.progress) == (1, 0, ())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type": "moon"}, "moon does not belong to Type values"),
        ({"id": -1}, "invalid id -1"),
        ({"id": 1 << 64}, "id"),
        ({"id": "1"}, "Expected `int`"),
        ({"rbd": "x"}, 'a machine\'s has no rbd, this one says "x"'),
        ({"type": "manual", "hypervisor": "kvm"}, "no hypervisor"),
        ({"type": "manual", "progress": [1]}, "no progress"),
        ({"schedule": "daily:local=1 hourly:local=1"}, "has 2 entries, and one is wanted"),
        ({"schedule": "local=1"}, "no schedule"),
        ({"schedule": "yearly:local=1@00"}, "invalid month"),
        ({"scheduled": {"seconds": 1 << 62}}, "invalid time scheduled"),
        ({"started": {"seconds": 1, "nanos": 1_000_000_000}}, "invalid time started"),
        ({"finished": {"seconds": 1, "nanos": -1}}, "invalid time finished"),
        ({"finished": 5}, "Expected `object | null`"),
        ({"images": [{}]}, "no image"),
    ],
)
def test_bad_items(change, words):
    with pytest.raises(InvalidInput) as caught:
        from_dict({"type": "auto", "id": 1} | change)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["", "[", b"\xff", "[]", "1"])
def test_bad_json(text):
    with pytest.raises(InvalidInput):
        from_json(text)


def test_a_time_without_a_zone():
    with pytest.raises(InvalidInput, match="the time started has no time zone"):
        AutoRequest(started=TIME.replace(tzinfo=None))


def test_a_schedule_without_a_text():
    (never,) = parse_schedules("yearly:local=9@00", original=True)
    with pytest.raises(InvalidInput, match="has no text"):
        AutoRequest(schedule=never).to_status()


COMMON = {
    "id": st.integers(0, (1 << 64) - 1),
    **dict.fromkeys(("scheduled", "started", "finished"), st.none() | st.datetimes(timezones=st.just(dt.UTC))),
    "schedule": calendar_schedules() | st.just(Schedule()),
}
VM = st.integers(0, (1 << 63) - 1)
AUTO = st.builds(
    AutoRequest,
    **COMMON,
    vm=st.none() | VM,
    hypervisor=st.text(),
    images=st.lists(SPECS, max_size=3).map(tuple),
    progress=st.lists(st.integers(0, 100), max_size=3).map(tuple),
)
MANUAL = st.builds(ManualRequest, **COMMON, vm=st.just(-1) | VM, rbd_name=st.text())


@given(AUTO | MANUAL)
def test_round_trips(request_):
    assert from_json(to_json(request_)) == request_
    assert from_dict(request_.to_dict()) == request_
    status = request_.to_status()
    assert from_dict(status).to_status() == status
