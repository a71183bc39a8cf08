"""Changes against a backing file: no byte left out, nothing read that the files above do not have."""

import os
import random
from itertools import pairwise
from pathlib import Path

import pytest

import blockdiff
from blockdiff.engine.diff import Diff
from blockdiff.engine.registry import open_device
from blockdiff.errors import UnsupportedOperation
from tests.fixtures import qcow2
from tests.fixtures.nbd import run

KIB, MIB = 1 << 10, 1 << 20


def changes(base, target, **options):
    """The method, (offset, length, kind) and the run."""
    with open_device(base) as one, open_device(target) as two:
        made = Diff(one, two, **options)
        found = [(e.offset, e.length, e.kind) for record in made.records() for e in record.extents]
    return made, found


def check(base, target, before=None):
    """By the chain, and right: every byte that differs is listed, zeroes are zeroes, and the extents ascend."""
    made, found = changes(base, target, require="chain")
    assert made.method == "chain"
    old = before if before is not None else open_bytes(base)
    new = qcow2.content(target)
    old = old[: len(new)] + bytes(max(0, len(new) - len(old)))
    rest = bytearray(new)
    end = 0
    for offset, length, kind in found:
        assert offset >= end
        end = offset + length
        assert kind == 0 or not any(new[offset:end])
        rest[offset:end] = old[offset:end]
    assert bytes(rest) == old
    return found


def open_bytes(path):
    text = os.fspath(path)
    return Path(text.removeprefix("file:")).read_bytes() if text.startswith("file:") else qcow2.content(text)


def test_an_overlay_against_each_file_below(tmp_path):
    base = qcow2.create(tmp_path / "base.qcow2", "4M")
    qcow2.write(base, (0, MIB, 1), (3 * MIB, MIB, 2))
    middle = qcow2.create(tmp_path / "middle.qcow2", backing=base.name)
    qcow2.write(middle, (0, 64 * KIB, 3), (3 * MIB, 64 * KIB, None))
    top = qcow2.create(tmp_path / "top.qcow2", backing=middle.name)
    qcow2.write(top, (MIB, 100 * KIB, 4))
    one = [(MIB, 128 * KIB, 0)]  # whole clusters
    assert check(middle, top) == one
    assert check(base, top) == [(0, 64 * KIB, 0), *one, (3 * MIB, 64 * KIB, 1)]
    assert check(base, middle) == [(0, 64 * KIB, 0), (3 * MIB, 64 * KIB, 1)]


def test_a_raw_base(tmp_path):
    base = tmp_path / "base.img"
    base.write_bytes(os.urandom(2 * MIB))
    top = qcow2.create(tmp_path / "top.qcow2", backing=base.name, backing_format="raw")
    qcow2.write(top, (64 * KIB, 4 * KIB, 1))
    found = check(f"file:{base}", top)
    assert sum(length for _, length, _ in found) == 64 * KIB
    # what was written to the base afterwards is in both
    with base.open("r+b") as file:
        file.seek(MIB)
        file.write(b"late" * 1000)
    assert check(f"file:{base}", top) == found


def test_known_by_what_it_is_and_not_by_its_name(tmp_path):
    base = qcow2.create(tmp_path / "base.qcow2", "1M")
    top = qcow2.create(tmp_path / "top.qcow2", backing=base.name)
    os.link(base, tmp_path / "link.qcow2")
    (tmp_path / "symbolic.qcow2").symlink_to("link.qcow2")
    (tmp_path / "d").mkdir()
    for name in ("link.qcow2", "symbolic.qcow2", "d/../base.qcow2"):
        made, _ = changes(tmp_path / name, top)
        assert made.method == "chain"
    copy = tmp_path / "d/base.qcow2"
    copy.write_bytes(base.read_bytes())
    made, found = changes(copy, top)
    assert (made.method, found, made.better) == ("content", [], "chain")
    assert "no backing file" in made.fallback
    with pytest.raises(UnsupportedOperation, match="no backing file"):
        changes(copy, top, require="chain")


