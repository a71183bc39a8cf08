"""``verify --repair`` and ``undo`` as users run them."""

import errno
import json
import os
import random
import signal
import time

import pytest

from blockdiff.backends.filedevice import FileDevice
from blockdiff.engine.recheck import Recheck
from blockdiff.engine.repair import session
from blockdiff.engine.verify import Verification
from blockdiff.errors import DeviceError
from tests.fixtures.cli import blockdiff, finish, start, within
from tests.fixtures.schemas import obeys

SIZE = (1 << 20) + 300


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """A source and a target that differ in data, in zeroes, in a hole and in the tail; and the target's old bytes."""
    monkeypatch.setenv("BLOCKDIFF_JOURNALS", str(tmp_path / "journals"))
    rng = random.Random(4)
    source = bytearray(rng.randbytes(SIZE))
    source[65536:131072] = bytes(65536)
    target = bytearray(source)
    target[5000:5010] = b"0123456789"
    target[70000:80000] = rng.randbytes(10000)
    target[300000:400000] = bytes(100000)
    target[-1] ^= 1
    (tmp_path / "s").write_bytes(source)
    (tmp_path / "d").write_bytes(target)
    os.truncate(tmp_path / "s", SIZE)
    return tmp_path, bytes(source), bytes(target)


def run(place, *words, expect):
    return within(*words, expect=expect, cwd=place)


def test_repaired_and_undone(pair):
    place, source, old = pair
    report = json.loads(run(place, "verify", "--repair", "--journal", "j", "-o", "json", "s", "d", expect=0).stdout)
    obeys(report, "report")
    assert (place / "d").read_bytes() == source
    assert report["identical"]
    assert report["differing_bytes"] > 0
    facts = report["repair"]
    assert (facts["journal"], facts["remaining_bytes"], facts["planned"]) == ("j", 0, False)
    assert facts["bytes"] == facts["verified_bytes"] == sum(item["length"] for item in report["differences"])
    assert (place / "j").stat().st_mode & 0o777 == 0o600
    assert "plan: nothing to repair" in run(place, "verify", "--repair", "--plan", "s", "d", expect=0).stdout
    done = json.loads(run(place, "undo", "-o", "json", "j", expect=0).stdout)
    obeys(done, "undo")
    assert (place / "d").read_bytes() == old
    assert done["restored_bytes"] == done["bytes"] == facts["bytes"]
    again = run(place, "undo", "j", expect=2)
    assert "undone already" in again.stderr
    (place / "d").write_bytes(source)
    assert "restored" in run(place, "undo", "j", expect=0).stdout
    assert (place / "d").read_bytes() == old


def test_words_for_people(pair):
    place, *_ = pair
    out = run(place, "verify", "--repair", "s", "d", expect=0).stdout
    journal = next((place / "journals").iterdir())
    assert "identical: 1,048,876 bytes, after a repair: " in out
    assert f"undo: blockdiff undo {journal}" in out
    assert "state: repaired" in run(place, "undo", "--show", journal, expect=0).stdout
    assert "nothing to repair" in run(place, "verify", "--repair", "s", "d", expect=0).stdout
    assert len(list((place / "journals").iterdir())) == 1
    assert "would be restored" in run(place, "undo", "--plan", journal, expect=0).stdout
    shown = json.loads(run(place, "undo", "--show", "-o", "json", journal, expect=0).stdout)
    obeys(shown, "journal")
    assert [item["old"] for item in shown["ranges"]] == ["data", "data", "data", "data"]


def test_plan_writes_nothing(pair):
    place, _, old = pair
    before = sorted(os.listdir(place))
    report = json.loads(
        run(place, "verify", "--repair", "--plan", "--journal", "j", "-o", "json", "s", "d", expect=1).stdout
    )
    obeys(report, "report")
    assert (place / "d").read_bytes() == old
    assert sorted(os.listdir(place)) == before
    assert report["repair"]["planned"]
    assert report["repair"]["bytes"] == report["differing_bytes"]
    assert report["repair"]["written_bytes"] == 0


