"""Reports as they are written, read back; and everything that is no report, refused with its place."""

import contextlib
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.report.reading import in_order, read_report
from tests.fixtures.cli import blockdiff
from tests.native.test_parse import Trickle
from tests.report.making import G, report, text_of

SIZE = 1 << 20
FOUND = [(0, G), (3 * G, 2 * G, 19), (SIZE - 100, 100, 17)]


def read(value, limit=1000, name="r.json"):
    text = value if isinstance(value, bytes) else text_of(value)
    return read_report(io.BytesIO(text), name, limit=limit)


def lines(value):
    """The same report line by line."""
    rest = {key: item for key, item in value.items() if key != "differences"}
    return b"\n".join(json.dumps(item).encode() for item in [*value["differences"], rest]) + b"\n"


def ranges(run):
    return [tuple(extent) for batch in run.listed.batches for extent in batch]


@pytest.mark.parametrize("form", [text_of, lines], ids=["json", "jsonl"])
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_both_forms_in_pieces_of_any_size(form, size):
    value = report(FOUND, SIZE, bad=[(8 * G, G)], triage={"a": [1]})
    run = read_report(Trickle(form(value), size), "r", limit=10)
    assert ranges(run) == [(0, G, 16), (3 * G, 2 * G, 19), (SIZE - 100, 100, 17)]
    assert (run.facts.source.url, run.facts.length, run.sections) == ("/dev/vg0/data", SIZE, {"triage": {"a": [1]}})
    assert run.facts.blockmap.cells == value["map"]["cells"]
    assert run.lists_all


def test_more_than_is_kept_is_counted():
    run = read(report(FOUND, SIZE), limit=2)
    assert (run.listed.count, run.listed.kept, run.listed.bytes) == (3, 2, 3 * G + 100)
    assert not run.lists_all
    run.listed.keep(1)
    assert ranges(run) == [(0, G, 16)]


@pytest.mark.parametrize("output", ["json", "jsonl"])
def test_what_the_program_writes(tmp_path, output):
    a, b, name = tmp_path / "a", tmp_path / "b", tmp_path / "r"
    a.write_bytes(bytes(range(256)) * 200 + b"tail")
    b.write_bytes(a.read_bytes()[:-1])
    for command, places in (("verify", [a, b]), ("copy", [a, tmp_path / "c"])):
        done = blockdiff(command, "-o", output, *places, expect=1 if command == "verify" else 0)
        name.write_text(done.stdout)
        with open(name, "rb") as file:
            run = read_report(file, "r", limit=10)
        assert run.facts.command == command
    (tmp_path / "list").write_text(f'[{{"offset":0,"length":{G}}}]')
    name.write_text(blockdiff("audit", "--over", "-o", output, a, b, "--extents", tmp_path / "list", expect=0).stdout)
    with open(name, "rb") as file:
        assert [item[2] for item in ranges(read_report(file, "r", limit=10))][:1] == [23]


def without(key):
    value = report(FOUND, SIZE)
    del value[key]
    return value


def changed(**changes):
    value = report(FOUND, SIZE)
    value.update(changes)
    return value


def one_cell(size, **counts):
    return {"size": size, "cell_bytes": size, "cells": 1, "runs": [{"cells": 1, **counts}]}


