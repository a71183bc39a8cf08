"""Bad input and broken devices, through the command line: the right exit code, a clear word, nothing lost."""

import contextlib
import fcntl
import json
import os
import random
import shutil
import subprocess
import threading
import time

import pytest

from blockdiff import _fast
from tests.fixtures.cli import blockdiff, finish, found, start
from tests.fixtures.images import write_image
from tests.fixtures.storage import detach, run, unmount

MIB = 1 << 20
READS = ["auto", "direct", "buffered", "mmap"]
COMMANDS = ["verify", "diff", "map", "copy", "audit"]


def forget(*paths):
    """Empties the page cache of files and devices."""
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        with contextlib.suppress(OSError):
            fcntl.ioctl(fd, _fast.BLKFLSBUF, 0)
        os.close(fd)


def error_of(done):
    """The one error object on stderr."""
    (line,) = [line for line in done.stderr.splitlines() if '"error"' in line]
    return json.loads(line)


def arguments(command, bad, good, tmp_path):
    """A run of ``command`` whose first device is ``bad``."""
    (tmp_path / "list.json").write_text('[{"offset":0,"length":1}]')
    return {
        "verify": ["verify", bad, good],
        "diff": ["diff", bad, good],
        "map": ["map", bad],
        "copy": ["copy", bad, tmp_path / "copy-of-it"],
        "audit": ["audit", bad, good, "--extents", tmp_path / "list.json"],
    }[command]


@pytest.fixture
def good(tmp_path):
    return write_image(tmp_path / "good", random.Random(0).randbytes(100_001))


# ---- what cannot be opened ----


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("kind", "code", "word"),
    [
        pytest.param("missing", 3, "No such file", id="missing"),
        pytest.param("directory", 2, "is a directory", id="directory"),
        pytest.param("fifo", 2, "is a FIFO", id="fifo"),
        pytest.param("dangling", 3, "No such file", id="dangling-link"),
        pytest.param("null", 2, "character device", id="character-device"),
        pytest.param("empty-name", 2, "empty", id="empty-name"),
        pytest.param("scheme", 2, "unknown scheme", id="unknown-scheme"),
    ],
)
def test_no_device(tmp_path, good, command, kind, code, word):
    bad = tmp_path / "bad"
    if kind == "directory":
        bad.mkdir()
    elif kind == "fifo":
        os.mkfifo(bad)
    elif kind == "dangling":
        bad.symlink_to("nowhere")
    bad = {"null": "/dev/null", "empty-name": "", "scheme": "nosuch:thing"}.get(kind, bad)
    done = blockdiff(*arguments(command, bad, good, tmp_path), expect=code)
    assert word in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "copy-of-it").exists()
    done = blockdiff(*arguments(command, bad, good, tmp_path), "-o", "json", expect=code)
    assert error_of(done)["exit_code"] == code
    assert word in error_of(done)["message"]
    assert done.stdout == ""


@pytest.mark.root
@pytest.mark.parametrize("command", COMMANDS)
def test_no_permission(tmp_path, good, command):
    """Root without its capabilities is a user like others."""
    secret = write_image(tmp_path / "secret", b"A" * 4096)
    secret.chmod(0)
    prefix = []
    if os.geteuid() == 0:
        prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    done = blockdiff(*arguments(command, secret, good, tmp_path), expect=3, prefix=prefix)
    assert "Permission denied" in done.stderr
    assert not (tmp_path / "copy-of-it").exists()


def test_target_that_may_not_be_written(good, tmp_path):
    target = write_image(tmp_path / "target", b"A" * 100_001)
    target.chmod(0o400)
    prefix = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-all"] if os.geteuid() == 0 else []
    done = blockdiff("copy", good, target, expect=3, prefix=prefix)
    assert "Permission denied" in done.stderr
    assert target.read_bytes() == b"A" * 100_001