def test_the_same_file_read_in_another_way_is_no_base(tmp_path):
    base = qcow2.create(tmp_path / "base.qcow2", "1M")
    top = qcow2.create(tmp_path / "top.qcow2", backing=base.name)
    with pytest.raises(UnsupportedOperation, match="another way"):
        changes(f"file:{base}", top, require="chain")
    run("qemu-img", "snapshot", "-c", "s", base)
    with pytest.raises(UnsupportedOperation, match="snapshot inside"):
        changes(f"{base}?snapshot=s", top, require="chain")
    with pytest.raises(UnsupportedOperation, match="no backing file"):
        changes(top, base, require="chain")


@pytest.mark.parametrize("method", ["fast-diff", "byte", "reflink", "cbt"])
def test_other_methods_are_refused(tmp_path, method):
    base = qcow2.create(tmp_path / "base.qcow2", "1M")
    top = qcow2.create(tmp_path / "top.qcow2", backing=base.name)
    with pytest.raises(UnsupportedOperation, match=method):
        changes(base, top, require=method)


@pytest.mark.parametrize("method", ["chain"])
def test_files_know_no_chain(tmp_path, method):
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode() * 512)
    with pytest.raises(UnsupportedOperation, match=method):
        changes(tmp_path / "a", tmp_path / "b", require=method)


@pytest.mark.parametrize(
    "sizes",
    [
        ("4M", "2M", "4M"),
        ("4M", "2M", "3M"),
        ("2M", "4M", "3M"),
        ("3M", "2M", "2M"),
        ("1M", "2M", "3M"),
        ("4M", "1M", "1M"),
    ],
    ids="-".join,
)
def test_sizes_that_differ(tmp_path, sizes):
    """Behind the end of a file in the middle the image is zeroes, whatever its base has there."""
    base = qcow2.create(tmp_path / "base.qcow2", sizes[0])
    size = int(sizes[0][:-1]) * MIB
    qcow2.write(base, (0, size, 1))
    middle = qcow2.create(tmp_path / "middle.qcow2", sizes[1], backing=base.name)
    top = qcow2.create(tmp_path / "top.qcow2", sizes[2], backing=middle.name)
    qcow2.write(top, (64 * KIB, 64 * KIB, 2))
    check(middle, top)
    check(base, top)
    check(base, middle)
    made, _ = changes(base, top)
    assert any("the sizes differ" in text for text in made.warnings) is (sizes[0] != sizes[2])


def test_an_odd_raw_base(tmp_path):
    base = tmp_path / "base.img"
    base.write_bytes(b"\7" * (MIB + 100))
    top = qcow2.create(tmp_path / "top.qcow2", "2M", backing=base.name, backing_format="raw")
    check(f"file:{base}", top)


def test_internal_snapshots_of_the_overlay(tmp_path):
    base = qcow2.create(tmp_path / "base.qcow2", "2M")
    qcow2.write(base, (0, 2 * MIB, 1))
    top = qcow2.create(tmp_path / "top.qcow2", backing=base.name)
    qcow2.write(top, (0, 4096, 2))
    run("qemu-img", "snapshot", "-c", "s", top)
    qcow2.write(top, (MIB, 4096, 3))
    made, found = changes(base, f"{top}?snapshot=s", require="chain")
    assert [e[:2] for e in found] == [(0, 64 * KIB)]
    made, found = changes(base, top, require="chain")
    assert [e[:2] for e in found] == [(0, 64 * KIB), (MIB, 64 * KIB)]
    assert made.warnings == []