WRONG = {
    "empty": (b"", "r.json:1:1: the file is empty"),
    "spaces": (b" \n ", "r.json:2:2: the file is empty"),
    "array": (b"[]", "1:1: an array is no report"),
    "no object": (b'"x"', "1:1: found '\"', expected a report"),
    "empty object": (b"{}", "1:2: an empty object"),
    "cut": (text_of(report(FOUND, SIZE))[:-20], "the file ends too early"),
    "cut lines": (lines(report(FOUND, SIZE)).split(b'{"schema')[0], "4:1: the file ends without the report"),
    "two": (text_of(report([], SIZE)) + b"\n{}", "2:1: found '{', expected the end of the file"),
    "mark": (b"\xef\xbb\xbf{}", "byte order mark"),
    "utf-16": ('{"a":1}'.encode("utf-16"), "byte order mark"),
    "not utf-8": (b'{"schema_version":"\xff"}', "expected UTF-8"),
    "twice": (b'{"command":1,"command":2}', "1:24: the key 'command' appears twice"),
    "two lists": (b'{"differences":[],"ranges":[]}', "a second list"),
    "other": (b'{"a":1}', 'it has no "schema_version"'),
    "extents": (b'{"offset":0,"length":4096}', 'range 0 has no "class"'),
    "newer": (changed(schema_version=2), "1:20: the report's \"schema_version\" is '2'; known is 1"),
    "apply": (changed(command="apply"), "is 'apply'; known are verify, audit, copy"),
    "pairs": (changed(pairs=[]), "a report over pairs"),
    "true": (changed(schema_version=True), "is 'True'; known is 1"),
    "lacks": (without("source"), 'it has no "source"'),
    "text": (changed(length="4K"), '"length": Expected `int`, got `str`'),
    "negative": (changed(bytes_read=-1), '"bytes_read"'),
    "huge": (changed(bytes_read=1 << 60), '"bytes_read"'),
    "digits": (text_of(changed(bytes_read=7)).replace(b": 7", b": " + b"9" * 5000), "r.json:1:"),
    "side": (changed(source={"url": 1, "size": 1}), '"source": Expected `str`, got `int` - at `$.url`'),
    "deep": (changed(extra=json.loads("[" * 80 + "]" * 80)), "more than 64 arrays"),
    "class": (text_of(report(FOUND, SIZE)).replace(b'"bit-flip"}', b'"odd"}'), "range 1: not a class of differences"),
    "kind": (text_of(report(FOUND, SIZE)).replace(b'"bit-flip"}', b'"hole"}'), "range 1: not a class of differences"),
    "unsorted": (changed(differences=[{"offset": 5, "length": 1, "class": "data"}] * 2), "begins before 6"),
    "nothing": (changed(differences=[{"offset": 5, "length": 0, "class": "data"}]), "is empty"),
    "no offset": (changed(differences=[{}]), 'range 0 has no "offset"'),
    "outside": (changed(differences=[{"offset": SIZE, "length": 1, "class": "size"}]), "a range ends at"),
    "too many": (changed(difference_count=2), "3 ranges are listed, but difference_count is 2"),
    "too much": (changed(differing_bytes=5), "but differing_bytes is 5"),
    "identical": (changed(identical=True), "the report says identical, but ranges differ"),
    "map size": (changed(map=one_cell(4, equal=4)), "the map is of"),
    "map sum": (changed(map=one_cell(SIZE, bad=4)), "cell 0"),
    "map cells": (changed(map={"size": SIZE, "cell_bytes": SIZE, "cells": 2, "runs": []}), "do not add up"),
    "window": (changed(offset=1), "ends past the devices"),
    "bad order": (changed(unreadable=[{"offset": 9, "length": 9, "side": "both"}] * 2), "not ascending"),
    "bad sum": (changed(unreadable=[{"offset": 9, "length": 9, "side": "both"}]), "lists more than 0 bytes"),
    "bad side": (changed(unreadable=[{"offset": 9, "length": 9, "side": "left"}]), '"unreadable": Invalid enum value'),
}  # fmt: skip


@pytest.mark.parametrize(("value", "what"), WRONG.values(), ids=WRONG)
def test_what_is_no_report_is_refused_with_its_place(value, what):
    with pytest.raises(InvalidInput) as caught:
        read(value)
    assert "r.json" in str(caught.value)
    assert what in str(caught.value)


CONTRADICTIONS = {
    "unfinished": {"complete": False},
    "failed": {"error": "EIO"},
    "unreadable": {"unreadable_bytes": 512},
    "differing": {"differing_bytes": 1},
    "counted": {"difference_count": 1},
    "in the map": {"map": one_cell(1024, equal=1023, changed=1)},
    "bad in the map": {"map": one_cell(1024, equal=1023, bad=1)},
    "unverified in the map": {"map": one_cell(1024, equal=1023, unverified=1)},
    "classes": {"bytes_by_class": {"data": 1}},
    "not compared": {"bytes_compared": 1023},
    "skipped too much": {"skipped": [{"reason": "not-listed", "bytes": 1025}]},
    "a sample": {"sample": {}},
    "a repair left something": {"repair": {"planned": False, "remaining_ranges": 1, "remaining_bytes": 512}},
    "transient": {"recheck": {"verdict": "transient"}},
    "confirmed": {"recheck": {"verdict": "confirmed"}},
    "a part was copied": {"command": "copy", "skipped": [{"reason": "not-listed", "bytes": 512}]},
}


