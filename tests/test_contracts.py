"""What the program prints obeys the published schemas, and says the same as a second opinion."""

import json
import os
import signal

import jsonschema
import pytest

from tests.fixtures.cli import blockdiff, finish, start
from tests.fixtures.schemas import SCHEMAS, obeys

CHANGED = {3: b"B", 4: b"\0", 9: b"C"}  # block number: what the target's block is filled with
TRUTH = [(number * 4096, 4096) for number in CHANGED]
LISTS = ["json", "jsonl", "rbd", "qemu", "nbd"]


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def covered(ranges, offset="offset", length="length"):
    return {
        block for item in ranges for block in range(item[offset] // 4096, -(-(item[offset] + item[length]) // 4096))
    }


@pytest.fixture
def pair(tmp_path):
    """Two files of 64 KiB and a tail, which differ in three blocks."""
    blocks = [b"A" * 4096 for _ in range(16)]
    (tmp_path / "a.img").write_bytes(b"".join(blocks) + b"tail")
    for number, fill in CHANGED.items():
        blocks[number] = fill * 4096
    (tmp_path / "b.img").write_bytes(b"".join(blocks) + b"tail")
    return tmp_path / "a.img", tmp_path / "b.img"


@pytest.fixture
def listed(tmp_path):
    """A list that forgets the last change and holds a block that did not change."""
    items = [{"offset": offset, "length": length} for offset, length in [*TRUTH[:2], (40960, 4096)]]
    (tmp_path / "list.json").write_text(json.dumps(items))
    return tmp_path / "list.json"


def report(*arguments, expect):
    return obeys(json.loads(blockdiff(*arguments, "-o", "json", expect=expect).stdout), "report")


def streamed(*arguments, expect):
    """The lines of -o jsonl: the ranges, and the report without its list."""
    *ranges, last = lines(blockdiff(*arguments, "-o", "jsonl", expect=expect).stdout)
    return [obeys(item, "difference") for item in ranges], obeys(last, "summary")


def same(one, other):
    """Two reports of one thing, but for how long it took."""
    strip = {"elapsed_seconds", "started_at", "differences", "under_reported", "ranges"}
    return {k: v for k, v in one.items() if k not in strip} == {k: v for k, v in other.items() if k not in strip}


# ---- reports ----


def test_verify(pair):
    value = report("verify", *pair, expect=1)
    assert covered(value["differences"]) == set(CHANGED)
    assert (value["command"], value["identical"], value["differing_bytes"]) == ("verify", False, 3 * 4096)
    ranges, last = streamed("verify", *pair, expect=1)
    assert ranges == value["differences"]
    assert same(last, value)


def test_verify_of_equal_files(pair):
    pair[1].write_bytes(pair[0].read_bytes())
    value = report("verify", *pair, expect=0)
    assert (value["identical"], value["differences"]) == (True, [])


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--first"], id="first"),
        pytest.param(["--max-differences", "1"], id="max"),
        pytest.param(["--strict"], id="strict"),
        pytest.param(["--offset", "512", "--length", "32K", "--granularity", "512"], id="window"),
        pytest.param(["--read", "direct", "--workers", "2"], id="direct"),
        pytest.param(["--read", "buffered", "--keep-going"], id="buffered"),
    ],
)
def test_options_of_verify(pair, options):
    assert report("verify", *pair, *options, expect=1)["differences"]


def test_what_a_list_leaves_out_is_told(pair, listed):
    value = report("verify", *pair, "--extents", listed, expect=1)
    assert value["skipped"] == [{"reason": "not-listed", "bytes": 65540 - 3 * 4096}]
    assert covered(value["differences"]) == {3, 4}


def test_holes_and_sizes_are_told(tmp_path):
    for name, size in (("a", 1 << 20), ("b", 1 << 20), ("longer", (1 << 20) + 1)):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, size)
    value = report("verify", tmp_path / "a", tmp_path / "b", expect=0)
    assert value["skipped"] == [{"reason": "hole", "bytes": 1 << 20}]
    value = report("verify", tmp_path / "a", tmp_path / "longer", expect=1)
    assert value["differences"] == [{"offset": 1 << 20, "length": 1, "class": "size"}]
    value = report("verify", tmp_path / "a", tmp_path / "longer", "--size", "min", expect=0)
    assert (value["size_policy"], len(value["warnings"])) == ("min", 1)


