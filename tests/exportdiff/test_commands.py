"""The command line: what people and programs see."""

import json
import os
import random
import signal
import subprocess
import time

import pytest

from tests.fixtures.cli import COMMAND, blockdiff, finish, start
from tests.fixtures.exportdiff import Spec, applied, image, parse, v1
from tests.fixtures.images import write_image
from tests.fixtures.schemas import obeys

RNG = random.Random(5)
OLD = RNG.randbytes(100_001)
SPECS = [
    Spec(120_000, ((5, b"first"), (4096, 9000), (110_000, b"tail")), "mon", "tue"),
    Spec(90_007, ((6, b"second"), (50_000, RNG.randbytes(20_000))), "tue", "wed"),
]
NEW = applied(applied(OLD, SPECS[0]), SPECS[1])
FULL = Spec(len(OLD), ((0, OLD),), None, "mon")


@pytest.fixture
def chain(files, tmp_path):
    """The old image, two diffs and the new image."""
    return write_image(tmp_path / "old.img", OLD), *files(SPECS), write_image(tmp_path / "new.img", NEW)


def binary(*arguments, stdin=None, expect=0):
    done = subprocess.run([*COMMAND, *map(str, arguments)], input=stdin, capture_output=True, check=False, timeout=60)
    assert done.returncode == expect, done.stderr
    assert b"Traceback" not in done.stderr
    return done


# ---- verify ----


def test_verify_of_a_chain(chain):
    old, one, two, new = chain
    done = blockdiff("verify", old, one, two, new, expect=0)
    assert "identical: 90,007 bytes" in done.stdout
    done = blockdiff("verify", old, one, new, expect=1)
    assert "different" in done.stdout


def test_a_report_names_all_of_it(chain):
    old, one, two, new = chain
    value = obeys(json.loads(blockdiff("verify", "-o", "json", old, one, two, new, expect=0).stdout), "report")
    assert value["source"]["url"] == f"{old} + {one} + {two}"
    assert value["source"]["size"] == len(NEW)


def test_a_single_changed_byte_is_found(chain):
    old, one, two, new = chain
    with open(new, "r+b") as file:
        file.seek(60_000)
        file.write(bytes([NEW[60_000] ^ 4]))
    value = json.loads(blockdiff("verify", "-o", "json", old, one, two, new, expect=1).stdout)
    assert value["differences"] == [{"offset": 57344, "length": 4096, "class": "bit-flip"}]


def test_a_whole_stream_needs_no_image(chain, files):
    _, one, two, new = chain
    (full,) = files([FULL], prefix="full")
    (both,) = files([FULL, SPECS[0]], together=True, prefix="both")
    blockdiff("verify", full, one, two, new, expect=0)
    blockdiff("verify", both, two, new, expect=0)
    blockdiff("verify", both, new, expect=1)


def test_streams_from_a_pipe(chain):
    old, one, _, new = chain
    binary("verify", old, one, "-", new, stdin=v1(SPECS[1]))
    binary("verify", "-", new, stdin=image([FULL, *SPECS]))
    binary("verify", old, "-", "-", new, stdin=v1(SPECS[1]), expect=2)


def test_a_broken_stream_is_refused_before_anything_is_compared(chain):
    old, one, two, new = chain
    with open(two, "r+b") as file:
        file.truncate(os.path.getsize(two) - 1)
    done = blockdiff("verify", "-o", "json", old, one, two, new, expect=2)
    assert done.stdout == ""
    error = obeys(json.loads(done.stderr), "error")
    assert (error["file"], error["position"]) == (two, os.path.getsize(two))


@pytest.mark.parametrize(
    ("names", "what"),
    [
        pytest.param(["d0", "old.img"], "name the image as it was then", id="changes alone"),
        pytest.param(["old.img", "d1", "d0", "new.img"], "begins with snapshot 'mon'", id="order"),
        pytest.param(["old.img", "new.img", "new.img"], "is no export-diff", id="an image as a diff"),
        pytest.param(["old.img", "d0"], "it comes first", id="a diff as the target"),
        pytest.param(["old.img"], "Missing argument 'DST'", id="one"),
        pytest.param([], "Missing argument 'SRC'", id="none"),
    ],
)
def test_what_is_no_chain(chain, tmp_path, names, what):
    assert what in blockdiff("verify", *(tmp_path / name for name in names), expect=2).stderr


