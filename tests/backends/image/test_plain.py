"""Plain qcow2 files are read without QEMU: what is found in them is what QEMU reads, and its locks are kept."""

import contextlib
import json
import os
import random
import struct
import subprocess
import tracemalloc

import pytest

import blockdiff
from blockdiff._fast import Places
from blockdiff.backends.image.layer import close_layers, open_layers
from blockdiff.backends.image.plain import PlainDevice
from blockdiff.backends.image.tables import places_of
from blockdiff.engine.registry import open_device
from blockdiff.errors import BlockdiffError, DeviceBusy, DeviceError, InvalidInput, ShortRead, UnsupportedOperation
from tests.backends.image.test_direct import set_entry
from tests.fixtures import cli, qcow2
from tests.fixtures.inprocess import verify
from tests.fixtures.nbd import run

KIB, MIB = 1 << 10, 1 << 20
SIZE = 6 * MIB + 512


def scattered(path, seed, cluster="4k", writes=60):
    """An image whose clusters lie anywhere in its file, and what is on its disk."""
    qcow2.create(path, SIZE, options=[f"cluster_size={cluster}"])
    rng, disk = random.Random(seed), bytearray(SIZE)
    words = []
    for _ in range(writes):
        at = rng.randrange(SIZE // 512) * 512
        length = min(SIZE - at, rng.choice([512, 4096, 8192, 65536, 300 * KIB]))
        fill = rng.choice([0, 1, 2, 255])
        zero = rng.random() < 0.2
        words.append(f"write -z {at} {length}\n" if zero else f"write -P {fill} {at} {length}\n")
        disk[at : at + length] = bytes(length) if zero else bytes([fill]) * length
    run("qemu-io", "-f", "qcow2", path, stdin="".join(words) + "quit\n")
    return bytes(disk)


def is_plain(path):
    with open_device(path) as device:
        return isinstance(device, PlainDevice)


def blocks(a, b, grain):
    return [at for at in range(0, len(a), grain) if a[at : at + grain] != b[at : at + grain]]


@pytest.mark.parametrize("cluster", ["4k", "64k", "2M"])
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_every_byte_is_compared(tmp_path, cluster, seed):
    """Against a raw disk and against another layout of the same disk, with granules larger than clusters."""
    image = tmp_path / "a.qcow2"
    disk = scattered(image, seed, cluster)
    assert qcow2.content(image) == disk
    assert is_plain(image)
    run("qemu-img", "convert", "-O", "qcow2", "-o", "cluster_size=64k", image, tmp_path / "b.qcow2")
    changed, rng = bytearray(disk), random.Random(seed)
    for at in [0, SIZE - 1, *(rng.randrange(SIZE) for _ in range(30))]:
        changed[at] ^= 1 << rng.randrange(8)
    (tmp_path / "same.img").write_bytes(disk)
    (tmp_path / "other.img").write_bytes(changed)
    for grain in (512, 4096, MIB):
        for read in ("auto", "buffered"):
            for other in ("b.qcow2", "same.img"):
                assert verify(image, tmp_path / other, granularity=grain, read=read).identical
                assert verify(tmp_path / other, image, granularity=grain, read=read).identical
            for pair in ((image, "other.img"), ("other.img", image), (tmp_path / "b.qcow2", "other.img")):
                report = verify(tmp_path / pair[0], tmp_path / pair[1], granularity=grain, read=read)
                found = {at for e in report.differences for at in range(e.offset, e.end, grain)}
                assert sorted(found) == blocks(disk, changed, grain), (grain, read, pair)


def test_past_the_page_cache(tmp_path):
    """What is not cached is read by O_DIRECT, at the places of the file."""
    image = tmp_path / "a.qcow2"
    disk = scattered(image, 7, "64k")
    (tmp_path / "same.img").write_bytes(disk)
    for path in (image, tmp_path / "same.img"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    report = verify(image, tmp_path / "same.img")
    assert report.identical
    assert set(report.source.bytes_by_path) <= {"direct", "buffered"}


def test_what_is_allocated_is_what_qemu_says(tmp_path):
    image = tmp_path / "a.qcow2"
    scattered(image, 5)
    ours = json.loads(cli.blockdiff("map", "-o", "qemu", image, expect=0).stdout)
    theirs = json.loads(run("qemu-img", "map", "--output=json", image))
    assert covered(ours) == covered(theirs)
    assert cli.blockdiff("map", "-v", image, expect=0)


def covered(items):
    return {at for e in items if e["data"] for at in range(e["start"], e["start"] + e["length"], 512)}


def test_no_qemu_is_needed_and_the_report_says_so(tmp_path):
    image = tmp_path / "a.qcow2"
    (tmp_path / "a.img").write_bytes(scattered(image, 3))
    env = {**os.environ, "PATH": "/nowhere"}
    done = cli.blockdiff("verify", "-o", "json", image, tmp_path / "a.img", expect=0, env=env)
    assert json.loads(done.stdout)["source"]["made_of"] == [f"{image} (qcow2, read without qemu-nbd)"]


@pytest.mark.parametrize(
    "options",
    [["-o", "compat=0.10"], ["-o", "preallocation=metadata"], ["-o", "extended_l2=on"], ["-o", "lazy_refcounts=on"]],
    ids=str,
)
def test_kinds_of_images(tmp_path, options):
    """Some are plain, some are QEMU's; all are read right."""
    image = tmp_path / "a.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", *options, image, "3M")
    run("qemu-io", "-f", "qcow2", image, stdin="write -P 7 64k 100k\nquit\n")
    with open_device(image) as device:
        plain = isinstance(device, PlainDevice)
        data = bytearray(device.size)
        device.pread_into(data, 0)
    assert bytes(data) == qcow2.content(image)
    assert plain == (options[1] in ("compat=0.10", "lazy_refcounts=on"))


FORGED = {
    "compressed": 1 << 62 | 65536,
    "reserved bit": 1 << 60 | 65536,
    "low bit": 1 << 63 | 65536 * 5 | 2,
    "not at a cluster": 1 << 63 | 65536 * 5 | 512,
}


@pytest.mark.parametrize("name", FORGED)
def test_an_entry_that_is_not_plain_is_left_to_qemu(tmp_path, name):
    image = qcow2.create(tmp_path / "a.qcow2", 3 * MIB)
    qcow2.write(image, (0, 3 * MIB, 1))
    assert is_plain(image)
    set_entry(image, MIB, FORGED[name])
    with contextlib.suppress(DeviceError, InvalidInput):  # QEMU, or our check of the file, refuses it
        assert not is_plain(image)


@pytest.mark.parametrize("what", ["backing", "snapshot", "dirty", "corrupt", "unknown", "elsewhere"])
def test_an_image_that_is_not_plain_is_left_to_qemu(tmp_path, what):
    image = qcow2.create(tmp_path / "a.qcow2", 3 * MIB)
    qcow2.write(image, (0, MIB, 1))
    if what == "snapshot":
        run("qemu-img", "snapshot", "-c", "s", image)
    elif what == "backing":
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", tmp_path / "b.qcow2")
        image = tmp_path / "b.qcow2"
    else:
        with image.open("r+b") as file:
            file.seek(95 if what == "elsewhere" else 79)  # the data file's bit is lost, that it is raw is not
            file.write(bytes([{"dirty": 1, "corrupt": 2, "unknown": 128, "elsewhere": 2}[what]]))
    if what in ("unknown", "elsewhere"):
        with pytest.raises(DeviceError):
            open_device(image)
    else:
        assert not is_plain(image)


def test_a_machine_that_writes_is_seen(tmp_path):
    """Both ways: what is open for writing is refused, and what we read cannot be opened for writing."""
    image = qcow2.create(tmp_path / "a.qcow2", 3 * MIB)
    qcow2.write(image, (0, MIB, 1))
    with subprocess.Popen(
        ["qemu-io", "-f", "qcow2", image], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as machine:
        machine.stdin.write("write -P 9 0 512\n")
        machine.stdin.flush()
        machine.stdout.readline()
        with pytest.raises(DeviceBusy, match="in use"):
            open_device(image)
        machine.stdin.write("quit\n")
    with open_device(image) as device:
        assert isinstance(device, PlainDevice)
        done = subprocess.run(
            ["qemu-io", "-f", "qcow2", "-c", "write 0 512", image], capture_output=True, text=True, check=False
        )
        assert "lock" in done.stderr
        with open_device(image) as again, device.clone() as twin:  # readers do not mind each other
            assert again.size == twin.size == 3 * MIB
        run("qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", image, image)
    run("qemu-io", "-f", "qcow2", "-c", "write 0 512", image)


def test_a_device(tmp_path):
    image = qcow2.create(tmp_path / "a.qcow2", 3 * MIB)
    qcow2.write(image, (0, MIB, 1))
    with open_device(image) as device:
        assert device.fileno() is None
        assert device.changes() == ""
        with pytest.raises(ShortRead):
            device.pread_into(bytearray(1024), 3 * MIB - 512)
        (tmp_path / "a.img").write_bytes(bytes(3 * MIB))
        status = os.stat(image)
        with open(image, "r+b") as file:
            file.write(b"QFI")
        os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert "modified" in device.changes()
        with pytest.raises(UnsupportedOperation, match="--read mmap"):
            blockdiff.verify(device, tmp_path / "a.img", options=blockdiff.ReadOptions(read="mmap"))
        with pytest.raises(UnsupportedOperation):
            device.changes_since(device, 0, 512)
    with pytest.raises(DeviceError, match="closed"):
        device.pread_into(bytearray(512), 0)


def test_an_empty_disk(tmp_path):
    qcow2.create(tmp_path / "a.qcow2", 0)
    (tmp_path / "a.img").touch()
    assert verify(tmp_path / "a.qcow2", tmp_path / "a.img").identical


def table(*entries, cluster=4096):
    return b"".join(entry.to_bytes(8, "big") for entry in entries).ljust(cluster, b"\0")


def test_places():
    places = Places(10 * 4096 - 512)
    assert places.add_table(table(8192 | 1 << 63, 12288, 1, 1 << 63, 4096 * 9), 4096, 3, 1 << 20)
    assert places.pieces(0, places.size) == [
        (0, 8192, 8192),
        (8192, 8192, -1),
        (16384, 4096, 36864),
        (20480, 19968, -1),
    ]
    assert [tuple(e) for e in places.extents(4096, 20480)] == [(4096, 4096, 0), (8192, 8192, 2), (16384, 4096, 0)]
    assert (places.end, places.data, len(places)) == (places.size, 12288, 4)
    for bad in (8192 | 2, 1 << 62 | 8192, 1 << 56 | 8192, 8192 | 512, 1 << 21):
        assert not Places(4096).add_table(table(bad), 4096, 3, 1 << 20), bad
    assert not Places(4096).add_table(table(1), 4096, 2, 1 << 20)
    with pytest.raises(InvalidInput):
        Places(4096).add_table(b"", 4096, 3, 1 << 20)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_damaged_tables(tmp_path, seed):
    """Whatever bits of a header or a table are flipped: what we read by ourselves is what QEMU reads, or it refuses."""
    image = tmp_path / "a.qcow2"
    scattered(image, seed, "4k", writes=8)
    good, rng, plain = image.read_bytes(), random.Random(seed), 0
    places = [0, int.from_bytes(good[40:48], "big")]
    places.append(int.from_bytes(good[places[1] : places[1] + 8], "big") & 0x00FFFFFFFFFFFE00)
    for _ in range(15 if seed == 1 else 150):
        bad, at = bytearray(good), rng.choice(places)
        for _ in range(rng.choice((1, 1, 2))):
            bad[at + rng.randrange(104 if not at else 4096 if at == places[2] else 16)] ^= 1 << rng.randrange(8)
        image.write_bytes(bad)
        with contextlib.suppress(BlockdiffError), open_device(image) as device:
            if isinstance(device, PlainDevice):
                data = bytearray(device.size)
                device.pread_into(data, 0)
                plain += 1
                with contextlib.suppress(RuntimeError):  # QEMU refuses more headers than we do
                    assert bytes(data) == qcow2.content(image)
    assert plain


def test_a_size_that_needs_gigabytes_of_tables(tmp_path):
    """A forged header is no reason to ask for so much memory; QEMU says what is wrong."""
    path = qcow2.create(tmp_path / "a.qcow2", "1M", options=["cluster_size=4096"])
    with path.open("r+b") as file:
        file.seek(24)
        file.write(struct.pack(">Q", (1 << 53) - (1 << 30)))
        file.seek(36)
        file.write(struct.pack(">I", 0xFFFFFFFF))
        file.truncate(40 << 30)
    (layer,) = open_layers(str(path), "qcow2")
    tracemalloc.start()
    try:
        assert places_of(layer) is None
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
        close_layers([layer])
