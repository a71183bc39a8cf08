"""Files that were cut off, and files that only look so."""

import contextlib
import os
import struct
import time

import pytest

from blockdiff.backends.image.layer import close_layers, open_layers
from blockdiff.backends.image.qcow2 import snapshots
from blockdiff.backends.image.whole import refuse_cut_off
from blockdiff.errors import InvalidInput
from tests.fixtures import qcow2
from tests.fixtures.nbd import run

KIB = 1 << 10


def check(path):
    layers = open_layers(str(path), "qcow2")
    try:
        refuse_cut_off(layers[0], layers[0].then.st_size)
    finally:
        close_layers(layers)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["cluster_size=512"],
        ["cluster_size=2M"],
        ["refcount_bits=1"],
        ["refcount_bits=64"],
        ["compat=0.10"],
        ["extended_l2=on"],
        ["preallocation=metadata"],
        ["preallocation=full"],
        ["lazy_refcounts=on"],
    ],
    ids=str,
)
def test_whole_files_pass_and_cut_ones_do_not(tmp_path, options):
    path = qcow2.create(tmp_path / "a.qcow2", "3M", options=options)
    check(path)
    qcow2.write(path, (0, 64 * KIB, 1), (2048 * KIB, 100 * KIB, 2), (2900 * KIB, 512, 3))
    check(path)
    if "refcount_bits=1" not in options:
        run("qemu-img", "snapshot", "-c", "s", path)
        check(path)
    whole = path.read_bytes()
    cluster = qcow2.cluster(path)
    last = len(whole) // cluster * cluster
    for length in (last // 2, last - cluster, cluster):
        os.truncate(path, length)
        if qcow2.content(path) != qcow2.content_of(whole, tmp_path / "whole.qcow2"):
            with pytest.raises(InvalidInput, match="cut off"):
                check(path)
        path.write_bytes(whole)


def test_compressed(tmp_path):
    path = qcow2.of(os.urandom(1 << 20), tmp_path / "a.qcow2", "qcow2", "-c")
    check(path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(InvalidInput, match="cut off"):
        check(path)


@pytest.mark.parametrize(
    ("options", "lost"), [(["refcount_bits=1"], 3 * 64 * KIB), (["refcount_bits=2"], 64 * KIB), ([], 512), ([], 60000)]
)
def test_the_last_clusters_and_parts_of_one(tmp_path, options, lost):
    """Counts of less than a byte tell of several clusters; a cluster may be there in part."""
    path = qcow2.create(tmp_path / "a.qcow2", "4M", options=options)
    qcow2.write(path, (0, 1 << 20, 7))
    check(path)
    os.truncate(path, path.stat().st_size - lost)
    assert qcow2.content(path)[: 1 << 20] != b"\7" * (1 << 20)
    with pytest.raises(InvalidInput, match="cut off"):
        check(path)


def test_a_part_of_a_compressed_cluster(tmp_path):
    path = qcow2.of(bytes(range(256)) * 64 + os.urandom(48 << 10), tmp_path / "a.qcow2", "qcow2", "-c")
    check(path)
    os.truncate(path, path.stat().st_size - 512)
    with pytest.raises(InvalidInput, match="cut off"):
        check(path)


def test_the_last_cluster_may_be_there_as_far_as_the_disk_goes(tmp_path):
    """Behind that there is nothing to lose; so too in an extended one, which QEMU writes in pieces."""
    path = qcow2.create(tmp_path / "a.qcow2", str(64 * KIB + 512))
    qcow2.write(path, (64 * KIB, 512, 7))
    check(path)
    os.truncate(path, path.stat().st_size - 64 * KIB + 512)
    check(path)
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(InvalidInput, match="cut off"):
        check(path)
    other = qcow2.create(tmp_path / "b.qcow2", "1M", options=["extended_l2=on"])
    qcow2.write(other, (0, 4 * KIB, 7))
    assert other.stat().st_size % qcow2.cluster(other)
    check(other)
    os.truncate(other, other.stat().st_size - 512)
    with pytest.raises(InvalidInput, match="cut off"):
        check(other)


def test_counts_that_were_not_written(tmp_path):
    """An image that was not closed says so, and that its reference counts are of before."""
    path = qcow2.create(tmp_path / "a.qcow2", "4M")
    qcow2.write(path, (0, 1 << 20, 7))
    data = bytearray(path.read_bytes())
    block = struct.unpack_from(">Q", data, struct.unpack_from(">Q", data, 48)[0])[0]
    data[block + 10 : block + 64 * KIB] = bytes(64 * KIB - 10)
    path.write_bytes(data[: -(128 * KIB)])
    check(path)
    data[79] |= 1
    path.write_bytes(data)
    check(path)
    path.write_bytes(data[: -(128 * KIB)])
    with pytest.raises(InvalidInput, match="cut off"):
        check(path)


def test_a_snapshot_inside_that_was_cut_off(tmp_path):
    path = qcow2.create(tmp_path / "a.qcow2", "4M")
    qcow2.write(path, (0, 64 * KIB, 7))
    run("qemu-img", "snapshot", "-c", "early", path)
    qcow2.write(path, (0, 64 * KIB, 8))
    run("qemu-img", "snapshot", "-c", "late", path)
    run("qemu-img", "snapshot", "-a", "early", path)
    data = path.read_bytes()
    (layer,) = open_layers(str(path), "qcow2")
    found = {s.name: s for s in snapshots(layer.read, layer.header, "a")}
    table = struct.unpack_from(">Q", data, found["late"].l1_table)[0] & 0x00FFFFFFFFFFFE00
    cluster = struct.unpack_from(">Q", data, table)[0] & 0x00FFFFFFFFFFFE00
    assert data[cluster : cluster + 64 * KIB] == b"\x08" * (64 * KIB)
    for snapshot in (None, *found.values()):
        refuse_cut_off(layer, len(data), snapshot)
    for snapshot in (None, found["early"]):
        refuse_cut_off(layer, cluster, snapshot)
    with pytest.raises(InvalidInput, match="cut off"):
        refuse_cut_off(layer, cluster, found["late"])
    close_layers([layer])


def test_what_nobody_uses_may_be_missing(tmp_path):
    """A crash leaves clusters that are counted and not used."""
    path = qcow2.create(tmp_path / "a.qcow2", "3M")
    qcow2.write(path, (0, 64 * KIB, 1), (64 * KIB, 64 * KIB, 2))
    length = path.stat().st_size
    data = bytearray(path.read_bytes())
    l1 = int.from_bytes(data[40:48], "big")
    l2 = int.from_bytes(data[l1 : l1 + 8], "big") & 0x00FFFFFFFFFFFE00
    data[l2 + 8 : l2 + 16] = bytes(8)
    path.write_bytes(data)
    os.truncate(path, length - 64 * KIB)
    check(path)


@pytest.mark.parametrize("raw", ["on", "off"])
def test_a_data_file_that_was_cut_off(tmp_path, raw):
    image, data = tmp_path / "a.qcow2", tmp_path / "a.data"
    options = f"data_file={data},data_file_raw={raw}"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, image, "4M")
    qcow2.write(image, (2 << 20, 1 << 20, 7))
    check(image)
    whole = data.read_bytes()
    os.truncate(data, 2 << 20)
    with pytest.raises(InvalidInput, match=r"the data file of .* is cut off"):
        check(image)
    os.truncate(data, 0)
    with pytest.raises(InvalidInput, match=r"the data file of .* is cut off"):
        check(image)
    data.write_bytes(whole)
    check(image)


@pytest.mark.parametrize("kind", ["vmdk", "vdi"])
def test_other_formats_that_were_cut_off(tmp_path, kind):
    """QEMU opens these without a word, and reads zeroes."""
    path = tmp_path / f"a.{kind}"
    run("qemu-img", "create", "-q", "-f", kind, path, "8M")
    close_layers(open_layers(str(path), kind))
    run("qemu-io", "-f", kind, "-c", "write -P 7 2M 4M", path)
    close_layers(open_layers(str(path), kind))
    os.truncate(path, path.stat().st_size - (2 << 20))
    with pytest.raises(InvalidInput, match="is cut off"):
        open_layers(str(path), kind)


def test_tables_that_are_named_very_often_are_read_once(tmp_path):
    """A small file can say that it has terabytes of tables."""
    path = tmp_path / "a.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", path, "1M")
    qcow2.write(path, (0, 4096, 7))
    data = bytearray(path.read_bytes())
    (l1,) = struct.unpack_from(">Q", data, 40)
    entry = data[l1 : l1 + 8]
    count = 1 << 10
    data += bytes(-len(data) % (2 << 20)) + entry * count
    struct.pack_into(">IQ", data, 36, count, len(data) - 8 * count)
    struct.pack_into(">Q", data, 24, 1 << 50)
    path.write_bytes(data)
    layers = open_layers(str(path), "qcow2")
    before = time.process_time()
    with contextlib.suppress(InvalidInput):
        refuse_cut_off(layers[0], 1 << 20)
    assert time.process_time() - before < 5
    close_layers(layers)
