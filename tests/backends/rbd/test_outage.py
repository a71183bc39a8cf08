"""What happens on the way: OSDs that die, full clusters, images that vanish, clients that are shut out."""

import json
import random
import signal
import time

import pytest

from tests.fixtures.cli import blockdiff, finish, start
from tests.fixtures.rbd import MIB, run

pytestmark = pytest.mark.slow

SIZE = 16 * MIB
LIMIT = 120
SLOW = ("--rate", "4M", "--progress", "json", "-o", "json")


@pytest.fixture
def content():
    return random.Random(1).randbytes(SIZE)


class Running:
    """A command that goes slowly enough to do something meanwhile."""

    def __init__(self, command, *arguments):
        self.process = start(command, *SLOW, *arguments)

    def wait_for_progress(self):
        """Some bytes are through."""
        while line := self.process.stderr.readline():
            if json.loads(line).get("bytes_done", 0) > MIB:
                assert self.process.poll() is None
                return
        raise AssertionError(f"it ended before anything could be done: {finish(self.process)}")

    def end(self):
        """(exit code, report or None, stderr)"""
        code, out, err = finish(self.process, timeout=LIMIT)
        return code, json.loads(out) if out else None, err


@pytest.fixture
def running():
    processes = []

    def begin(command, *arguments):
        made = Running(command, *arguments)
        processes.append(made.process)
        made.wait_for_progress()
        return made

    yield begin
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_an_osd_dies_during_a_verify(ceph, running, content):
    a, b = ceph.image("a", SIZE, content), ceph.image("b", SIZE, content)
    ceph.write(b, SIZE - 5, b"!")
    job = running("verify", "--method", "content", ceph.url(a), ceph.url(b))
    ceph.kill_osd()
    ceph.start_osd()
    code, value, err = job.end()
    assert code == 1, err
    assert value["complete"]
    assert [item["offset"] for item in value["differences"]] == [SIZE - 4096]


@pytest.mark.slow
def test_an_osd_dies_during_a_copy_of_which_nothing_is_lost(ceph, running, content):
    a, b = ceph.image("a", SIZE, content), ceph.image("b", SIZE)
    job = running("copy", ceph.url(a), ceph.url(b))
    ceph.kill_osd()
    ceph.start_osd()
    code, _, err = job.end()
    if code:
        assert code in {3, 5}, err
        run("copy", "--changed", ceph.url(a), ceph.url(b))
    assert ceph.content(b) == content
    assert ceph.lockers(b) == set()


@pytest.mark.slow
def test_an_osd_stops_for_a_while(ceph, running, content):
    a, b = ceph.image("a", SIZE, content), ceph.image("b", SIZE, content)
    job = running("verify", "--method", "content", ceph.url(a), ceph.url(b))
    ceph.kill_osd(signal=signal.SIGSTOP)
    time.sleep(1.5)
    ceph.kill_osd(signal=signal.SIGCONT)
    code, value, err = job.end()
    assert code == 0, err
    assert value["identical"]


@pytest.mark.slow
def test_the_monitor_is_away_for_a_while(ceph, running, content):
    a, b = ceph.image("a", SIZE, content), ceph.image("b", SIZE, content)
    job = running("verify", "--method", "content", ceph.url(a), ceph.url(b))
    ceph.stop_mon()
    ceph.start_mon()
    code, value, err = job.end()
    assert code == 0, err
    assert value["identical"]


@pytest.mark.slow
def test_an_osd_that_does_not_come_back_is_no_hang(ceph, running, content):
    a, b = ceph.image("a", SIZE, content), ceph.image("b", SIZE, content)
    job = running("verify", "--method", "content", ceph.url(a, timeout=2.5), ceph.url(b, timeout=2.5))
    ceph.kill_osd()
    code, value, err = job.end()
    assert code in {3, 5}, err
    assert not value["complete"]
    assert not value["identical"]
    assert "did not answer" in value["error"]


@pytest.mark.slow
def test_a_full_cluster(ceph, content, tmp_path):
    source = tmp_path / "source.img"
    source.write_bytes(content)
    b = ceph.image("b", SIZE)
    ceph.fill()
    done = blockdiff("copy", source, ceph.url(b, timeout=5), timeout=LIMIT)
    assert done.returncode in {3, 5}
    assert "FULL" in done.stderr
    ceph.empty()
    run("copy", "--changed", "--verify", source, ceph.url(b))
    assert ceph.content(b) == content


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["image deleted", "snapshot removed"])
def test_what_is_read_vanishes(ceph, running, content, fault, tmp_path):
    a = ceph.image("a", SIZE, content)
    if fault == "snapshot removed":
        ceph.snapshot(a, "s")
        ceph.write(a, 0, bytes(SIZE))
    other = tmp_path / "other.img"
    other.write_bytes(content[: SIZE // 2] + bytes(SIZE // 2))
    job = running("verify", "--method", "content", ceph.url(a, "s" if "snapshot" in fault else None), other)
    if fault == "snapshot removed":
        ceph.remove_snapshot(f"{a}@s")
    else:
        ceph.remove(a)
    code, value, err = job.end()
    assert code == 3, (code, value, err)
    assert "removed" in value["error"]
    assert (value["identical"], value["complete"]) == (False, False)


def test_a_client_that_is_shut_out_says_so(ceph, running, content, tmp_path):
    source = tmp_path / "source.img"
    source.write_bytes(content)
    b = ceph.image("b", SIZE)
    job = running("copy", source, ceph.url(b))
    for address, _ in ceph.watchers(b):
        ceph.mon("osd blocklist", blocklistop="add", addr=address)
    code, value, err = job.end()
    assert code in {3, 5}, err
    assert "blocklist" in err
    assert not value["complete"]
    ceph.mon("osd blocklist clear")
    run("copy", "--changed", source, ceph.url(b))
    assert ceph.content(b) == content


def test_a_reader_that_is_shut_out_says_so(ceph, running, content):
    keyring = ceph.user("reader", {"mon": "profile rbd", "osd": "profile rbd-read-only"})
    a, b = (ceph.url(ceph.image(name, SIZE, content), id="reader", keyring=keyring) for name in "ab")
    job = running("verify", "--method", "content", a, b)
    for address in ceph.addresses("reader"):
        ceph.mon("osd blocklist", blocklistop="add", addr=address)
    code, value, err = job.end()
    assert code in {3, 5}, err
    assert "blocklist" in value["error"]
    assert (value["identical"], value["complete"]) == (False, False)


def test_an_interrupted_copy_leaves_no_lock(ceph, running, content, tmp_path):
    source = tmp_path / "source.img"
    source.write_bytes(content)
    b = ceph.image("b", SIZE)
    job = running("copy", source, ceph.url(b))
    job.process.send_signal(signal.SIGINT)
    code, _, err = job.end()
    assert code == 130, err
    assert (ceph.watchers(b), ceph.lockers(b)) == (set(), set())
    run("copy", "--changed", source, ceph.url(b))


@pytest.mark.slow
def test_after_a_killed_copy_the_next_one_takes_over(ceph, running, content, tmp_path):
    source = tmp_path / "source.img"
    source.write_bytes(content)
    b = ceph.image("b", SIZE)
    job = running("copy", source, ceph.url(b))
    job.process.kill()
    job.process.communicate()
    done = blockdiff("copy", "--changed", source, ceph.url(b), timeout=LIMIT)
    if done.returncode:
        assert done.returncode == 2
        run("copy", "--changed", "--force", source, ceph.url(b))
    assert ceph.content(b) == content
