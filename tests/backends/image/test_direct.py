"""What is read straight from the files is what QEMU reads, cluster by cluster, or is left to QEMU."""

import os
import random
import struct

import pytest

from blockdiff.backends.image import direct
from blockdiff.backends.image.layer import close_layers, open_layers
from blockdiff.engine.registry import open_device
from blockdiff.errors import InvalidInput
from tests.fixtures import qcow2
from tests.fixtures.nbd import run

KIB, MIB = 1 << 10, 1 << 20


def read(device, offset=0, length=None):
    buffer = bytearray(b"\xee" * (device.size - offset if length is None else length))
    device.pread_into(buffer, offset)
    return bytes(buffer)


def check(path, rng=None, expected=None):
    """The whole, and many ranges, against qemu-img; how much of it QEMU had to read."""
    expected = qcow2.content(path) if expected is None else expected
    rng = rng or random.Random(1)
    left = 0
    with open_device(path) as device:  # which may do without QEMU
        assert read(device) == expected
    with qcow2.by_qemu(path) as device:
        assert read(device) == expected
        for _ in range(40):
            offset = rng.randrange(len(expected))
            length = min(len(expected) - offset, rng.choice([1, 511, 4096, 70_000, MIB]))
            assert read(device, offset, length) == expected[offset : offset + length]
        if device._direct is not None:
            left = sum(e - s for s, e in device._direct.read(memoryview(bytearray(len(expected))), 0))
        else:
            left = -1
    return left


