"""``verify --ledger``, ``--budget`` and ``ledger show`` as users type them."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import time

import pytest

from tests.fixtures.cli import blockdiff, start, within
from tests.fixtures.nbd import until
from tests.fixtures.schemas import obeys

UNIT = 65536
SIZE = 40 * UNIT + 777


@pytest.fixture
def images(tmp_path):
    data = random.Random(1).randbytes(SIZE)
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "b").write_bytes(data)
    return tmp_path


def spoil(images, at):
    with (images / "b").open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def report(images, *words, expect=0):
    done = within("verify", "--ledger", "L", *words, "-o", "json", "a", "b", cwd=images, expect=expect)
    return obeys(json.loads(done.stdout), "report")


def shown(images):
    return obeys(json.loads(within("ledger", "show", "-o", "json", "L", cwd=images, expect=0).stdout), "ledger")


def test_nights(images):
    for number in range(1, 5):
        found = report(images, "--budget", "1M")
        assert not found["identical"]
        assert found["ledger"]["run"] == number
    assert found["ledger"]["never_bytes"] == 0
    facts = shown(images)
    assert facts["verified_bytes"] == SIZE
    assert facts["map"] == "0" * 41
    assert [run["outcome"] for run in facts["runs"]] == ["budget"] * 4
    text = within("ledger", "show", "L", cwd=images, expect=0).stdout
    assert "100% verified" in text
    assert "4 runs" in text


def test_words(images):
    done = within("verify", "--ledger", "L", "--budget", "1M", "a", "b", cwd=images, expect=0)
    assert done.stdout.startswith("no difference found in what was compared: 1.0 MiB were found equal")
    assert "every byte is verified within 3 runs like this" in done.stdout
    assert "identical" not in done.stdout
    done = within("verify", "--ledger", "L", "a", "b", cwd=images, expect=0)
    assert done.stdout.startswith("identical: ")
    assert "verified by now: 100% of 2.5 MiB" in done.stdout


def test_a_known_difference_is_not_forgotten(images):
    for unit in range(10):
        spoil(images, unit * UNIT)
    report(images, expect=1)
    found = report(images, "--budget", "128K", expect=1)
    assert found["ledger"]["different_before_bytes"] == 8 * UNIT  # one as known trouble, one as the oldest
    (images / "b").write_bytes((images / "a").read_bytes())
    found = report(images, "--budget", "128K", expect=1)
    assert found["difference_count"] == 0
    assert "!" in shown(images)["map"]
    text = within("verify", "--ledger", "L", "--budget", "128K", "a", "b", cwd=images, expect=1).stdout
    assert "differed in an earlier run were not looked at again" in text
    assert "DIFFERENT" in within("ledger", "show", "L", cwd=images, expect=0).stdout


def test_changes(images):
    report(images)
    spoil(images, 5 * UNIT)
    (images / "list").write_text(json.dumps([{"offset": 5 * UNIT, "length": 512}, {"offset": 9 * UNIT, "length": 1}]))
    found = report(images, "--extents", "list", "--budget", "128K", expect=1)
    assert found["ledger"]["changed_bytes"] == 2 * UNIT
    assert shown(images)["map"][4:10] == "0!000*"


def test_a_budget_and_a_repair(images):
    """Whatever else is done: a part is never called identical."""
    spoil(images, 5)
    found = report(images, "--budget", "1M", "--max-differences", "0", expect=1)
    assert found["differences"] == []
    assert found["difference_count"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--budget", "2h"], "--budget needs --ledger"),
        (["--ledger", "L", "--budget", "2"], "neither a time"),
        (["--ledger", "L", "--budget", "0s"], "neither a time"),
        (["--ledger", "L", "--sample", "1%"], "do not go together"),
        (["--ledger", "L", "--budget", "1s", "--first"], "do not go together"),
        (["--ledger", "L", "--first"], "do not go together"),
        (["--ledger", "L", "--offset", "4K"], "whole volumes"),
        (["--ledger", "."], "no regular file"),
        (["--ledger", "a"], "no coverage ledger"),
        (["--ledger", "empty"], "is empty"),
        (["--ledger", "other"], "no coverage ledger"),
        (["--ledger", "nowhere/L"], "nowhere"),
        (["--ledger", "/dev/null"], "no regular file"),
        (["--ledger", "L", "--granularity", "1M"], "must not be larger"),
    ],
    ids=str,
)
def test_what_cannot_be(images, words, message):
    (images / "empty").touch()
    with sqlite3.connect(images / "other") as other:
        other.execute("CREATE TABLE mine (x)")
    other.close()
    before = (images / "other").read_bytes()
    done = within("verify", *words, "a", "b", cwd=images)
    assert done.returncode in (2, 3)
    assert message in done.stderr
    assert (images / "other").read_bytes() == before
    assert [name for name in os.listdir(images) if "new-" in name] == []


def test_not_with_pairs(images):
    done = within("verify", "--pairs", "-", "--ledger", "L", cwd=images, expect=2, stdin="{}")
    assert "--pairs and --ledger do not go together" in done.stderr


def test_of_another_volume(images):
    report(images)
    (images / "b").rename(images / "c")
    (images / "b").write_bytes((images / "a").read_bytes())
    done = within("verify", "--ledger", "L", "a", "b", cwd=images, expect=2)
    assert "of another target" in done.stderr


@pytest.mark.parametrize("version", [0, 2, 77, -1])
def test_of_another_version(images, version):
    report(images)
    with sqlite3.connect(images / "L") as ledger:
        ledger.execute(f"PRAGMA user_version = {version}")
    ledger.close()
    for words in (["verify", "--ledger", "L", "a", "b"], ["ledger", "show", "L"]):
        done = within(*words, cwd=images, expect=2)
        assert f"version {version}" in done.stderr


def test_a_file_without_write_permission(images):
    report(images)
    done = blockdiff("ledger", "show", "L", cwd=images, prefix=["setpriv", "--bounding-set", "-all", "--"], expect=0)
    assert "verified" in done.stdout


@pytest.mark.slow
def test_killed_at_any_moment(images):
    """What was settled stays; the next run goes on; nothing is claimed that is not so."""
    rng = random.Random(4)
    data = rng.randbytes(64 << 20)
    for name in "ab":
        (images / name).write_bytes(data)
    before = 0
    for seconds in (0.7, 2.8, 3.3):
        run = start("verify", "--ledger", "L", "--budget", "1h", "--rate", "12M", "a", "b", cwd=images)
        until((images / "L").exists, "it makes no ledger")
        time.sleep(seconds)
        os.kill(run.pid, signal.SIGKILL)
        run.communicate()
        facts = shown(images)
        assert {run["outcome"] for run in facts["runs"]} <= {"running"}
        assert facts["verified_bytes"] >= before
        before = facts["verified_bytes"]
    assert before
    found = report(images, "--budget", "1h")
    assert found["ledger"]["verified_bytes"] == len(data)
    assert found["bytes_compared"] == len(data)


@pytest.mark.slow
def test_over_nbd(nbd, images):
    for name in "ab":
        os.truncate(images / name, 40 * UNIT)
    server = nbd.qemu_nbd(images / "b")
    for number in range(3):
        words = ["verify", "--ledger", "L", "--budget", "1M", "-o", "json", "a", server.uri()]
        found = obeys(json.loads(blockdiff(*words, cwd=images, expect=0).stdout), "report")
        assert found["ledger"]["run"] == number + 1
    assert found["ledger"]["never_bytes"] == 0
    done = blockdiff("verify", "--ledger", "L", "a", "b", cwd=images, expect=2)
    assert "of another target" in done.stderr


@pytest.mark.slow
def test_over_rbd(ceph, images):
    """What the OSDs' checksums prove is verified, too; what differs is not."""
    size = 12 << 20
    data = bytearray(random.Random(2).randbytes(size))
    one = ceph.url(ceph.image("one", size, bytes(data)))
    data[5 << 20] ^= 1
    other = ceph.url(ceph.image("other", size, bytes(data)))
    words = ["verify", "--ledger", "L", "--method", "osd-checksum", "-o", "json", one, other]
    for _ in range(3):
        found = obeys(json.loads(blockdiff(*words, "--budget", "8M", cwd=images).stdout), "report")
    facts = found["ledger"]
    assert (facts["never_bytes"], facts["different_now_bytes"]) == (0, UNIT)
    assert facts["verified_bytes"] == size - UNIT
    assert [(part["offset"], part["length"]) for part in found["differences"]] == [(5 << 20, 4096)]
    assert shown(images)["map"].count("!") == 1