REFUSED = [
    pytest.param(["--plan"], "--plan goes with --repair", id="plan alone"),
    pytest.param(["--journal", "j"], "--journal goes with --repair", id="journal alone"),
    pytest.param(["--force"], "--force goes with --repair", id="force alone"),
    pytest.param(["--repair-unreadable"], "--repair-unreadable goes with --repair", id="unreadable alone"),
    pytest.param(["--repair", "--first"], "--repair and --first", id="first"),
    pytest.param(["--repair", "--strict"], "--repair and --strict", id="strict"),
    pytest.param(["--repair", "--sample", "50%"], "--repair and --sample", id="sample"),
    pytest.param(["--repair", "--journal", "s"], "is no undo journal", id="journal is another file"),
    pytest.param(["--repair", "--journal", "d"], "is no undo journal", id="journal is the target"),
    pytest.param(["--repair", "--journal", ""], "--journal needs the name", id="journal without a name"),
    pytest.param(["--repair", "--journal", "."], "no regular file", id="journal is a directory"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED)
def test_refused(pair, options, words):
    place, source, old = pair
    assert words in run(place, "verify", *options, "s", "d", expect=2).stderr
    assert ((place / "s").read_bytes(), (place / "d").read_bytes()) == (source, old)


def test_confirmed_differences_are_repaired(pair):
    place, source, _ = pair
    run(place, "verify", "--repair", "--journal", "j", "--recheck", "0", "s", "d", expect=0)
    assert (place / "d").read_bytes() == source


def test_what_was_seen_to_change_is_not_called_identical(pair, monkeypatch):
    """Also where the device itself does not tell that it was written to."""
    place, source, _ = pair

    def wait(self, seconds, total):
        with open(place / "d", "r+b") as file:
            file.seek(5000)
            file.write(source[5000:5010])

    monkeypatch.setattr(Recheck, "_wait", wait)
    monkeypatch.setattr(FileDevice, "changes", lambda self: "")
    done = run(place, "verify", "--repair", "--journal", "j", "--recheck", "1", "-o", "json", "s", "d", expect=1)
    assert json.loads(done.stdout)["identical"] is False
    assert (place / "d").read_bytes() == source


def test_a_target_that_does_not_keep_what_is_written(pair, monkeypatch):
    place, _, old = pair
    inner = FileDevice.pwrite

    def pwrite(self, data, offset):
        if offset < 290_000:
            inner(self, data, offset)

    monkeypatch.setattr(FileDevice, "pwrite", pwrite)
    words = ["verify", "--repair", "--journal", "j", "--granularity", "4k"]
    report = json.loads(run(place, *words, "-o", "json", "s", "d", expect=1).stdout)
    assert report["identical"] is False
    assert report["repair"]["remaining_ranges"] == 4
    assert report["repair"]["remaining_bytes"] == 102_400 + SIZE % 4096
    assert "STILL DIFFERENT: 4 ranges" in run(place, *words, "s", "d", expect=1).stdout
    monkeypatch.undo()
    run(place, "undo", "j", expect=0)
    assert (place / "d").read_bytes() == old


def test_what_is_read_back_comes_from_the_disk(pair, monkeypatch):
    place, _, _ = pair
    asked = []

    class Spied(Verification):
        def __init__(self, *devices, options, **more):
            asked.append((options.target_past_cache, more["shared"]))
            super().__init__(*devices, options=options, **more)

    monkeypatch.setattr(session, "Verification", Spied)
    run(place, "verify", "--repair", "--journal", "j", "s", "d", expect=0)
    assert asked == [(True, False)]


def test_a_checkpoint_is_worth_nothing_once_a_repair_has_begun(pair, monkeypatch):
    place, _, old = pair

    def pwrite(self, data, offset):
        raise DeviceError(url="d", action="write", offset=offset, errno=errno.EIO)

    monkeypatch.setattr(FileDevice, "pwrite", pwrite)
    words = ["verify", "--repair", "--journal", "j", "--checkpoint", "ck"]
    done = run(place, *words, "s", "d", expect=3)
    assert "to go back: blockdiff undo j" in done.stderr
    assert sorted(os.listdir(place)) == ["d", "j", "s"]
    report = json.loads(run(place, *words, "-o", "json", "s", "d", expect=3).stdout)
    assert (report["identical"], report["complete"]) == (False, False)
    assert report["repair"]["journal"] == "j"
    monkeypatch.undo()
    run(place, "undo", "j", expect=0)
    assert (place / "d").read_bytes() == old


def test_journal_where_none_can_be(pair):
    place, _, old = pair
    error = run(place, "verify", "--repair", "--journal", "none/j", "s", "d", expect=3).stderr
    assert "cannot make a journal in none" in error
    assert (place / "d").read_bytes() == old


def test_sizes_that_differ(pair):
    place, source, old = pair
    os.truncate(place / "d", SIZE - 1000)
    error = run(place, "verify", "--repair", "s", "d", expect=2).stderr
    assert "copy --changed --resize" in error
    run(place, "verify", "--repair", "--journal", "j", "--size", "min", "s", "d", expect=0)
    assert (place / "d").read_bytes() == source[: SIZE - 1000]
    run(place, "undo", "j", expect=0)
    assert (place / "d").read_bytes() == old[: SIZE - 1000]


def test_only_what_is_listed(pair):
    place, source, old = pair
    (place / "list").write_text('[{"offset": 5003, "length": 2}, {"offset": 300100, "length": 1000}]')
    report = json.loads(
        run(place, "verify", "--repair", "--journal", "j", "--extents", "list", "-o", "json", "s", "d", expect=0).stdout
    )
    wanted = bytearray(old)
    for item in report["differences"]:
        start, end = item["offset"], item["offset"] + item["length"]
        wanted[start:end] = source[start:end]
    assert (place / "d").read_bytes() == wanted
    assert wanted[5003:5005] == source[5003:5005]
    assert wanted[5000:5003] == old[5000:5003]
    run(place, "undo", "j", expect=0)
    assert (place / "d").read_bytes() == old


def test_what_others_wrote_is_not_overwritten(pair):
    place, _, old = pair
    run(place, "verify", "--repair", "--journal", "j", "s", "d", expect=0)
    with open(place / "d", "r+b") as file:
        file.seek(70500)
        file.write(b"new")
    now = (place / "d").read_bytes()
    error = run(place, "undo", "j", expect=2).stderr
    assert "512 bytes are neither the repaired nor the old ones, first [70144, 70656)" in error
    assert (place / "d").read_bytes() == now
    assert "name a new journal" in run(place, "verify", "--repair", "--journal", "j", "s", "d", expect=2).stderr
    assert (place / "d").read_bytes() == now
    assert "warning: 512 bytes" in run(place, "undo", "--force", "j", expect=0).stdout
    assert (place / "d").read_bytes() == old


def test_journal_of_another_device(pair):
    place, _, old = pair
    run(place, "verify", "--repair", "--journal", "j", "s", "d", expect=0)
    (place / "other").write_bytes(old)
    assert "another device" in run(place, "undo", "--device", "other", "j", expect=2).stderr
    assert "another device" in run(place, "verify", "--repair", "--journal", "j", "s", "other", expect=2).stderr
    assert (place / "other").read_bytes() == old
    os.rename(place / "d", place / "moved")
    assert "cannot open" in run(place, "undo", "j", expect=3).stderr
    run(place, "undo", "--device", "moved", "j", expect=0)
    assert (place / "moved").read_bytes() == old
    os.truncate(place / "moved", 4096)
    assert "its size was" in run(place, "undo", "--force", "--device", "moved", "j", expect=2).stderr


def test_journal_that_is_in_use(pair):
    import fcntl

    place, _, old = pair
    run(place, "verify", "--repair", "--journal", "j", "s", "d", expect=0)
    with open(place / "j", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "in use" in run(place, "undo", "j", expect=2).stderr
        assert "in use" in run(place, "verify", "--repair", "--journal", "j", "s", "d", expect=2).stderr
    run(place, "undo", "j", expect=0)
    assert (place / "d").read_bytes() == old


def test_holes_come_back(tmp_path, monkeypatch):
    size = 4 << 20
    with open(tmp_path / "d", "wb") as file:
        file.truncate(size)
    (tmp_path / "s").write_bytes(random.Random(1).randbytes(size))
    run(tmp_path, "verify", "--repair", "--journal", "j", "s", "d", expect=0)
    assert (tmp_path / "d").stat().st_blocks * 512 >= size
    assert (tmp_path / "j").stat().st_size < 100_000  # holes need no old bytes
    run(tmp_path, "undo", "j", expect=0)
    assert (tmp_path / "d").read_bytes() == bytes(size)
    assert (tmp_path / "d").stat().st_blocks == 0


def test_names_that_a_terminal_would_obey(tmp_path):
    name, journal = os.fsdecode(b"d\xff\n\x1bx"), "j \x1b"
    (tmp_path / "s").write_bytes(b"s" * 600)
    (tmp_path / name).write_bytes(b"d" * 600)
    out = run(tmp_path, "verify", "--repair", "--journal", journal, "s", name, expect=0).stdout
    out += run(tmp_path, "undo", "--show", journal, expect=0).stdout
    out += run(tmp_path, "undo", "--plan", journal, expect=0).stdout
    out += run(tmp_path, "undo", journal, expect=0).stdout
    assert all(char.isprintable() or char == "\n" for char in out)
    assert (tmp_path / name).read_bytes() == b"d" * 600
    again = run(tmp_path, "verify", "--repair", "--journal", "with space", "s", name, expect=0).stdout
    assert again.endswith("undo: blockdiff undo 'with space'\n")


@pytest.mark.parametrize("size", [0, 1, 511, 513])
def test_small_devices(tmp_path, size):
    (tmp_path / "s").write_bytes(b"s" * size)
    (tmp_path / "d").write_bytes(b"d" * size)
    run(tmp_path, "verify", "--repair", "--journal", "j", "s", "d", expect=0)
    assert (tmp_path / "d").read_bytes() == b"s" * size
    if size:
        run(tmp_path, "undo", "j", expect=0)
        assert (tmp_path / "d").read_bytes() == b"d" * size
    else:
        assert not (tmp_path / "j").exists()


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, id="ctrl-c"),
        pytest.param(signal.SIGKILL, id="kill", marks=pytest.mark.slow),
    ],
)
def test_stopped_on_the_way(tmp_path, number):
    rng = random.Random(2)
    source, old = rng.randbytes(24 << 20), rng.randbytes(24 << 20)
    (tmp_path / "s").write_bytes(source)
    (tmp_path / "d").write_bytes(old)
    process = start("verify", "--repair", "--journal", "j", "--rate", "40M", "s", "d", cwd=tmp_path)
    for _ in range(4000):
        if (tmp_path / "d").read_bytes()[:4096] == source[:4096]:
            break
        time.sleep(0.005)
    process.send_signal(number)
    if number == signal.SIGINT:
        code, _, err = finish(process)
        assert code == 130
        assert "--journal j; to go back: blockdiff undo j" in err
    else:
        process.communicate()
    torn = (tmp_path / "d").read_bytes()
    assert torn not in (source, old)
    blockdiff("undo", "j", expect=0, cwd=tmp_path)
    assert (tmp_path / "d").read_bytes() == old