def test_the_bytes_of_a_stream_can_be_compared_too(chain):
    _, one, _, _ = chain
    blockdiff("verify", f"file:{one}", f"file:{one}x", expect=3)
    with open(one, "rb") as file, open(f"{one}x", "wb") as copy:
        copy.write(file.read())
    assert "identical" in blockdiff("verify", f"file:{one}", f"file:{one}x", expect=0).stdout


# ---- diff and map ----


def test_diff_writes_what_apply_takes(chain, tmp_path):
    old, _, _, new = chain
    stream = binary("diff", "-o", "export-diff", "--from-name", "a", "--to-name", "b", old, new).stdout
    spec = parse(stream)
    assert (spec.from_name, spec.to_name, applied(OLD, spec)) == ("a", "b", NEW)
    binary("apply", "-", old, stdin=stream)
    assert old.read_bytes() == NEW


def test_map_writes_a_whole_image(chain, tmp_path):
    stream = binary("map", "-o", "export-diff", "--to-name", "b", chain[3]).stdout
    assert parse(stream)[2:] == (None, "b")
    binary("apply", "-", tmp_path / "made", stdin=stream)
    assert (tmp_path / "made").read_bytes() == NEW


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        pytest.param(["diff", "-o", "export-diff"], "--from-name", id="no name"),
        pytest.param(["diff", "-o", "export-diff", "--from-name", ""], "is empty", id="a variable that is not set"),
        pytest.param(["diff", "--from-name", "a"], "goes with -o export-diff", id="other format"),
        pytest.param(["diff", "-o", "export-diff", "--from-name", "a", "--length", "5"], "whole image", id="part"),
    ],
)
def test_what_diff_refuses(chain, arguments, what):
    done = blockdiff(*arguments, chain[0], chain[3], expect=2)
    assert what in done.stderr
    assert done.stdout == ""


def test_a_full_disk_is_told(chain):
    with open("/dev/full", "wb") as full:
        done = blockdiff("diff", "-o", "export-diff", "--from-name", "a", chain[0], chain[3], stdout=full, expect=3)
    assert "No space left" in done.stderr


def test_a_terminal_gets_nothing(chain):
    ours, theirs = os.openpty()
    try:
        for arguments in (["map", "-o", "export-diff", chain[3]], ["merge", chain[1], "-o", "-"]):
            assert "terminal" in blockdiff(*arguments, stdout=theirs, expect=2).stderr
    finally:
        os.close(ours)
        os.close(theirs)


# ---- apply ----


def test_apply(chain):
    old, one, two, _ = chain
    done = blockdiff("apply", "--verify", "-v", one, two, old, expect=0)
    assert "applied: 2 diffs" in done.stdout
    assert "verified" in done.stdout
    assert f"{one}: mon -> tue, 120000 bytes" in done.stdout
    assert old.read_bytes() == NEW
    assert blockdiff("apply", "-q", one, two, old, expect=0).stdout == ""


def test_the_report_of_apply(chain):
    old, one, two, _ = chain
    value = obeys(json.loads(blockdiff("apply", "-o", "json", one, two, old, expect=0).stdout), "apply")
    assert value["target"] == {"url": str(old), "size": len(NEW)}
    assert [(diff["from"], diff["to"]) for diff in value["diffs"]] == [("mon", "tue"), ("tue", "wed")]
    assert value["copied_bytes"] == sum(diff["copied_bytes"] for diff in value["diffs"])


def test_a_broken_pipe(chain):
    old, one, _, _ = chain
    done = binary("apply", one, "-", old, stdin=v1(SPECS[1])[:-1], expect=3)
    assert b"is incomplete" in done.stderr
    assert b"run the same command again" in done.stderr
    binary("apply", one, "-", old, stdin=v1(SPECS[1]))
    assert old.read_bytes() == NEW


