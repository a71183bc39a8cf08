"""What the program prints obeys the published schemas, and says the same as a second opinion."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema.validators import Draft202012Validator
from referencing import Registry, Resource

DIRECTORY = Path(__file__).parent.parent / "docs/schemas"
SCHEMAS = {path.name.split(".")[0]: json.loads(path.read_text()) for path in DIRECTORY.glob("*.json")}
REGISTRY = Registry().with_resources((schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values())
CHANGED = {3: b"B", 4: b"\0", 9: b"C"}  # block number: what the target's block is filled with
TRUTH = [(number * 4096, 4096) for number in CHANGED]


def obeys(value, name):
    Draft202012Validator(SCHEMAS[name], registry=REGISTRY).validate(value)
    return value


def blockdiff(*arguments, expect, stdin=None):
    command = [sys.executable, "-m", "blockdiff", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == expect, (done.stdout, done.stderr)
    return done


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


def test_verify_json(pair):
    report = obeys(json.loads(blockdiff("verify", "-o", "json", *pair, expect=1).stdout), "report")
    assert covered(report["differences"]) == set(CHANGED)
    assert (report["command"], report["identical"], report["differing_bytes"]) == ("verify", False, 3 * 4096)


def test_verify_json_of_equal_files(pair):
    pair[1].write_bytes(pair[0].read_bytes())
    report = obeys(json.loads(blockdiff("verify", "-o", "json", *pair, expect=0).stdout), "report")
    assert (report["identical"], report["differences"]) == (True, [])


def test_verify_jsonl(pair):
    *differences, report = lines(blockdiff("verify", "-o", "jsonl", *pair, expect=1).stdout)
    for difference in differences:
        obeys(difference, "difference")
    assert covered(differences) == set(CHANGED)
    assert "differences" not in obeys(report, "report")


@pytest.mark.parametrize("command", ["diff", "map"])
def test_extents_json_and_jsonl(pair, command):
    arguments = pair if command == "diff" else pair[:1]
    records = obeys(json.loads(blockdiff(command, "-o", "json", *arguments, expect=0).stdout), "extents")
    listed = [item for record in records for item in record["block_metadata"]]
    assert covered(listed, "byte_offset", "size_bytes") == (set(CHANGED) if command == "diff" else set(range(17)))
    for record in lines(blockdiff(command, "-o", "jsonl", *arguments, expect=0).stdout):
        assert obeys(record, "record")["volume_capacity_bytes"] == 65540


def test_copy_json(pair):
    report = obeys(
        json.loads(blockdiff("copy", "--changed", "--verify", "-o", "json", *pair, expect=0).stdout), "report"
    )
    assert (report["command"], report["verified"]) == ("copy", True)
    assert pair[0].read_bytes() == pair[1].read_bytes()


def test_audit_json(pair):
    listed = json.dumps([{"offset": offset, "length": length} for offset, length in [*TRUTH[:2], (40960, 4096)]])
    command = ["audit", "-o", "json", *pair, "--extents", "-"]
    report = obeys(json.loads(blockdiff(*command, expect=1, stdin=listed).stdout), "report")
    assert covered(report["under_reported"]) == {9}
    assert (report["correct"], report["under_reported_bytes"], report["over_reported_bytes"]) == (False, 4096, 4096)


def test_audit_json_with_what_is_over_reported(pair):
    listed = json.dumps([{"offset": offset, "length": length} for offset, length in [*TRUTH, (40960, 4096)]])
    command = ["audit", "--over", "-o", "json", *pair, "--extents", "-"]
    report = obeys(json.loads(blockdiff(*command, expect=0, stdin=listed).stdout), "report")
    assert [(item["offset"], item["class"]) for item in report["ranges"]] == [(40960, "over-reported")]


def test_a_list_comes_back_as_input(pair):
    for form in ("json", "jsonl"):
        listed = blockdiff("diff", "-o", form, *pair, expect=0).stdout
        blockdiff("audit", *pair, "--extents", "-", expect=0, stdin=listed)


@pytest.mark.parametrize("form", ["json", "jsonl"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["verify", "no-such-file", "nor-this"], 3, id="missing"),
        pytest.param(["verify", "only-one"], 2, id="usage"),
        pytest.param(["verify", "x-unknown:a", "b"], 2, id="scheme"),
    ],
)
def test_errors(form, arguments, code):
    done = blockdiff(*arguments, "-o", form, expect=code)
    (error,) = lines(done.stderr)
    assert obeys(error, "error")["exit_code"] == code
    assert done.stdout == ""


def test_progress(pair):
    done = blockdiff("verify", "--progress", "json", "-q", *pair, expect=1)
    for line in lines(done.stderr):
        obeys(line, "progress")
