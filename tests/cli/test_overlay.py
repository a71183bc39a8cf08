"""Incremental backups as links of a backing chain, as qemu-img sees them."""

import errno
import json
import os
import random
import signal
import subprocess

import pytest

import blockdiff as blockdiff_module
from blockdiff.errors import DeviceError, InvalidInput
from tests.fixtures import qcow2
from tests.fixtures.cli import blockdiff, finish, start
from tests.fixtures.nbd import children, run, until

KIB, MIB = 1 << 10, 1 << 20
OVERLAY = ("copy", "--changed", "-o", "qcow2-overlay")


@pytest.fixture
def base(tmp_path):
    path = qcow2.create(tmp_path / "sunday.qcow2", "8M")
    qcow2.write(path, (0, 6 * MIB, 1))
    return path


@pytest.fixture
def disk(base, tmp_path):
    """The disk as it is a day later."""
    path = tmp_path / "disk.img"
    data = bytearray(qcow2.content(base))
    data[MIB : MIB + 5000] = b"\2" * 5000
    data[3 * MIB : 3 * MIB + 64 * KIB] = bytes(64 * KIB)
    data[-512:] = b"\3" * 512
    path.write_bytes(data)
    return path


def holds(path, expected):
    """Right by qemu-img alone."""
    run("qemu-img", "check", path)
    run("qemu-img", "compare", "-f", "qcow2", "-F", "raw", path, expected)
    assert qcow2.content(path) == expected.read_bytes()


def allocated(path):
    return sum(length for _, length, depth, present, *_ in qcow2.mapped(path) if depth == 0 and present)


def test_a_chain_of_backups(base, disk, tmp_path):
    monday, tuesday = tmp_path / "monday.qcow2", tmp_path / "tuesday.qcow2"
    done = blockdiff(*OVERLAY, "--verify", "--base", base, disk, monday, expect=0)
    assert "verified" in done.stdout
    holds(monday, disk)
    assert allocated(monday) == 3 * 64 * KIB
    before = qcow2.content(monday)
    with disk.open("r+b") as file:
        file.seek(5 * MIB)
        file.write(b"\5" * 100)
    report = json.loads(blockdiff("copy", "--changed", "-o", "json", "--base", monday, disk, tuesday, expect=0).stdout)
    assert report["copied_bytes"] == 4 * KIB
    holds(tuesday, disk)
    assert allocated(tuesday) == 64 * KIB
    assert qcow2.content(monday) == before
    blockdiff("verify", tuesday, disk, expect=0)
    assert "method chain" in blockdiff("diff", base, tuesday, expect=0).stdout
    told = json.loads(run("qemu-img", "info", "--output=json", tuesday))
    assert (told["backing-filename"], told["backing-filename-format"]) == (str(monday), "qcow2")


def test_of_a_list(base, disk, tmp_path):
    """Only what is listed is read; what is not listed stays as in the base."""
    listed, monday = tmp_path / "list.json", tmp_path / "monday.qcow2"
    raw = tmp_path / "sunday.img"
    raw.write_bytes(qcow2.content(base))
    listed.write_text(blockdiff("diff", "-o", "json", raw, disk, expect=0).stdout)
    blockdiff("copy", "--extents", listed, "-o", "qcow2-overlay", "--base", base, disk, monday, expect=0)
    holds(monday, disk)


def test_over_a_raw_base_with_relative_names(base, disk, tmp_path):
    (tmp_path / "d").mkdir()
    raw = tmp_path / "a:b.img"
    raw.write_bytes(qcow2.content(base))
    blockdiff(*OVERLAY, "--base", "./a:b.img", disk, "d/m.qcow2", expect=0, cwd=tmp_path)
    blockdiff(*OVERLAY, "--base", "./a:b.img", disk, "n.qcow2", expect=0, cwd=tmp_path)
    for path, name in ((tmp_path / "d/m.qcow2", "../a:b.img"), (tmp_path / "n.qcow2", "./a:b.img")):
        holds(path, disk)
        told = json.loads(run("qemu-img", "info", "--output=json", path))
        assert (told["backing-filename"], told["backing-filename-format"]) == (name, "raw")


