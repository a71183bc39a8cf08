"""How catalogs become plans: which dates count, and which disks are of one machine. Catalogs are made up here."""

import datetime as dt
from types import SimpleNamespace

import pytest

from blockdiff.cli.paired import planning
from blockdiff.cli.paired.planning import Wish, machine, make_plan
from blockdiff.cli.paired.running import Done, _code, _result, _verdict
from blockdiff.engine.catalog import Entry, Volume
from blockdiff.engine.planfile import FileGroup, FileLack
from blockdiff.errors import DeviceError, InvalidInput, UnsupportedOperation
from blockdiff.snapshot import Snapshot

TAG = "auto-v2-hourly-202601010300-4"
MADE = dt.datetime(2026, 1, 1, 3, tzinfo=dt.UTC)


class Catalog:
    def __init__(self, url, volumes, *, dated=False, single=False):
        self.url, self.dated, self.single, self.closed = url, dated, single, False
        self._volumes = volumes

    def volumes(self):
        return iter(self._volumes)

    def url_of(self, volume):
        return f"{self.url}/{volume}"

    def close(self):
        self.closed = True


def volume(name, side, *, late=0, identity=""):
    snapshot = Snapshot(f"{side}/{name}", TAG, "1", MADE + dt.timedelta(seconds=late))
    return Volume(name, (Entry(snapshot, f"{side}/{name}@{TAG}", 1, identity),))


@pytest.fixture
def catalogs(monkeypatch):
    made = {}
    monkeypatch.setattr(planning, "open_catalog", made.__getitem__)
    return made


@pytest.mark.parametrize(("here", "there"), [(True, True), (True, False), (False, True), (False, False)])
def test_dates_count_only_if_both_sides_have_those_of_the_content(catalogs, here, there):
    catalogs["a"] = Catalog("a", [volume("v", "a")], dated=here)
    catalogs["b"] = Catalog("b", [volume("v", "b", late=90)], dated=there)
    plan = make_plan("a", "b", Wish())
    assert (len(plan["pairs"]), len(plan["conflicts"])) == ((0, 1) if here and there else (1, 0))
    assert catalogs["a"].closed
    assert catalogs["b"].closed


def test_a_side_is_not_compared_with_itself(catalogs):
    catalogs["a"] = Catalog("a", [volume("v", "a", identity="1/2/3")])
    catalogs["b"] = Catalog("b", [volume("w", "b", identity="1/2/3")])
    with pytest.raises(InvalidInput, match="one and the same"):
        make_plan("a", "b", Wish())


@pytest.mark.parametrize("single", [True, False])
def test_an_image_and_a_pool_do_not_go_together(catalogs, single):
    catalogs["a"] = Catalog("a", [volume("v", "a")], single=single)
    catalogs["b"] = Catalog("b", [volume("v", "b")], single=not single)
    with pytest.raises(InvalidInput, match="one volume and"):
        make_plan("a", "b", Wish())


def test_an_image_may_be_called_otherwise(catalogs):
    for name in ("a", "b"):
        catalogs[name] = Catalog(name, [volume(f"disk-{name}", name)], single=True)
    (pair,) = make_plan("a", "b", Wish())["pairs"]
    assert (pair["volume"], pair["target"]["url"]) == ("disk-a", f"b/disk-b@{TAG}")


@pytest.mark.parametrize(
    ("image", "tag", "group"),
    [
        ("one-7-4-0", TAG, "vm 4"),
        ("one-7", TAG, "vm 4"),
        ("one-7-5-0", TAG, "vm 4"),
        ("one-7-5-0", "before", "vm 5"),
        ("one-7-5-0", "", "vm 5"),
        ("pool/one-7-5-0", "before", "vm 5"),
        ("one-7", "before", "one-7"),
        ("one-7", "manual-v3-hourly-202601010300-one-7", "one-7"),
        ("disk", "before", "disk"),
    ],
)
def test_what_belongs_to_a_machine(image, tag, group):
    """A tag says it; else the image, unless it is persistent, which is of no machine for good."""
    assert machine(image, tag) == group


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([DeviceError("x", url="a", action="open")], 3),
        ([UnsupportedOperation("x"), UnsupportedOperation("y")], 4),
        ([UnsupportedOperation("x"), InvalidInput("y")], 3),
    ],
    ids=["one", "alike", "several"],
)
def test_the_exit_code_of_pairs_that_failed(errors, code):
    done = {number: Done("failed", {}, "", error) for number, error in enumerate(errors)}
    assert _code("failed", SimpleNamespace(found="different"), done) == code


WORK = SimpleNamespace(good="identical", found="different")


@pytest.mark.parametrize(
    ("groups", "each", "all_"),
    [
        (["identical", "different"], ["incomplete", "different"], "different"),
        (["different", "failed"], ["different", "failed"], "failed"),
        (["identical", "identical"], ["incomplete", "identical"], "incomplete"),
    ],
    ids=["a-finding-and-a-lack", "a-finding-and-trouble", "a-lack"],
)
def test_the_worst_verdict_is_told(groups, each, all_):
    made = [
        FileGroup(n, "v", "s", complete=bool(n), pairs=[n], lacking=[] if n else [FileLack("w", "gone")])
        for n in range(len(groups))
    ]
    error = DeviceError("x", url="a", action="open")
    done = {n: Done(verdict, {}, "", error if verdict == "failed" else None) for n, verdict in enumerate(groups)}
    found = _result(SimpleNamespace(groups=made, pairs=[1]), WORK, done)
    assert ([verdict for _, verdict in found.groups], found.verdict) == (each, all_)


def test_a_group_that_has_trouble_and_a_finding_has_failed():
    done = {1: Done("different", {}, ""), 2: Done("failed", {}, "")}
    group = FileGroup(1, "v", "s", complete=True, pairs=[1, 2], lacking=[])
    assert _verdict(group, WORK, done) == "failed"
    assert _verdict(group, WORK, {1: Done("identical", {}, "")}) == "unfinished"