def test_another_file_with_the_name_of_its_journal_is_left(images):
    """SQLite would overwrite and remove it: it may be the journal by which a repair is undone."""
    report(images)
    spoil(images, 4096)
    other = images / "L-journal"
    within("verify", "--repair", "--journal", other, "a", "b", cwd=images, expect=0)
    undo = other.read_bytes()
    (images / "link").symlink_to("L")
    for words in (("verify", "--ledger", "L", "a", "b"), ("ledger", "show", "L"), ("ledger", "show", "link")):
        done = within(*words, cwd=images, expect=2)
        assert "L-journal is not of the ledger" in done.stderr
        assert other.read_bytes() == undo
    within("undo", other, cwd=images, expect=0)
    other.write_bytes(b"")
    assert report(images, expect=1)["difference_count"] == 1
    done = within("verify", "--ledger", "L", "--receipt", "L-journal", "a", "b", cwd=images, expect=2)
    assert "--ledger and --receipt write the same file, L-journal" in " ".join(done.stderr.split())


@pytest.mark.slow
@pytest.mark.root
def test_a_full_disk(images):
    """The ledger's disk is full in the middle: exit code 3, and what it held before is believed."""
    place = images / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", place], check=True)
    try:
        ledger = place / "L"
        blockdiff("verify", "--ledger", ledger, "--budget", "640K", "a", "b", cwd=images, expect=0)
        with (place / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(512))
            except OSError:
                pass
        done = blockdiff("verify", "--ledger", ledger, "a", "b", cwd=images, expect=3)
        assert "cannot write the ledger" in done.stderr
        (place / "filler").unlink()
        facts = json.loads(blockdiff("ledger", "show", "-o", "json", ledger, expect=0).stdout)
        assert facts["verified_bytes"] == 10 * UNIT
        blockdiff("verify", "--ledger", ledger, "a", "b", cwd=images, expect=0)
    finally:
        subprocess.run(["umount", place], check=True)
