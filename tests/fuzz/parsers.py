"""Every parser of texts that people or other programs write, with texts that it reads."""

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from blockdiff.pool.instant import Instant
from blockdiff.pool.lxd.expiry import Expiry
from blockdiff.pool.lxd.names import DRIVERS, make_name, parse_name
from blockdiff.pool.lxd.nextname import determine_next_snapshot_name
from blockdiff.retention import from_dict, parse_retention, text_of, to_dict
from blockdiff.schedule import Destination, Option, Period, Type
from blockdiff.schedule.cron import read as read_cron
from blockdiff.schedule.language import LANGUAGES, Context, language
from blockdiff.snapper.image import Image, ImageSpec
from blockdiff.snapper.request import from_json, to_json
from blockdiff.tag import Tag, parse_tag_time

NOW = dt.datetime(2026, 3, 29, 0, 30, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Parser:
    """``write`` gives a text that ``parse`` reads as the same value, or None where there is none."""

    name: str
    parse: Callable[[str], object]
    write: Callable[[object], str | None]
    seeds: tuple[str, ...]
    same: Callable[[object], object] = lambda value: value  # what two readings have to agree in
    reread: Callable[[str], object] | None = None  # what reads the written text, if not ``parse``

    def __str__(self):
        return self.name


SCHEDULES = {
    "snapper": (
        "hourly:local=10,archive=3 daily:local=3,remote=3@10 weekly:local=1@Tuesday",
        "# ours\ndaily:local=7@03:15 options:PauseVM zone=Europe/Berlin\nminutely:local=1@53",
        "monthly:local=1@31/23:59 yearly:local=1@Feb-29/01:02,remote=2@032",
        "yearly:local=1@00 stray :x",
    ),
    "lxd": (
        "@daily, 0,30 8-17 * * mon-fri",
        "@hourly",
        "*/5 1-3/2 1,15 jan-mar 6",
        "@never",
        "@startup",
        "snapshots.schedule: '@daily'\nsnapshots.expiry: 1M 2H 3d 4w 5m 6y\n",
    ),
    "openstorage": (
        "daily=@12:00,7;weekly=Sunday@12:00;monthly=6@08:05,12;periodic=15;policy=gold,silver",
        "- freq: weekly\n  weekday: 5\n  hour: 11\n  minute: 30\n  retain: 3\n",
        "- {freq: periodic, period: 900000000000}\n- freq: monthly",
        "[{freq: daily}]",
    ),
}
SDK = '[{"retain":"7","daily":{"hour":12,"minute":0}},{"retain":5,"periodic":{"seconds":"60"}}]'
JSON = {
    "snapper": ('[{"destination":"local","keep":1,"minute":15,"hour":3,"zone":"UTC"},{"keep":2,"minutely":0.5}]',),
    "lxd": ('{"snapshots.schedule":"@daily, 5 4 * * sun","snapshots.expiry":"1M 2H"}',),
    "openstorage": (SDK, '[{"retain":"2","weekly":{"day":"SdkTimeWeekdayTuesday","hour":0,"minute":0}}]'),
}


def _kept(parsed):
    """The JSON says how many are kept also where that is the default."""
    return [replace(one, retain=one.keep) for one in parsed.intervals], parsed.policies


def _snapsentry_seeds():
    """What is written of policies that its own language makes of rules of another."""
    texts = ("daily:local=7@03:15", "weekly:local=2@Tue/04:00", "daily:local=1@0 weekly:local=3@5 monthly:local=4@28")
    rules = [language("snapper").parse(text, Context()).rules() for text in texts]
    return tuple(str(language("snapsentry").from_rules(one)) for one in rules)


def _language(name, seeds, **context):
    found, context = language(name), Context(id="8f2c", **context)
    kinds = "".join(f"-{kind}" for kind, on in (("json", context.json), ("original", context.original)) if on)
    same = {"snapper": _sorted, "openstorage": _kept if context.json else Parser.same}.get(name, Parser.same)
    again = replace(context, original=False)

    def text(parsed):
        """The JSON; the text says the same."""
        assert same(found.parse(str(parsed), replace(context, json=False))) == same(parsed), str(parsed)
        return parsed.to_json().decode()

    return Parser(
        f"{name}{kinds}",
        lambda text: found.parse(text, context),
        text if context.json else str,
        seeds,
        same,
        (lambda text: found.parse(text, again)) if name == "snapper" else None,
    )


def _sorted(parsed):
    """The canonical text is sorted, and does not have what is never due, which only the original reads."""
    return sorted(repr(one) for one in parsed.schedules if one.period is not None)


def _languages():
    for name in LANGUAGES:
        seeds = SCHEDULES.get(name) or _snapsentry_seeds()
        yield _language(name, seeds)
        yield _language(name, seeds, original=True)
        yield _language(
            name, JSON.get(name) or (json.dumps(dict(line.split("=", 1) for line in seeds[0].split("\n"))),), json=True
        )


def _retention_json(text):
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return from_dict(value)


def _pattern(text):
    return determine_next_snapshot_name("vol", {"snapshots.pattern": text}, ["snap0", "vol/snap7", "snap-1"], NOW)


NAMES = (
    *("container_c1", "pool/custom/default_vol@snapshot-snap0", "zombie_image_x_ext4@readonly"),
    *("virtual-machine_v1.block", "containers_default_c--1-snap0", "containers-snapshots/c1/snap0"),
    *("pool/virtual-machines/v1.block", "custom_default_v"),
)


def _naming(driver):
    return Parser(
        f"name-{driver}", lambda text: parse_name(driver, text), lambda name: make_name(driver, name), NAMES
    )  # fmt: skip


def _word(kind):
    return Parser(kind.__name__, kind.parse, str, tuple(kind.strings()))


TAGS = ("auto-v2-hourly-202001020300-4", "auto-v2-hourly-202001020300-m4", "manual-v3-weekly-202001020300-image-name")
REQUESTS = (
    '{"type":"auto","id":7,"instance":42,"scheduled":{"seconds":1577934000,"nanos":5000},"schedule":"hourly:local=24"}',
    '{"type":"auto","progress":[1],"images":[{"Image":{"prefix":"one","template":7,"vm":-1,"disk":-1}}]}',
    '{"type":"manual","id":7,"rbd":"name","started":null,"schedule":""}',
)
RETENTIONS = (
    "last=3,daily=7,weekly=4,monthly=all,zone=Europe/Berlin",
    *("count=5", "days=7,zone=+05:30", "age=1y6mo2w3d4h5min6s"),
)
PATTERNS = ("snap%d", "{{ creation_date|date:'2006-01-02_15-04-05' }}-%d", "a{# b #}c")
PARSERS = (
    *_languages(),
    Parser("tag", Tag.parse, str, TAGS),
    Parser("tag-time", parse_tag_time, lambda time: f"{time.year:04}{time:%m%d%H%M}", ("202001020300",)),
    Parser("image", Image.parse, str, ("one-7-42-0", "one-7")),
    Parser("image-spec", ImageSpec.parse, str, ("pool/namespace/one-7-42-0", "pool/one-7", "one-7")),
    Parser("request", from_json, lambda request: to_json(request).decode(), REQUESTS),
    Parser("retention", parse_retention, text_of, RETENTIONS),
    Parser(
        "retention-json",
        _retention_json,
        lambda keep: None if keep is None else json.dumps(to_dict(keep)),
        ('{"last":3,"daily":"all","zone":"UTC"}', '{"age":{"years":1,"hours":5}}'),
    ),
    Parser("cron", read_cron, lambda fields: fields.text, ("*/5 1-3 1,15 jan-mar mon", "0 0 * * *")),
    Parser("lxd-expiry", Expiry.parse, lambda found: str(found or ""), ("1M 2H 3d 4w 5m 6y", "30S", "0S")),
    Parser("lxd-pattern", _pattern, lambda name: None, PATTERNS),
    Parser("instant", Instant.parse, str, ("2006-01-02T15:04:05.999999999+07:00", "0000-01-01T00:00:00Z")),
    *map(_naming, DRIVERS),
    *map(_word, (Destination, Option, Period, Type)),
)
