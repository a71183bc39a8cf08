"""`verify --recheck` as users run it, with programs that write meanwhile."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from blockdiff.engine.recheck import Recheck
from tests.fixtures.cli import blockdiff, finish, found, start, within
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


@pytest.fixture
def mend(monkeypatch):
    """Puts the right bytes of some blocks back in the waits, one call for each wait."""

    def plan(path, *waits):
        left = list(waits)

        def wait(self, seconds, total):
            with path.open("r+b") as file:
                for number in left.pop(0):
                    file.seek(number * BLOCK)
                    file.write(DATA[number * BLOCK : (number + 1) * BLOCK])
            now = time.time_ns()
            os.utime(path, ns=(now, now))  # the clock of the file system may be too coarse to tell

        monkeypatch.setattr(Recheck, "_wait", wait)

    return plan


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


def test_only_what_still_differs_is_listed(pair, mend):
    a, b = pair
    spoil(b, 3, 10)
    mend(b, [3])
    done = within("verify", a, b, "--recheck", 60, "-o", "json", expect=1)
    report = obeys(json.loads(done.stdout), "report")
    assert found(report) == [(10 * BLOCK, BLOCK, "data")]
    assert report["recheck"]["transient"] == [{"offset": 3 * BLOCK, "length": BLOCK, "class": "data", "round": 1}]
    assert report["recheck"]["written"] is True
    assert report["identical"] is False
    assert report["complete"] is True


def test_no_difference_left_is_no_alarm_and_no_proof(pair, mend):
    a, b = pair
    spoil(b, 3)
    mend(b, [], [3])
    done = within("verify", a, b, "--recheck", 0, "--recheck", 60, expect=0)
    assert "no confirmed difference" in done.stdout
    assert "does not prove" in done.stdout
    assert "Offset" not in done.stdout
    assert not done.stdout.startswith("identical")


def test_a_sample_whose_differences_are_gone(pair, mend):
    a, b = pair
    spoil(b, 3)
    mend(b, [3])
    done = within("verify", a, b, "--sample", "100%", "--recheck", 60, expect=0)
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
    done = within("verify", a, b, "--recheck", 0, "--max-differences", 2, "-o", "jsonl", expect=1)
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
    assert "seconds" in within("verify", *pair, *words, expect=2).stderr


def test_first_is_refused(pair):
    assert "--first and --recheck" in within("verify", *pair, "--first", "--recheck", 1, expect=2).stderr


def test_a_plan_of_pairs_is_refused(tmp_path):
    (tmp_path / "plan").write_text("{}")
    assert "--recheck" in within("verify", "--pairs", tmp_path / "plan", "--recheck", 1, expect=2).stderr


@pytest.mark.slow
@pytest.mark.parametrize("action", ["write", "discard"])
def test_block_devices_tell_that_they_were_written_to(make_loop, action):
    source, target = make_loop(1 << 20), make_loop(1 << 20)
    fd = os.open(target.path, os.O_RDWR | os.O_SYNC)
    os.pwrite(fd, b"x" * BLOCK, 8 * BLOCK)
    process = start("verify", source.path, target.path, "--recheck", 3, "-o", "json", "--progress", "json")
    while json.loads(process.stderr.readline())["command"] != "recheck":
        pass
    if action == "write":
        os.pwrite(fd, bytes(BLOCK), 8 * BLOCK)
    else:
        subprocess.run(["blkdiscard", "-o", str(8 * BLOCK), "-l", str(BLOCK), target.path], check=True)
    os.close(fd)
    code, out, _ = finish(process)
    report = obeys(json.loads(out), "report")
    assert (code, report["recheck"]["verdict"], report["recheck"]["written"]) == (0, "transient", True)


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