@pytest.mark.parametrize("size", ["4M", "12M"])
def test_other_sizes(base, tmp_path, size):
    disk = qcow2.create(tmp_path / "other.qcow2", size)
    qcow2.write(disk, (MIB, 4096, 9), (int(size[:-1]) * MIB - 4096, 4096, 9))
    monday = tmp_path / "monday.qcow2"
    blockdiff(*OVERLAY, "--base", base, disk, monday, expect=0)
    assert qcow2.content(monday) == qcow2.content(disk)


@pytest.mark.parametrize("seed", [*range(1), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))])
def test_random_disks(base, tmp_path, seed):
    rng = random.Random(seed)
    data = bytearray(qcow2.content(base))
    for _ in range(20):
        at, length = rng.randrange(len(data)), rng.choice([1, 512, 5000, 70_000])
        data[at : at + length] = rng.choice([bytes(length), rng.randbytes(length)])[: len(data) - at]
    disk, monday = tmp_path / "disk.img", tmp_path / "monday.qcow2"
    disk.write_bytes(data)
    blockdiff(*OVERLAY, "--verify", "--base", base, disk, monday, expect=0)
    holds(monday, disk)


def test_odd_names(base, disk, tmp_path):
    place = tmp_path / "a,b=c: \n"
    place.mkdir()
    odd = place / "x,size=1.qcow2"
    base.rename(odd)
    monday = place / "m,backing_file=y.qcow2"
    blockdiff(*OVERLAY, "--base", odd, disk, monday, expect=0)
    blockdiff("verify", monday, disk, expect=0)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["copy", "--changed", "-o", "qcow2-overlay"], "needs --base"),
        (["copy", "--base", "sunday.qcow2"], "needs --changed or --extents"),
        (["copy", "--changed", "--base", "sunday.qcow2", "--sparse", "never"], "--sparse never"),
        (["copy", "--changed", "--base", "missing.qcow2"], "missing.qcow2"),
        (["copy", "--changed", "--base", "sunday.qcow2?snapshot=x"], "as it is now"),
        (["copy", "--changed", "--base", "rbd:pool/image"], "is no file"),
        (["copy", "--from-snap", "x", "--base", "sunday.qcow2"], "do not go together"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused(base, disk, tmp_path, words, text):
    before = sorted(os.listdir(tmp_path))
    done = blockdiff(*words, disk, "monday.qcow2", cwd=tmp_path)
    assert done.returncode in (2, 3, 4)
    assert text in done.stderr
    assert sorted(os.listdir(tmp_path)) == before


def test_what_is_there_is_not_replaced(base, disk, tmp_path):
    monday = tmp_path / "monday.qcow2"
    monday.write_bytes(b"mine")
    blockdiff(*OVERLAY, "--force", "--base", base, disk, monday, expect=2)
    assert monday.read_bytes() == b"mine"


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_of_an_unfinished_one(base, disk, tmp_path, sign):
    process = start(*OVERLAY, "--rate", "1M", "--base", base, disk, tmp_path / "monday.qcow2")
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=1.5)
    process.send_signal(sign)
    process.communicate(timeout=30)
    assert sorted(os.listdir(tmp_path)) == ["disk.img", "sunday.qcow2"]


def test_a_server_that_is_killed(base, disk, tmp_path):
    process = start(*OVERLAY, "--rate", "1M", "--base", base, disk, tmp_path / "monday.qcow2")
    (server,) = until(lambda: children(process.pid), "no server")
    os.kill(server, signal.SIGKILL)
    code, _, err = finish(process)
    assert code == 3, err
    assert sorted(os.listdir(tmp_path)) == ["disk.img", "sunday.qcow2"]


def test_where_files_must_have_a_name(base, disk, tmp_path, monkeypatch):
    """Not every file system has files without one."""
    real = os.open

    def nameless(path, flags, *rest, **options):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not here")
        return real(path, flags, *rest, **options)

    monkeypatch.setattr("blockdiff.backends.image.overlay.os.open", nameless)
    monday = tmp_path / "monday.qcow2"
    report = blockdiff_module.copy(disk, monday, changed=True, base=str(base))
    assert report.complete
    holds(monday, disk)
    with pytest.raises(InvalidInput):
        blockdiff_module.copy(disk, tmp_path / "tuesday.qcow2", base=str(base))
    with pytest.raises(DeviceError):
        blockdiff_module.copy(disk, tmp_path / "none/tuesday.qcow2", changed=True, base=str(base))
    assert sorted(os.listdir(tmp_path)) == ["disk.img", "monday.qcow2", "sunday.qcow2"]
