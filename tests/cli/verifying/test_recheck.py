"""`verify --recheck` as users run it, with programs that write meanwhile."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys

import pytest

from tests.fixtures.cli import blockdiff, finish, found, start
from tests.fixtures.schemas import obeys

BLOCK = 4096
DATA = random.Random(7).randbytes(64 * BLOCK + 123)


@pytest.fixture
def pair(tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(DATA)
    return tmp_path / "a", tmp_path / "b"


def spoil(path, *blocks):
    with path.open("r+b") as file:
        for number in blocks:
            file.seek(number * BLOCK)
            file.write(b"spoilt")


def mend(path, number, after):
    """A process that puts the right bytes back after some seconds."""
    code = (
        "import os,sys,time; time.sleep(float(sys.argv[4])); fd=os.open(sys.argv[1],os.O_RDWR);"
        "os.pwrite(fd, bytes.fromhex(sys.argv[3]), int(sys.argv[2]))"
    )
    start_of = DATA[number * BLOCK : number * BLOCK + 16]
    words = [str(path), str(number * BLOCK), start_of.hex(), str(after)]
    return writing(code, *words)


@contextlib.contextmanager
def writing(code, *words):
    """A process that writes meanwhile, and has ended well afterwards."""
    with subprocess.Popen([sys.executable, "-c", code, *words]) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise
        assert process.wait(30) == 0


def test_only_what_still_differs_is_listed(pair):
    a, b = pair
    spoil(b, 3, 10)
    with mend(b, 3, 0.7):
        done = blockdiff("verify", a, b, "--recheck", 1.5, "-o", "json", expect=1)
    report = obeys(json.loads(done.stdout), "report")
    assert found(report) == [(10 * BLOCK, BLOCK, "data")]
    assert report["recheck"]["transient"] == [{"offset": 3 * BLOCK, "length": BLOCK, "class": "data", "round": 1}]
    assert report["recheck"]["written"] is True
    assert report["identical"] is False
    assert report["complete"] is True


def test_no_difference_left_is_no_alarm_and_no_proof(pair):
    a, b = pair
    spoil(b, 3)
    with mend(b, 3, 0.7):
        done = blockdiff("verify", a, b, "--recheck", 0, "--recheck", 1.5, expect=0)
    assert "no confirmed difference" in done.stdout
    assert "does not prove" in done.stdout
    assert "Offset" not in done.stdout
    assert not done.stdout.startswith("identical")


def test_a_sample_whose_differences_are_gone(pair):
    a, b = pair
    spoil(b, 3)
    with mend(b, 3, 0.7):
        done = blockdiff("verify", a, b, "--sample", "100%", "--recheck", 1.5, expect=0)
    assert done.stdout.startswith("no confirmed difference in the sample")


def test_identical_ones_do_not_wait(pair):
    done = blockdiff("verify", *pair, "--recheck", 3600, "-o", "json", expect=0, timeout=30)
    report = obeys(json.loads(done.stdout), "report")
    assert report["identical"] is True
    assert report["recheck"]["verdict"] == "nothing-to-recheck"


def test_rows_limits_and_lines_are_of_the_confirmed(pair):
    a, b = pair
    spoil(b, 3, 5, 7)
    with b.open("ab") as file:
        file.write(b"more")
    done = blockdiff("verify", a, b, "--recheck", 0, "--max-differences", 2, "-o", "jsonl", expect=1)
    *rows, report = map(json.loads, done.stdout.splitlines())
    assert [row["offset"] for row in rows] == [3 * BLOCK, 5 * BLOCK]
    assert report["difference_count"] == 4
    assert report["recheck"]["verdict"] == "confirmed"
    obeys(report, "summary")


def test_interrupted_in_the_wait_it_tells_what_was_found(pair):
    spoil(pair[1], 4)
    process = start("verify", *pair, "--recheck", 600, "-o", "json", "--progress", "json")
    line = json.loads(process.stderr.readline())
    while line["command"] != "recheck":
        line = json.loads(process.stderr.readline())
    obeys(line, "progress")
    process.send_signal(signal.SIGINT)
    code, out, _ = finish(process)
    report = obeys(json.loads(out), "report")
    assert code == 130
    assert found(report) == [(4 * BLOCK, BLOCK, "data")]
    assert (report["complete"], report["identical"]) == (False, False)


@pytest.mark.parametrize(
    "words", [["--recheck", "-1"], ["--recheck", "nan"], ["--recheck", "1e9"], ["--recheck", "5m"]]
)
def test_only_seconds_that_can_be_waited_for(pair, words):
    assert "seconds" in blockdiff("verify", *pair, *words, expect=2).stderr


def test_first_is_refused(pair):
    assert "--first and --recheck" in blockdiff("verify", *pair, "--first", "--recheck", 1, expect=2).stderr


def test_a_plan_of_pairs_is_refused(tmp_path):
    (tmp_path / "plan").write_text("{}")
    assert "--recheck" in blockdiff("verify", "--pairs", tmp_path / "plan", "--recheck", 1, expect=2).stderr


@pytest.mark.slow
def test_a_replica_that_is_always_a_little_behind(pair, nbd):
    """A writer that never stops, and a replica on a real NBD server that follows it; one block is really wrong."""
    a, b = pair
    for path in pair:
        os.truncate(path, 64 * BLOCK)  # qemu-nbd rounds up to sectors
    spoil(b, 40)
    code = (
        "import os,sys,time\na=os.open(sys.argv[1],os.O_RDWR); b=os.open(sys.argv[2],os.O_RDWR)\n"
        "end=time.time()+4; n=0\n"
        "while time.time()<end:\n"
        "    n+=1; data=b'%d' % n * 100; o=n%30*4096\n"
        "    os.pwrite(a,data,o); time.sleep(0.002); os.pwrite(b,data,o)\n"
    )
    server = nbd.qemu_nbd(b)
    with writing(code, str(a), str(b)):
        for _ in range(4):
            waits = ("--recheck", 0.2) * 3
            report = obeys(
                json.loads(blockdiff("verify", a, server.uri(), *waits, "-o", "json", expect=1).stdout), "report"
            )
            assert (40 * BLOCK, BLOCK, "data") in found(report)
            assert report["identical"] is False
            assert len(found(report)) <= 3
    b.write_bytes(a.read_bytes())
    blockdiff("verify", a, server.uri(), "--recheck", 0.2, expect=0)