def set_entry(path, guest, value):
    """Changes the L2 entry of the cluster at ``guest``; gives the old one."""
    data = bytearray(path.read_bytes())
    cluster = 1 << int.from_bytes(data[20:24], "big")
    table = int.from_bytes(data[40:48], "big")
    number = guest // cluster
    l1 = table + number // (cluster // 8) * 8
    l2 = int.from_bytes(data[l1 : l1 + 8], "big") & 0x00FFFFFFFFFFFE00
    at = l2 + number % (cluster // 8) * 8
    old = int.from_bytes(data[at : at + 8], "big")
    struct.pack_into(">Q", data, at, value(old) if callable(value) else value)
    path.write_bytes(data)
    return old


@pytest.mark.parametrize(
    "options",
    [[], ["cluster_size=512"], ["cluster_size=4k"], ["cluster_size=2M"], ["compat=0.10"], ["preallocation=metadata"]],
    ids=str,
)
def test_plain_clusters(tmp_path, options):
    path = qcow2.create(tmp_path / "a.qcow2", 5 * MIB + 512, options=options)
    qcow2.write(path, (0, MIB, 1), (MIB + 512, 5000 // 512 * 512, 2), (3 * MIB, 512, 3), (5 * MIB, 512, 4))
    if "compat=0.10" not in options:
        qcow2.write(path, (512 * KIB, 128 * KIB, None), (768 * KIB, 64 * KIB, -1))
    assert check(path) == 0


def test_scattered_over_the_file(tmp_path):
    """Clusters that follow each other on the disk lie anywhere in the file."""
    path = qcow2.create(tmp_path / "a.qcow2", "8M", options=["cluster_size=4k"])
    order = list(range(0, 8 * MIB, 16 * KIB))
    random.Random(3).shuffle(order)
    for part in range(0, len(order), 100):
        qcow2.write(path, *((at, 16 * KIB, at // (16 * KIB) % 251 + 1) for at in order[part : part + 100]))
    assert check(path) == 0


@pytest.mark.parametrize("seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 40))])
def test_random_chains(tmp_path, seed):
    rng = random.Random(seed)
    files, size, raw = [], 2 * MIB, rng.random() < 0.5
    for number in range(rng.randint(1, 4)):
        path = tmp_path / f"{number}.{'img' if raw and not number else 'qcow2'}"
        options = [rng.choice(["cluster_size=64k", "cluster_size=4k", "cluster_size=512", "cluster_size=512k"])]
        if number == 0 and raw:
            path.write_bytes(rng.randbytes(size + rng.choice([0, 100, -100])))
        elif number == 0:
            qcow2.create(path, size, options=options)
        else:
            size += rng.choice([0, 0, -64 * KIB, 300 * KIB, 512])
            kind = "raw" if raw and number == 1 else "qcow2"
            qcow2.create(path, size, backing=files[-1].name, backing_format=kind, options=options)
        files.append(path)
        if path.suffix == ".qcow2":
            for _ in range(rng.randint(0, 6)):
                at = rng.randrange(0, size - 512, 512)
                length = min(size - at, 512 * rng.randint(1, 400))
                qcow2.write(path, (at, length, rng.choice([None, -1, 1, 2, 3])))
            if rng.random() < 0.3:
                at = rng.randrange(0, size - MIB, MIB)
                run("qemu-io", "-c", f"write -c -P 9 {at} 64k", path, check=False)  # big clusters refuse it
            if rng.random() < 0.3:
                run("qemu-img", "snapshot", "-c", "s", path)
                qcow2.write(path, (0, 4096, 7))
    if files[-1].suffix == ".qcow2":
        check(files[-1], rng)


def test_a_compressed_cluster_is_left_to_qemu(tmp_path):
    path = qcow2.create(tmp_path / "a.qcow2", "600M")
    qcow2.write(path, (0, MIB, 1), (550 * MIB, 64 * KIB, 2))
    run("qemu-io", "-c", "write -c -P 9 560M 64k", path)
    with open_device(path) as device:
        assert device._direct is not None
        assert read(device, 560 * MIB - 4096, 128 * KIB) == bytes(4096) + b"\x09" * 64 * KIB + bytes(60 * KIB)
        rest = device._direct.read(memoryview(bytearray(128 * KIB)), 560 * MIB - 4096)
        assert rest == [(4096, 4096 + 64 * KIB)]


@pytest.mark.parametrize(
    "options", [("-c",), ("-o", "extended_l2=on,cluster_size=128k"), ("-o", "data_file=d.raw")], ids=["c", "l2", "data"]
)
def test_other_kinds_are_qemus(tmp_path, options, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = bytes(range(1, 256)) * 4112 + bytes(MIB - 255 * 4112)
    path = qcow2.of(data, tmp_path / "a.qcow2", "qcow2", *options)
    assert check(path, expected=data) == -1


def test_snapshots_and_shared_ones_are_qemus(tmp_path):
    path = qcow2.create(tmp_path / "a.qcow2", "1M")
    run("qemu-img", "snapshot", "-c", "s", path)
    for url in (f"{path}?snapshot=s", f"{path}?force-share=on"):
        with open_device(url) as device:
            assert device._direct is None
            assert device.driver is not None


@pytest.mark.parametrize(
    "change",
    [lambda e: e | 1 << 57, lambda e: e | 1 << 3, lambda e: e + 512, lambda e: e | 1 << 62],
    ids=["reserved", "low", "misaligned", "compressed"],
)
def test_what_is_not_as_it_should_be_is_qemus(tmp_path, change):
    """Its error, or its reading; never ours."""
    path = qcow2.create(tmp_path / "a.qcow2", "1M")
    qcow2.write(path, (0, MIB, 1))
    set_entry(path, 128 * KIB, change)
    with open_device(f"{path}") as device:
        if device._direct is not None:
            rest = device._direct.read(memoryview(bytearray(256 * KIB)), 64 * KIB)
            assert rest == [(64 * KIB, 128 * KIB)]


def test_behind_the_end_of_the_file(tmp_path):
    """A cluster that was never written out is QEMU's to judge."""
    path = qcow2.create(tmp_path / "a.qcow2", "1M")
    qcow2.write(path, (0, 4096, 1))
    os.truncate(path, path.stat().st_size - 60 * KIB)
    layers = open_layers(str(path), "qcow2")
    reader = direct.open_direct(layers)
    assert reader.read(memoryview(bytearray(8 * KIB)), 0) == [(0, 8 * KIB)]
    assert reader.read(memoryview(bytearray(4 * KIB)), 0) == []
    close_layers(layers)
    with pytest.raises(InvalidInput, match="cut off"):
        check(path)


def test_an_image_that_grew_before_it_was_locked(tmp_path):
    """Behind the size of before there would be zeroes."""
    path = qcow2.create(tmp_path / "a.qcow2", "1M")
    layers = open_layers(str(path), "qcow2")
    assert direct.open_direct(layers) is not None
    run("qemu-img", "resize", "-q", path, "2M")
    assert direct.open_direct(layers) is None
    close_layers(layers)


def test_tables_that_are_forgotten_are_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(direct, "_CACHE", 1024)
    path = qcow2.create(tmp_path / "a.qcow2", "2M", options=["cluster_size=512"])
    qcow2.write(path, *((at, 512, at // 4096 % 250 + 1) for at in range(0, 2 * MIB, 8192)))
    assert check(path) == 0