def test_target_directory_that_is_not_there(good, tmp_path):
    done = blockdiff("copy", good, tmp_path / "none" / "target", expect=3)
    assert "cannot create" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([], id="nothing"),
        pytest.param(["frobnicate"], id="command"),
        pytest.param(["verify"], id="no-devices"),
        pytest.param(["verify", "a", "b", "c"], id="too-many"),
        pytest.param(["verify", "a", "b", "--no-such-option"], id="option"),
        pytest.param(["verify", "a", "b", "--granularity", "3000"], id="granularity"),
        pytest.param(["verify", "a", "b", "--granularity", "many"], id="no-size"),
        pytest.param(["verify", "a", "b", "--workers", "65"], id="workers"),
        pytest.param(["verify", "a", "b", "--rate", "-1"], id="rate"),
        pytest.param(["verify", "a", "b", "--offset", "99T"], id="offset"),
        pytest.param(["verify", "a", "b", "--read", "fast"], id="read"),
        pytest.param(["verify", "a", "b", "-o", "xml"], id="format"),
        pytest.param(["diff", "a", "b", "--method", "guess"], id="method"),
        pytest.param(["audit", "a", "b"], id="no-list"),
        pytest.param(["audit", "--allocated", "a", "b", "--extents", "x"], id="two-of-one"),
        pytest.param(["copy", "a", "c", "--sparse", "perhaps"], id="sparse"),
    ],
)
def test_usage(tmp_path, words):
    for name in "ab":
        write_image(tmp_path / name, b"A" * 5000)
    done = blockdiff(*words, cwd=tmp_path, expect=2)
    assert done.stderr
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


# ---- sizes ----


def test_empty_devices(make_loop, tmp_path):
    nothing = write_image(tmp_path / "nothing", b"")
    one = write_image(tmp_path / "one", b"A")
    twin = write_image(tmp_path / "twin", b"")
    blockdiff("verify", nothing, twin, expect=0)
    assert "size" in blockdiff("verify", nothing, one, expect=1).stdout
    assert "only the common part" in blockdiff("verify", "--size", "min", nothing, one, expect=0).stdout
    assert json.loads(blockdiff("verify", "-o", "json", nothing, twin, expect=0).stdout)["differences"] == []
    blockdiff("map", nothing, expect=0)
    blockdiff("diff", nothing, twin, expect=0)
    blockdiff("copy", nothing, tmp_path / "copy", expect=0)
    assert (tmp_path / "copy").read_bytes() == b""
    loop = make_loop(0, backing=twin)
    for read in READS:
        blockdiff("verify", nothing, loop.path, "--read", read, expect=0)
        blockdiff("verify", one, loop.path, "--read", read, expect=1)


def test_targets_of_other_sizes(make_loop, tmp_path, good):
    small, large = make_loop(65536), make_loop(MIB)
    before = large.path.read_bytes()
    done = blockdiff("copy", good, small.path, expect=2)
    assert "too small" in done.stderr
    assert not any(small.path.read_bytes())
    blockdiff("copy", "--verify", good, large.path, expect=0)
    assert large.path.read_bytes() == good.read_bytes() + before[100_001:]
    longer = write_image(tmp_path / "longer", b"B" * 200_000)
    done = blockdiff("copy", good, longer, expect=2)
    assert "--resize" in done.stderr
    assert longer.read_bytes() == b"B" * 200_000
    blockdiff("copy", "--resize", good, longer, expect=0)
    assert longer.read_bytes() == good.read_bytes()


# ---- files that change while they are read ----


def opened(process, path):
    """Waits until the process has the file open."""
    for _ in range(1000):
        with contextlib.suppress(OSError):
            fds = f"/proc/{process.pid}/fd"
            if str(path) in [os.readlink(f"{fds}/{fd}") for fd in os.listdir(fds)]:
                return
        if process.poll() is not None:
            return
        time.sleep(0.005)