def undo_all(place, journals):
    """The newest first; one that is done, or was never needed, is refused."""
    for name in reversed(journals):
        if (place / name).exists():
            done = within("undo", "-q", name, cwd=place)
            assert done.returncode == 0 or "undone already" in done.stderr


def killed(place, seconds, *words):
    process = start(*words, "-q", cwd=place)
    time.sleep(seconds)
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.fixture
def large_pair(tmp_path):
    rng = random.Random(8)
    size = (20 << 20) + 77
    source, old = bytearray(rng.randbytes(size)), bytearray(rng.randbytes(size))
    for at in range(0, size, 3 << 20):
        old[at : at + (1 << 20)] = source[at : at + (1 << 20)]
        source[at + (2 << 20) : at + (2 << 20) + 300_000] = bytes(300_000)
    source, old = bytes(source[:size]), bytes(old[:size])
    (tmp_path / "s").write_bytes(source)
    (tmp_path / "d").write_bytes(old)
    return tmp_path, source, old


@pytest.mark.slow
def test_killed_at_random_moments(large_pair):
    """SIGKILL, again and again; in between it goes on with the same journal, a new one, or an undo."""
    place, source, old = large_pair
    rng = random.Random(os.environ.get("BLOCKDIFF_KILL_SEED", "8"))
    began = time.monotonic()
    blockdiff("verify", "--repair", "-q", "--journal", "first", "s", "d", expect=0, cwd=place)
    took = time.monotonic() - began  # so that kills are spread over all of a run
    undo_all(place, ["first"])
    journals, hits = ["j0"], 0
    for _ in range(int(os.environ.get("BLOCKDIFF_KILLS", "12"))):
        hits += killed(place, rng.uniform(0.1, 1) * took, "verify", "--repair", "--journal", journals[-1], "s", "d")
        choice = rng.random()
        if choice < 0.3 and (place / journals[-1]).exists():
            journals.append(f"j{len(journals)}")
        elif choice < 0.6 and (place / journals[-1]).exists():
            hits += killed(place, rng.uniform(0.1, 1) * took, "undo", journals[-1])
            undo_all(place, journals)
            assert (place / "d").read_bytes() == old
            for path in place.glob("j*"):
                path.unlink()
            journals = ["j0"]
    assert hits
    blockdiff("verify", "--repair", "-q", "--journal", "last", "s", "d", expect=0, cwd=place)
    assert (place / "d").read_bytes() == source
    undo_all(place, [*journals, "last"])
    assert (place / "d").read_bytes() == old
