"""snapper's text with time zones as rules, and back."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from blockdiff.errors import InvalidInput
from blockdiff.retention import KeepCount
from blockdiff.schedule.calendar import Daily
from blockdiff.schedule.language import Context, language
from blockdiff.schedule.rule import Rule, next_tick

SNAPPER = language("snapper")
BERLIN, TOKYO = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Tokyo")


def test_rules_have_the_zone_that_the_text_names():
    text = "daily:local=7@3 zone=Asia/Tokyo\ndaily:local=7@3"
    named, other = SNAPPER.parse(text, Context(zone=BERLIN)).rules()
    assert (named.zone, other.zone) == (TOKYO, BERLIN)
    assert named.name == "daily:local=7@3 zone=Asia/Tokyo"
    assert next_tick(named, dt.datetime(2026, 1, 1, tzinfo=dt.UTC)).hour == 18


def test_rules_of_the_json():
    (rule,) = SNAPPER.parse('[{"keep":7,"hour":3,"zone":"Asia/Tokyo"}]', Context(json=True)).rules()
    assert rule.zone == TOKYO
    (rule,) = SNAPPER.parse('[{"keep":7,"hour":3,"zone":"Asia/Tokyo"}]', Context(json=True, original=True)).rules()
    assert rule.zone is dt.UTC


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        (dt.UTC, "daily:local=7@3"),
        (ZoneInfo("UTC"), "daily:local=7@3"),
        (BERLIN, "daily:local=7@3 zone=Europe/Berlin"),
    ],
)
def test_from_rules(zone, text):
    found = SNAPPER.from_rules([Rule(Daily(3), zone, KeepCount(7))])
    assert str(found) == text
    assert str(SNAPPER.parse(text, Context())) == text
    assert SNAPPER.parse(text, Context()).rules() == found.rules()


@pytest.mark.parametrize("zone", [dt.timezone(dt.timedelta(hours=5, minutes=30)), dt.timezone(dt.timedelta(seconds=5))])
def test_zones_without_a_name_cannot_be_said(zone):
    with pytest.raises(InvalidInput, match='snapper cannot say "x": '):
        SNAPPER.from_rules([Rule(Daily(3), zone, KeepCount(7), name="x")])