def pair_of(directory, size):
    block = random.Random(0).randbytes(MIB)
    data = (block * (size // MIB + 1))[:size]
    return write_image(directory / "a", data), write_image(directory / "b", data)


def change_while_running(arguments, path, size, delay):
    process = start(*arguments)
    opened(process, path)
    time.sleep(delay)
    os.truncate(path, size)
    return finish(process)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("which", ["a", "b"])
@pytest.mark.parametrize("size", [0, 5 * MIB + 1, 40 * MIB], ids=["emptied", "shrunk", "grown"])
def test_size_changes(tmp_path, read, which, size):
    pair_of(tmp_path, 16 * MIB + 17)
    words = ["verify", tmp_path / "a", tmp_path / "b", "--read", read, "--rate", "64M", "-o", "json"]
    code, out, err = change_while_running(words, tmp_path / which, size, 0.05)
    assert code == 3, (code, out, err)
    value = json.loads(out)
    assert value["identical"] is False
    assert value["complete"] is False
    assert json.loads(err)["error"] == "SizeChanged"
    assert str(tmp_path / which) in json.loads(err)["message"]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("read", READS)
def test_size_changes_at_any_time(tmp_path, read):
    rng = random.Random(read)
    for _ in range(40):
        pair_of(tmp_path, 16 * MIB + 17)
        words = ["verify", tmp_path / "a", tmp_path / "b", "--read", read, "--rate", "60M"]
        size = rng.choice((0, 1, rng.randrange(16 * MIB), 16 * MIB + 16))
        code, out, err = change_while_running(words, tmp_path / rng.choice("ab"), size, rng.random() * 0.15)
        assert code == 3, (code, out, err)


HAMMER = """
import os, random, sys, threading
import blockdiff

a, b, read, rounds = *sys.argv[1:4], int(sys.argv[4])
size = os.path.getsize(a)
block = open(a, "rb").read(1 << 20)
fd = os.open(b, os.O_RDWR)
done = threading.Event()

def hammer():
    rng = random.Random(1)
    while not done.is_set():
        os.ftruncate(fd, rng.randrange(size))
        os.ftruncate(fd, size)
        at = rng.randrange(size // len(block)) * len(block)
        os.pwrite(fd, block, at)

thread = threading.Thread(target=hammer)
thread.start()
ends = {}
try:
    for i in range(rounds):
        options = blockdiff.ReadOptions(read=read, workers=1 + i % 3)
        try:
            report = blockdiff.verify(a, b, options=options)
            end = "identical" if report.identical else "different"
        except blockdiff.SizeChanged:
            end = "changed"
        ends[end] = ends.get(end, 0) + 1
finally:
    done.set()
    thread.join()
print(ends)
"""


@pytest.mark.parametrize("read", READS)
def test_no_signal_however_the_file_is_cut(tmp_path, read, fault_rounds):
    """A mapped page that vanishes is SIGBUS for whoever is not prepared for it."""
    import sys

    a, b = pair_of(tmp_path, 8 * MIB)
    os.truncate(b, 0)
    os.truncate(b, 8 * MIB)  # never whole again: what is cut off comes back as zeroes
    command = [sys.executable, "-c", HAMMER, a, b, read, str(fault_rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert "identical" not in done.stdout


@pytest.fixture(params=[30, pytest.param(300, marks=pytest.mark.slow)], ids=["few", "many"])
def fault_rounds(request):
    return request.param


@pytest.mark.parametrize("size", [0, 5 * MIB + 1, 40 * MIB], ids=["emptied", "shrunk", "grown"])
@pytest.mark.parametrize("words", [["copy"], ["copy", "--changed"]], ids=" ".join)
def test_source_of_a_copy_changes(tmp_path, size, words):
    a, b = pair_of(tmp_path, 16 * MIB + 17)
    os.truncate(b, 0)
    process_words = [*words, a, b, "--rate", "64M", "-o", "json"]
    code, out, err = change_while_running(process_words, a, size, 0.05)
    assert code == 3, (code, out, err)
    assert json.loads(out)["complete"] is False
    assert '"SizeChanged"' in err


def test_a_file_that_is_modified_is_told(tmp_path):
    a, b = pair_of(tmp_path, 8 * MIB)
    process = start("verify", a, b, "--rate", "20M")
    opened(process, b)
    time.sleep(0.05)
    os.utime(b)
    code, out, _ = finish(process)
    assert code == 0
    assert "modified meanwhile" in out


# ---- reading fails ----


@pytest.fixture
def broken_disks(make_loop, tmp_path):
    """Two loop devices of 4 MiB; the second cannot be read from 2 MiB on. They differ at 1 MiB and 3 MiB."""
    a = bytearray(random.Random(0).randbytes(4 * MIB))
    b = bytearray(a)
    b[MIB] ^= 255
    b[3 * MIB] ^= 255
    disks = [make_loop(4 * MIB), make_loop(4 * MIB)]
    for disk, data in zip(disks, (a, b), strict=True):
        disk.backing.write_bytes(data)
    os.truncate(disks[1].backing, 2 * MIB)
    forget(*(disk.path for disk in disks))
    return [disk.path for disk in disks]


@pytest.mark.parametrize("read", READS)
def test_read_error(broken_disks, read):
    done = blockdiff("verify", *broken_disks, "--read", read, expect=3)
    assert f"cannot read {broken_disks[1]} at offset {2 * MIB}" in done.stderr
    assert "Input/output error" in done.stderr
    assert "identical" not in done.stdout
    done = blockdiff("verify", *broken_disks, "--read", read, "-o", "json", expect=3)
    assert json.loads(done.stdout)["identical"] is False
    assert error_of(done)["offset"] == 2 * MIB
    assert error_of(done)["errno"] == 5


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("swap", [False, True], ids=["target", "source"])
def test_read_error_and_going_on(broken_disks, read, swap):
    """The unreadable range is named, the differences elsewhere are found, and nothing is called identical."""
    disks = broken_disks[::-1] if swap else broken_disks
    done = blockdiff("verify", *disks, "--read", read, "--keep-going", "-o", "json", expect=3)
    value = json.loads(done.stdout)
    assert value["identical"] is False
    assert found(value) == [(MIB, 4096, "data")]
    assert [(item["offset"], item["length"]) for item in value["unreadable"]] == [(2 * MIB, 2 * MIB)]
    human = blockdiff("verify", *disks, "--read", read, "--keep-going", expect=3).stdout
    assert "UNREADABLE: 2.0 MiB" in human
    assert f"unreadable ({'source' if swap else 'target'})" in human
    assert "identical" not in human


@pytest.mark.parametrize("command", [["diff"], ["map", "--zeroes"], ["copy"], ["audit"]], ids=" ".join)
def test_read_error_in_other_commands(broken_disks, tmp_path, command):
    (tmp_path / "list").write_text('[{"offset":0,"length":4096}]')
    bad, other = broken_disks[1], broken_disks[0]
    words = {
        "diff": ["diff", other, bad],
        "map": ["map", "--zeroes", bad],
        "copy": ["copy", bad, tmp_path / "target"],
        "audit": ["audit", other, bad, "--extents", tmp_path / "list"],
    }[command[0]]
    done = blockdiff(*words, expect=3)
    assert f"at offset {2 * MIB}" in done.stderr
    assert "correct" not in done.stdout
    if command == ["copy"]:
        assert "is incomplete" in done.stderr


def test_audit_goes_on(broken_disks, tmp_path):
    (tmp_path / "list").write_text(json.dumps([{"offset": MIB, "length": 4096}]))
    words = ["audit", *broken_disks, "--extents", tmp_path / "list", "--keep-going"]
    done = blockdiff(*words, "-o", "json", expect=3)
    value = json.loads(done.stdout)
    assert value["correct"] is False
    assert value["under_reported"] == []
    assert "not proved" in blockdiff(*words, expect=3).stdout


@pytest.fixture
def broken_file(make_loop, tmp_path):
    """A file on ext4 whose second half is on a disk that ends early, and an equal file elsewhere."""
    loop = make_loop(32 * MIB)
    run("mkfs.ext4", "-q", "-F", "-O", "^has_journal", loop.path)
    point = tmp_path / "mounted"
    point.mkdir()
    run("mount", loop.path, point)
    try:
        data = random.Random(0).randbytes(8 * MIB)
        inside = write_image(point / "file", data)
        good = write_image(tmp_path / "good", data)
        run("sync", "-f", inside)
        run("mount", "-o", "remount,ro", point)
        fd = os.open(inside, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        packed, _ = _fast.fiemap_fd(fd, 4 * MIB, 8 * MIB)
        os.close(fd)
        logical, physical, _length, _flags = memoryview(packed).cast("Q").tolist()[:4]
        os.truncate(loop.backing, physical + 4 * MIB - logical)
        yield inside, good, data
    finally:
        unmount(point)


@pytest.mark.parametrize("read", READS)
def test_read_error_in_a_file(broken_file, read):
    inside, good, data = broken_file
    done = blockdiff("verify", inside, good, "--read", read, expect=3)
    assert f"cannot read {inside} at offset {4 * MIB}" in done.stderr
    changed = bytearray(data)
    changed[MIB] ^= 255
    changed[7 * MIB] ^= 255
    good.write_bytes(changed)
    done = blockdiff("verify", inside, good, "--read", read, "--keep-going", "-o", "json", expect=3)
    value = json.loads(done.stdout)
    assert found(value) == [(MIB, 4096, "data")]
    assert [(item["offset"], item["length"]) for item in value["unreadable"]] == [(4 * MIB, 4 * MIB)]


# ---- writing fails ----


@pytest.fixture
def full_disk(tmpfs_dir):
    """A directory where little more than 8 MiB fit."""
    free = shutil.disk_usage(tmpfs_dir).free
    with (tmpfs_dir / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - 8 * MIB)
    return tmpfs_dir


@pytest.mark.parametrize("words", [["copy"], ["copy", "--changed"], ["copy", "--sparse", "always"]], ids=" ".join)
def test_no_space(full_disk, tmp_path, words):
    source, _ = pair_of(tmp_path, 20 * MIB)
    done = blockdiff(*words, source, full_disk / "target", expect=3)
    assert f"cannot write {full_disk / 'target'} at offset" in done.stderr
    assert "No space left" in done.stderr
    assert "is incomplete" in done.stderr
    done = blockdiff(*words, source, full_disk / "target", "-o", "json", expect=3)
    assert json.loads(done.stdout)["complete"] is False
    assert json.loads(done.stdout)["identical"] is False
    os.unlink(full_disk / "ballast")
    blockdiff("copy", "--changed", "--verify", source, full_disk / "target", expect=0)
    assert (full_disk / "target").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("words", [["copy"], ["copy", "--changed"]], ids=" ".join)
def test_write_error(full_disk, make_loop, tmp_path, words):
    """The disk takes the data and fails when they are to be kept: nothing is done before fsync says so."""
    source, _ = pair_of(tmp_path, 20 * MIB)
    backing = write_image(full_disk / "backing", bytes(20 * MIB), [(0, 20 * MIB)])
    target = make_loop(20 * MIB, backing=backing)
    done = blockdiff(*words, source, target.path, expect=3)
    assert str(target.path) in done.stderr
    assert "Input/output error" in done.stderr or "No space left" in done.stderr
    assert "on stable storage" not in done.stdout
    detach(target.path)


@pytest.mark.parametrize("output", ["human", "json", "jsonl", "table"])
@pytest.mark.parametrize("command", ["verify", "diff", "map"])
def test_full_disk_under_the_report(tmp_path, command, output):
    a, b = write_image(tmp_path / "a", b"A" * 8192), write_image(tmp_path / "b", b"B" * 8192)
    devices = [a] if command == "map" else [a, b]
    with open("/dev/full", "w") as full:
        done = blockdiff(command, *devices, "-o", output, stdout=full, expect=3)
    assert "No space left" in done.stderr


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["verify", "--help"]], ids=" ".join)
def test_full_disk_under_the_help(words):
    with open("/dev/full", "w") as full:
        assert blockdiff(*words, stdout=full).returncode == 3


# ---- refusals ----


def test_same_file(tmp_path, good):
    os.link(good, tmp_path / "hard")
    os.symlink(good, tmp_path / "soft")
    content = good.read_bytes()
    for other in (good, tmp_path / "hard", tmp_path / "soft"):
        for words in (["copy"], ["copy", "--force"], ["copy", "--changed"]):
            assert "refusing" in blockdiff(*words, good, other, expect=2).stderr
        assert "itself" in blockdiff("verify", good, other, expect=2).stderr
    assert good.read_bytes() == content


def test_loop_device_of_the_source(make_loop, tmp_path):
    source = write_image(tmp_path / "a", random.Random(0).randbytes(MIB))
    content = source.read_bytes()
    loop = make_loop(MIB, backing=source)
    for pair in ((source, loop.path), (loop.path, source)):
        for force in ([], ["--force"]):
            done = blockdiff("copy", *force, *pair, expect=2)
            assert "storage in common" in done.stderr or "is made of it" in done.stderr
    assert source.read_bytes() == content


def test_mounted_target(make_loop, tmp_path):
    loop = make_loop(16 * MIB)
    run("mkfs.ext4", "-q", "-F", loop.path)
    source = write_image(tmp_path / "a", random.Random(0).randbytes(16 * MIB))
    point = tmp_path / "mounted"
    point.mkdir()
    run("mount", loop.path, point)
    before = loop.path.read_bytes()
    try:
        for words in (["copy"], ["copy", "--changed"]):
            done = blockdiff(*words, source, loop.path, expect=2)
            assert f"mounted on {point}" in done.stderr
            assert "--force" in done.stderr
        done = blockdiff("copy", source, loop.path, "-o", "json", expect=2)
        assert error_of(done)["error"] == "DeviceBusy"
        assert loop.path.read_bytes()[MIB:] == before[MIB:]
        blockdiff("verify", loop.path, source, expect=1)  # reading is always allowed
    finally:
        unmount(point)
    blockdiff("copy", source, loop.path, expect=0)


def test_held_target(make_loop, tmp_path, good):
    loop = make_loop(MIB)
    holder = os.open(loop.path, os.O_RDWR | os.O_EXCL)
    try:
        assert "exclusively" in blockdiff("copy", good, loop.path, expect=2).stderr
    finally:
        os.close(holder)
    blockdiff("copy", good, loop.path, expect=0)


# ---- lists ----

BAD_LISTS = {
    "no-json": "offset 0 length 5",
    "cut": '[{"offset":0,"length":4096},{"off',
    "binary": "\0\1\2\3",
    "unknown-shape": '{"hello": "world"}',
    "unsorted": '[{"offset":8192,"length":4096},{"offset":0,"length":4096}]',
    "overlapping": '[{"offset":0,"length":8192},{"offset":4096,"length":4096}]',
    "past-the-end": '[{"offset":0,"length":99999999}]',
    "negative": '[{"offset":-1,"length":4096}]',
    "fraction": '[{"offset":0.5,"length":4096}]',
    "huge": '[{"offset":99999999999999999999999,"length":4096}]',
    "text": '[{"offset":"0","length":"4096"}]',
}


@pytest.mark.parametrize("content", BAD_LISTS.values(), ids=BAD_LISTS)
@pytest.mark.parametrize("command", ["verify", "copy", "audit"])
@pytest.mark.parametrize("pipe", [False, True], ids=["file", "pipe"])
def test_bad_lists(tmp_path, good, command, content, pipe):
    """Bad input, and nothing was begun."""
    (tmp_path / "list").write_text(content)
    source = "-" if pipe else tmp_path / "list"
    other = tmp_path / "other"
    if command != "copy":
        write_image(other, b"x" * 100_001)
    done = blockdiff(command, good, other, "--extents", source, stdin=content if pipe else None)
    assert done.returncode in (2, 3), done.stderr
    assert done.returncode == 2 or content in (
        BAD_LISTS["unsorted"],
        BAD_LISTS["overlapping"],
        BAD_LISTS["past-the-end"],
    )
    assert ("standard input" if pipe else str(tmp_path / "list")) in done.stderr
    assert done.stdout == ""
    assert other.exists() == (command != "copy")


@pytest.mark.parametrize("kind", ["missing", "directory"])
def test_no_list(tmp_path, good, kind):
    path = tmp_path / "list"
    if kind == "directory":
        path.mkdir()
    done = blockdiff("copy", good, tmp_path / "target", "--extents", path, expect=2)
    assert str(path) in done.stderr
    assert not (tmp_path / "target").exists()


def test_list_on_a_pipe(tmp_path, good):
    changed = bytearray(good.read_bytes())
    changed[5] ^= 255
    changed[70_000] ^= 255
    other = write_image(tmp_path / "other", bytes(changed))
    listed = json.dumps([{"offset": 0, "length": 4096}, {"offset": 40960, "length": 4096}])
    done = blockdiff("verify", good, other, "--extents", "-", "-o", "json", stdin=listed, expect=1)
    assert found(json.loads(done.stdout)) == [(0, 4096, "data")]
    blockdiff("copy", good, other, "--extents", "-", stdin=listed, expect=0)
    assert other.read_bytes()[:4096] == good.read_bytes()[:4096]
    done = blockdiff("verify", good, other, "-o", "json", expect=1)
    assert found(json.loads(done.stdout)) == [(69632, 4096, "data")]


def test_many_threads_of_trouble_end_once(broken_disks):
    """Several workers meet the error; one is told."""
    done = blockdiff("verify", *broken_disks, "--workers", "8", "-o", "jsonl", expect=3)
    assert len(done.stderr.splitlines()) == 1
    assert threading.active_count() == 1
