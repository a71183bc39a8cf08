"""Files that were cut off, and files that only look so."""

import os

import pytest

from blockdiff.backends.image.layer import close_layers, open_layers
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