def test_discarded_and_compressed_clusters(tmp_path):
    base = qcow2.create(tmp_path / "base.qcow2", "2M")
    qcow2.write(base, (0, 2 * MIB, 1))
    top = qcow2.create(tmp_path / "top.qcow2", backing=base.name)
    run("qemu-io", "-c", "write -c -P 9 0 64k", top)
    qcow2.write(top, (MIB, 64 * KIB, 4), (MIB, 64 * KIB, -1))
    assert check(base, top) == [(0, 64 * KIB, 0), (MIB, 64 * KIB, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("depth", [31, 33])
def test_deep_chains(tmp_path, depth):
    """Depths from 32 on are told as one: the changes of all that may be above the base are listed."""
    names = [tmp_path / f"{number}.qcow2" for number in range(depth + 1)]
    qcow2.create(names[0], "4M")
    for below, name in pairwise(names):
        qcow2.create(name, backing=below.name)
    for number in (0, 1, depth // 2, depth):
        qcow2.write(names[number], (number * 64 * KIB, 64 * KIB, number + 1))
    check(names[0], names[-1])
    check(names[1], names[-1])
    check(names[-2], names[-1])


@pytest.mark.parametrize("seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 30))])
def test_random_histories(tmp_path, seed):
    rng = random.Random(seed)
    options = [
        rng.choice(["cluster_size=64k", "cluster_size=4k", "cluster_size=512k", "extended_l2=on,cluster_size=128k"])
    ]
    files, size = [], 2 * MIB
    raw = rng.random() < 0.5
    for number in range(rng.randint(2, 4)):
        path = tmp_path / f"{number}.{'img' if raw and not number else 'qcow2'}"
        if number == 0 and raw:
            path.write_bytes(rng.randbytes(size))
        elif number == 0:
            qcow2.create(path, size, options=options)
        else:
            kind = "raw" if raw and number == 1 else "qcow2"
            if rng.random() < 0.3:
                size += rng.choice([-64 * KIB, 64 * KIB, 512, 300 * KIB])
            qcow2.create(path, size, backing=files[-1].name, backing_format=kind, options=options)
        if path.suffix == ".qcow2":
            writes = []
            for _ in range(rng.randint(0, 8)):
                at = rng.randrange(0, size - 512, 512)
                length = min(size - at, 512 * rng.randint(1, 400))
                writes.append((at, length, rng.choice([None, -1, 1, 2, 3])))
            qcow2.write(path, *writes) if writes else None
        files.append(path)
    top = files[-1]
    for base in files[:-1]:
        check(f"file:{base}" if base.suffix == ".img" else base, top)


def test_only_the_overlay_is_asked(tmp_path):
    """A base of a terabyte full of data, and an overlay of one cluster: nothing of the base is read."""
    base = qcow2.create(tmp_path / "base.qcow2", "1T")
    top = qcow2.create(tmp_path / "top.qcow2", backing=base.name)
    qcow2.write(top, (512 << 30, 64 * KIB, 1))
    with open_device(base) as one, open_device(top) as two:
        run_ = Diff(one, two)
        found = [e for record in run_.records() for e in record.extents]
        assert [(e.offset, e.length) for e in found] == [(512 << 30, 64 * KIB)]
        assert run_.run is None  # no bytes were read


def test_copy_of_what_changed(tmp_path):
    """The list is what brings an old copy of the base to the overlay's state."""
    base = qcow2.create(tmp_path / "base.qcow2", "2M")
    qcow2.write(base, (0, MIB, 1))
    replica = tmp_path / "replica.img"
    blockdiff.copy(base, replica)
    top = qcow2.create(tmp_path / "top.qcow2", backing=base.name)
    qcow2.write(top, (512 * KIB, MIB, 2))
    extents = [record.extents for record in blockdiff.diff(base, top, require="chain")]
    report = blockdiff.copy(top, replica, extents=extents, verify=True)
    assert report.extra["copied_bytes"] <= MIB
    assert replica.read_bytes() == qcow2.content(top)
    assert blockdiff.verify(top, replica).identical
    assert blockdiff.audit(base, top, extents).correct