@pytest.mark.parametrize("changes", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_nothing_that_says_otherwise_is_called_identical(changes):
    value = report([], 1024)
    assert read(value).facts.identical
    with pytest.raises(InvalidInput, match="contradicts itself: the report says identical, but"):
        read({**value, **changes})


def test_other_sizes_are_identical_only_where_that_was_asked_for():
    value = report([], 1024)
    value["target"]["size"] = 1025
    value["map"] = {
        "size": 1025,
        "cell_bytes": 1025,
        "cells": 1,
        "runs": [{"cells": 1, "equal": 1024, "unverified": 1}],
    }
    assert read({**value, "size_policy": "min"}).facts.identical
    with pytest.raises(InvalidInput, match="identical, but the sizes differ"):
        read(value)


@pytest.mark.parametrize("key", ["under_reported", "ranges"])
def test_a_list_that_misses_something_is_not_called_correct(key):
    audit = {**report([], 8192), "command": "audit", "identical": False, "correct": True}
    del audit["differences"]
    over, missed = ({"offset": 0, "length": 512, "class": name} for name in ("over-reported", "data"))
    assert read({**audit, key: [over]}).facts.correct
    for wrong in ({key: [missed]}, {key: [], "under_reported_bytes": 1}):
        with pytest.raises(InvalidInput, match="the list is called correct, but misses"):
            read({**audit, **wrong})


@pytest.mark.parametrize("key", ["elapsed_seconds", "later"])
def test_numbers_that_are_infinite(key):
    text = text_of({**report([], 1024), key: "here"}).replace(b'"here"', b"-1e400" if key == "later" else b"1e400")
    with pytest.raises(InvalidInput, match="1e400 is too large"):
        read(text)


def test_a_key_that_is_there_twice_inside():
    text = text_of(report([], 1024)).replace(b'"source": {', b'"source": {"size": 7, ')
    with pytest.raises(InvalidInput, match="the key 'size' appears twice in one object"):
        read(text)


@pytest.mark.parametrize(
    "repair", [{}, [], {"planned": True, "remaining_ranges": 0, "remaining_bytes": 0}, {"planned": False},
               {"planned": False, "remaining_ranges": 1, "remaining_bytes": 512}],
)  # fmt: skip
def test_only_a_repair_that_is_done_makes_what_differed_identical(repair):
    whole = {"planned": False, "remaining_ranges": 0, "remaining_bytes": 0}
    assert read(changed(identical=True, repair=whole)).facts.identical
    with pytest.raises(InvalidInput, match="contradicts itself"):
        read(changed(identical=True, repair=repair))
    with pytest.raises(InvalidInput, match="its map has bad bytes"):
        read(changed(identical=True, repair=whole, map=one_cell(SIZE, equal=SIZE - 1, bad=1)))


def test_what_is_too_long_is_left_out_or_refused():
    run = read(changed(triage={"text": "x" * (9 << 20)}))
    assert run.sections == {"triage": None}
    with pytest.raises(InvalidInput, match='"warnings" has more than 8 MiB'):
        read(changed(warnings=["x" * (9 << 20)]))
    with pytest.raises(InvalidInput, match="more than 32 MiB"):
        read(changed(**{f"k{i}": "x" * (7 << 20) for i in range(5)}))
    with pytest.raises(InvalidInput, match="more than 1000 keys"):
        read(changed(**{f"k{i}": 0 for i in range(1000)}))


def test_names_that_are_no_text():
    value = report([], 1024)
    value["source"]["url"] = "a\udcff\u00e9\U0001f600"
    assert read(value).facts.source.url == "a?\u00e9\U0001f600"


def test_keys_that_nobody_knows_are_read_over():
    value = {**report(FOUND, SIZE), "x" * 99: [1], "\u00e9": {"a": None}, "later": 5}
    value["differences"][0]["cause"] = {"differences": [1]}
    assert read(value).sections == {"later": 5}


def test_the_oldest_comes_first():
    runs = [read(report([], 0, started_at=text), name=text) for text in ("2026-02-01", "2026-01-01", "", "2025-12-01")]
    assert [run.name for run in in_order(runs)] == ["", "2025-12-01", "2026-01-01", "2026-02-01"]


@given(st.data())
def test_a_spoilt_report_is_refused_or_still_one(data):
    text = bytearray(data.draw(st.sampled_from([text_of, lines]))(report(FOUND, SIZE, bad=[(8 * G, G)])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(InvalidInput):
        assert not read(bytes(text)).facts.identical