def test_the_report_of_a_failure(chain):
    old, one, two, _ = chain
    done = blockdiff("apply", "-o", "json", one, two, old, expect=3, prefix=["prlimit", "--fsize=4096"])
    value = obeys(json.loads(done.stdout), "apply")
    assert (value["complete"], value["diffs"]) == (False, [])
    assert obeys(json.loads(done.stderr), "error")["exit_code"] == 3


def test_interrupting_apply(tmp_path):
    target = write_image(tmp_path / "image", bytes(9))
    process = start("apply", "-", target, stdin=subprocess.PIPE, text=False)
    process.stdin.write(v1(Spec(9, ((0, b"x"),), "a", "b"))[:-1])
    process.stdin.flush()
    while target.read_bytes() != b"x" + bytes(8):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"is incomplete" in err


def test_names_that_are_no_text_are_shown(tmp_path):
    target = write_image(tmp_path / "image", bytes(9))
    (tmp_path / "d").write_bytes(v1(Spec(9, (), "a", "?")).replace(b"?", b"\x80"))
    assert "a -> \\udc80" in blockdiff("apply", "-v", tmp_path / "d", target, expect=0).stdout
    obeys(json.loads(blockdiff("apply", "-o", "json", tmp_path / "d", target, expect=0).stdout), "apply")
    blockdiff("merge", tmp_path / "d", "-o", tmp_path / "out", expect=0)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "d").read_bytes()


@pytest.mark.parametrize("names", [[], ["d0"]], ids=["none", "one"])
def test_apply_wants_two_names(chain, tmp_path, names):
    assert "Missing argument 'DST'" in blockdiff("apply", *(tmp_path / name for name in names), expect=2).stderr


def test_a_missing_diff_is_a_device_error(chain, tmp_path):
    blockdiff("apply", tmp_path / "none", chain[0], expect=3)
    blockdiff("apply", chain[0], chain[3], expect=2)


# ---- merge ----


def test_merge(chain, tmp_path):
    old, one, two, new = chain
    done = blockdiff("merge", one, two, "-o", tmp_path / "both", expect=0)
    assert "merged: 2 diffs, mon -> wed" in done.stderr
    assert applied(OLD, parse((tmp_path / "both").read_bytes())) == NEW
    blockdiff("verify", old, tmp_path / "both", new, expect=0)
    assert blockdiff("merge", "-q", one, two, "-o", tmp_path / "both", expect=0).stderr == ""


def test_merge_through_pipes(chain):
    _, one, _, _ = chain
    done = binary("merge", one, "-", "-o", "-", stdin=v1(SPECS[1]))
    assert applied(OLD, parse(done.stdout)) == NEW


def test_merge_to_a_pipe_that_has_a_name(chain):
    whole = binary("map", "-o", "export-diff", chain[0]).stdout
    assert binary("merge", "-", "-o", "/dev/stdout", stdin=whole).stdout == whole


def test_a_merge_that_fails_leaves_nothing(chain, tmp_path):
    _, one, two, _ = chain
    before = sorted(os.listdir(tmp_path))
    done = blockdiff("merge", one, two, "-o", tmp_path / "both", expect=3, prefix=["prlimit", "--fsize=4096"])
    assert "File too large" in done.stderr
    assert sorted(os.listdir(tmp_path)) == before
    blockdiff("merge", two, one, "-o", tmp_path / "both", expect=2)
    assert sorted(os.listdir(tmp_path)) == before


def test_interrupting_merge(tmp_path, files):
    """Nothing is left of a file that was not finished."""
    os.mkfifo(tmp_path / "pipe")
    names = files([SPECS[0]])
    process = start("merge", *names, tmp_path / "pipe", "-o", tmp_path / "out")
    with open(tmp_path / "pipe", "wb") as pipe:
        pipe.write(v1(SPECS[1])[:50])
        pipe.flush()
        while process.poll() is None:  # one that comes just before it begins to wait for the pipe is seen after it
            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        code, _, _ = finish(process)
    assert code == 130
    assert sorted(os.listdir(tmp_path)) == ["d0", "pipe"]