@pytest.mark.parametrize(
    ("options", "method", "identical"),
    [
        pytest.param([], "full", False, id="full"),
        pytest.param(["--verify"], "full", True, id="verified"),
        pytest.param(["--changed", "--verify"], "changed (content)", True, id="changed"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["json", "jsonl"])
def test_copy(pair, options, method, identical, stream):
    if stream:
        ranges, value = streamed("copy", *pair, *options, expect=0)
    else:
        value = report("copy", *pair, *options, expect=0)
        ranges = value["differences"]
    assert ranges == []
    assert (value["method"], value["identical"]) == (method, identical)
    assert value["verified"] is (True if identical else None)
    assert pair[0].read_bytes() == pair[1].read_bytes()


def test_copy_of_a_list(pair, listed):
    value = report("copy", *pair, "--extents", listed, "--verify", expect=0)
    assert (value["method"], value["identical"], value["verified_bytes"]) == ("listed", False, 3 * 4096)


def test_audit(pair, listed):
    value = report("audit", *pair, "--extents", listed, expect=1)
    assert covered(value["under_reported"]) == {9}
    assert (value["correct"], value["under_reported_bytes"], value["over_reported_bytes"]) == (False, 4096, 4096)
    ranges, last = streamed("audit", *pair, "--extents", listed, expect=1)
    assert ranges == value["under_reported"]
    assert same(last, value)


def test_audit_with_what_is_over_reported(pair, listed):
    value = report("audit", "--over", *pair, "--extents", listed, expect=1)
    assert [(item["offset"], item["class"]) for item in value["ranges"]] == [(36864, "data"), (40960, "over-reported")]


def test_audit_of_allocated_blocks(pair, listed):
    value = report("audit", "--allocated", pair[1], "--extents", listed, expect=1)
    assert value["target"]["url"] == "zeroes"
    assert covered(value["under_reported"]) == set(range(17)) - {3, 4, 10}


# ---- lists ----


@pytest.mark.parametrize("command", ["diff", "map"])
def test_extents_json_and_jsonl(pair, command):
    arguments = pair if command == "diff" else pair[:1]
    records = obeys(json.loads(blockdiff(command, "-o", "json", *arguments, expect=0).stdout), "extents")
    found = [item for record in records for item in record["block_metadata"]]
    assert covered(found, "byte_offset", "size_bytes") == (set(CHANGED) if command == "diff" else set(range(17)))
    for record in lines(blockdiff(command, "-o", "jsonl", *arguments, expect=0).stdout):
        assert obeys(record, "record")["volume_capacity_bytes"] == 65540


def test_an_empty_list_says_whose_it_is(pair):
    pair[1].write_bytes(pair[0].read_bytes())
    (record,) = obeys(json.loads(blockdiff("diff", "-o", "json", *pair, expect=0).stdout), "extents")
    assert (record["volume_capacity_bytes"], record["block_metadata"]) == (65540, [])


@pytest.mark.parametrize(
    ("form", "known_as"), [(form, "lister" if form.startswith("json") else form) for form in LISTS], ids=LISTS
)
def test_a_list_comes_back_as_input(pair, form, known_as):
    text = blockdiff("diff", "-o", form, *pair, expect=0).stdout
    value = json.loads(blockdiff("audit", "-o", "json", *pair, "--extents", "-", expect=0, stdin=text).stdout)
    assert (value["list_format"], value["listed_bytes"], value["over_reported_bytes"]) == (known_as, 3 * 4096, 0)


@pytest.mark.parametrize(("form", "known_as"), [("json", "report"), ("jsonl", "blockdiff")])
def test_a_report_comes_back_as_input(pair, form, known_as):
    text = blockdiff("verify", "-o", form, *pair, expect=1).stdout
    value = json.loads(blockdiff("audit", "-o", "json", *pair, "--extents", "-", expect=0, stdin=text).stdout)
    assert (value["list_format"], value["listed_bytes"]) == (known_as, 3 * 4096)


# ---- trouble ----


@pytest.mark.parametrize("form", ["json", "jsonl"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["verify", "no-such-file", "nor-this"], 3, id="missing"),
        pytest.param(["map", "no-such-file"], 3, id="map"),
        pytest.param(["verify", "only-one"], 2, id="usage"),
        pytest.param(["verify", "x-unknown:a", "b"], 2, id="scheme"),
        pytest.param(["diff", "--require", "reflink", "/dev/null", "."], 2, id="no device"),
    ],
)
def test_errors(form, arguments, code):
    done = blockdiff(*arguments, "-o", form, expect=code)
    (error,) = lines(done.stderr)
    assert obeys(error, "error")["exit_code"] == code
    assert done.stdout == ""


def test_a_bad_list_is_one_error(pair):
    text = '[{"offset":8192,"length":512},{"offset":0,"length":512}]'
    done = blockdiff("verify", *pair, "--extents", "-", "-o", "json", expect=2, stdin=text)
    error = obeys(json.loads(done.stderr), "error")
    assert (error["error"], error["index"]) == ("OutOfOrder", 1)
    assert done.stdout == ""


def test_a_copy_that_fails_on_the_way_is_one_error_and_a_report(pair):
    done = blockdiff("copy", *pair, "-o", "json", expect=3, prefix=["prlimit", "--fsize=8192"])
    assert obeys(json.loads(done.stderr), "error")["action"] == "write"
    assert obeys(json.loads(done.stdout), "report")["complete"] is False


@pytest.mark.parametrize("command", ["verify", "copy", "audit"])
@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_an_interrupted_report_is_whole_json(tmp_path, command, form):
    for name in "ab":
        (tmp_path / name).write_bytes(b"=" * (8 << 20))
    (tmp_path / "list").write_text("[]")
    more = {"verify": [], "copy": ["--changed"], "audit": ["--extents", tmp_path / "list"]}[command]
    slowly = ["--rate", "256K", "--progress", "json"]
    process = start(command, tmp_path / "a", tmp_path / "b", *more, *slowly, "-o", form)
    assert json.loads(process.stderr.readline())["event"] == "progress"
    process.send_signal(signal.SIGTERM)
    code, out, err = finish(process)
    assert code == 130, (out, err)
    value = obeys(lines(out)[-1], "report" if form == "json" else "summary")
    assert (value["identical"], value["complete"], value["error"]) == (False, False, "interrupted")


@pytest.mark.parametrize("command", ["verify", "diff", "copy"])
def test_progress(pair, command):
    done = blockdiff(command, "--progress", "json", "-q", *pair, expect=1 if command == "verify" else 0)
    (line,) = lines(done.stderr)
    assert obeys(line, "progress")["command"] == command
    assert line["bytes_done"] == line["bytes_total"] == 65540


# ---- the schemas themselves ----


@pytest.mark.parametrize("key", SCHEMAS["summary"]["required"])
def test_a_report_without_a_key_is_refused(pair, key):
    value = report_of(pair)
    del value[key]
    with pytest.raises(jsonschema.ValidationError):
        obeys(value, "report")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"differences": None}, id="no list"),
        pytest.param({"differences": [{"offset": 0, "length": 1, "class": "odd"}]}, id="class"),
        pytest.param({"skipped": [{"reason": "reflink", "bytes": 1}]}, id="reason"),
        pytest.param({"unreadable": [{"offset": 0, "length": 1}]}, id="side"),
        pytest.param({"identical": True, "complete": False}, id="identical though cut short"),
        pytest.param({"error": "lost"}, id="error though complete"),
        pytest.param({"surprise": 1}, id="a key that nobody described"),
    ],
)
def test_a_wrong_report_is_refused(pair, change):
    value = {key: item for key, item in {**report_of(pair), **change}.items() if item is not None}
    with pytest.raises(jsonschema.ValidationError):
        obeys(value, "report")


def report_of(pair):
    """The API's form of the same report; cheap, and thereby tested too."""
    import blockdiff as api

    return obeys(api.verify(*pair).to_dict(), "report")
