"""Verifying by manifests, against an oracle that compares block by block."""

import os
import random

import pytest

import blockdiff
from blockdiff._fast import Extents
from blockdiff.engine.manifest import ManifestVerification, digest_device
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.registry import open_device
from blockdiff.errors import DeviceError, InvalidInput, UnsupportedOperation
from blockdiff.extent import Kind
from blockdiff.testing.faults import Fault, FaultDevice
from tests.fixtures.images import random_pair, write_image, zero_ranges
from tests.fixtures.inprocess import READS, changed_bytes, check_books, found, memory

B = 4096
MIB = 1 << 20
WAYS = ("manifest first", "manifest last", "two manifests")


def joined(parts):
    made = []
    for offset, length, kind in parts:
        if made and made[-1][2] == kind and sum(made[-1][:2]) == offset:
            made[-1] = made[-1][0], made[-1][1] + length, kind
        else:
            made.append((offset, length, kind))
    return made


def expected(a, b, way, block=B):
    """Every block that differs or cannot be compared, and the size."""
    common, parts = min(len(a), len(b)), []
    manifest_ends = {"manifest first": len(a), "manifest last": len(b)}.get(way)
    for at in range(0, common, block):
        end = min(at + block, common)
        one, other = a[at:end], b[at:end]
        if len(a) != len(b) and end % block and manifest_ends != common:
            parts.append((at, end - at, "data"))
        elif one != other:
            whole = end - at == block
            kind = "src-zero" if whole and not any(one) else "dst-zero" if whole and not any(other) else "data"
            parts.append((at, end - at, kind))
    if len(a) != len(b):
        parts.append((common, abs(len(a) - len(b)), "size"))
    return joined(parts)


def run(source, target, **options):
    report = blockdiff.verify(source, target, **options)
    check_books(report)
    return report


class Sides:
    """Two states of a volume, as devices and as manifests."""

    def __init__(self, a, b, way, block=B, algorithm="xxh3-128"):
        self.devices = a, b
        made = [digest_device(device, block_size=block, algorithm=algorithm) for device in (a, b)]
        self.pair = {"manifest first": (made[0], b), "manifest last": (a, made[1]), "two manifests": tuple(made)}[way]
        self.roots = [manifest.root for manifest in made]
        self._made = made

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in (*self._made, *self.devices):
            one.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(40))
def test_every_block_that_differs(tmp_path, seed, way):
    a, b, rng = random_pair(seed)
    devices = [
        open_device(write_image(tmp_path / name, data, zero_ranges(data, rng))) for name, data in (("a", a), ("b", b))
    ]
    with Sides(*devices, way, algorithm=rng.choice(("xxh3-128", "blake3"))) as sides:
        report = run(*sides.pair, options=ReadOptions(read=rng.choice(READS), workers=rng.choice((0, 1, 3))))
        assert found(report.differences) == expected(a, b, way)
        assert report.identical == (a == b) == (sides.roots[0] == sides.roots[1])
        assert report.method == "manifest"
        assert report.granularity == B


@pytest.mark.parametrize("way", WAYS)
def test_many_blocks_and_tasks(way):
    rng = random.Random(3)
    a = bytearray(rng.randbytes(21 * MIB + 5))
    a[4 * MIB : 9 * MIB] = bytes(5 * MIB)
    b = bytearray(a)
    for at in (0, 5 * MIB, 8 * MIB - 1, 8 * MIB, 17 * MIB, len(b) - 1):
        b[at] ^= 1
    with Sides(memory(a, [(4 * MIB, 9 * MIB)]), memory(b), way) as sides:
        report = run(*sides.pair)
        assert found(report.differences) == expected(bytes(a), bytes(b), way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("policy", ["strict", "min"])
def test_sizes(way, policy):
    a = random.Random(1).randbytes(5 * B + 100)
    for b in (a + b"x", a[:-1], a[: 5 * B], a + bytes(B), b""):
        with Sides(memory(a), memory(b), way) as sides:
            report = run(*sides.pair, size=policy)
            parts = [e for e in expected(a, b, way) if policy == "strict" or e[2] != "size"]
            assert found(report.differences) == parts
            assert report.identical == (not parts)
            assert report.identical or policy == "strict" or report.warnings


@pytest.mark.parametrize("way", WAYS)
def test_ranges(way):
    a = random.Random(1).randbytes(20 * B + 9)
    b = bytearray(a)
    for block in (0, 3, 9, 20):
        b[block * B] ^= 1
    with Sides(memory(a), memory(b), way) as sides:
        report = run(*sides.pair, offset=3 * B, length=6 * B)
        assert found(report.differences) == [(3 * B, B, "data")]
        report = run(*sides.pair, offset=10 * B)
        assert found(report.differences) == [(20 * B, 9, "data")]
        for offset, length in ((1, None), (0, 5), (B, B + 1), (21 * B, None), (-B, None)):
            with pytest.raises(InvalidInput):
                run(*sides.pair, offset=offset, length=length)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("offset", [2 * B, 4 * B])
def test_a_range_past_the_smaller_side_has_no_part_of_a_block(way, offset):
    a = random.Random(1).randbytes(5 * B)
    with Sides(memory(a), memory(a[: B + 9]), way) as sides:
        report = run(*sides.pair, offset=offset, size="min")
        assert (report.length, found(report.differences), report.skipped) == (0, [], {})
        report = run(*sides.pair, offset=offset)
        assert found(report.differences) == [(B + 9, 4 * B - 9, "size")]


@pytest.mark.parametrize("way", WAYS)
def test_lists_grow_to_whole_blocks(way):
    a = random.Random(1).randbytes(20 * B + 9)
    b = bytearray(a)
    for block in (0, 3, 9, 20):
        b[block * B] ^= 1
    listed = Extents([(100, 5), (4 * B - 1, 2), (9 * B, B), (20 * B + 8, 1)])
    with Sides(memory(a), memory(b), way) as sides:
        report = run(*sides.pair, extents=listed)
        assert [e[0] // B for e in found(report.differences)] == [0, 3, 9, 20]
        assert report.skipped["not-listed"] == 16 * B
        assert run(*sides.pair, extents=Extents([(4 * B, 5 * B)])).identical


@pytest.mark.parametrize("way", WAYS)
def test_first(way):
    with Sides(memory(bytes(40 * B)), memory(b"x" * 40 * B), way) as sides:
        report = run(*sides.pair, first=True)
        assert (report.difference_count, report.complete, report.identical) == (1, False, False)


@pytest.mark.parametrize("workers", [1, 3])
def test_what_cannot_be_read_is_never_identical(workers):
    data = random.Random(1).randbytes(9 * MIB)
    faults = [Fault(5 * MIB, 5 * MIB + 1), Fault(8 * MIB + B, 8 * MIB + B + 1)]
    with Sides(memory(data), memory(data), "manifest last") as sides:
        bad = FaultDevice(memory(data), faults=faults)
        with pytest.raises(DeviceError):
            run(bad, sides.pair[1])
        report = run(bad, sides.pair[1], options=ReadOptions(keep_going=True, workers=workers))
        assert [tuple(e)[:2] for e in report.unreadable] == [(5 * MIB, B), (8 * MIB + B, B)]
        assert not report.identical
        assert report.difference_count == 0
        report = run(sides.pair[1], bad, options=ReadOptions(keep_going=True))
        assert {e["side"] for e in report.to_dict()["unreadable"]} == {"target"}


def test_what_does_not_go_together():
    with Sides(memory(b"x" * B), memory(b"x" * B), "manifest last") as sides:
        for words, error in (
            ({"strict": True}, InvalidInput),
            ({"method": "osd-checksum"}, UnsupportedOperation),
            ({"size": "odd"}, InvalidInput),
        ):
            with pytest.raises(error):
                run(*sides.pair, **words)
        with pytest.raises(InvalidInput, match="checkpoint does not go"):
            ManifestVerification(*sides.pair, checkpoint=object())
        with pytest.raises(InvalidInput, match="one and the same"):
            run(sides.pair[1], sides.pair[1])
        for other in ({"algorithm": "blake3", "block_size": B}, {"block_size": 2 * B}):
            with (
                digest_device(memory(b"x" * B), **other) as second,
                pytest.raises(InvalidInput, match="digest --algorithm xxh3-128 --block-size 4096"),
            ):
                run(sides.pair[1], second)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(25))
def test_diff_lists_every_block_that_changed(seed, way):
    a, b, _ = random_pair(seed)
    with Sides(memory(a), memory(b), way) as sides:
        listed = changed_bytes(blockdiff.diff(*sides.pair))
        covered = bytearray(len(b))
        for offset, length, kind in listed:
            covered[offset : offset + length] = b"\1" * length
            assert kind == "data" or not any(b[offset : offset + length])
            assert offset % B == 0 or offset == len(a)
            assert offset + length <= len(b)
        for at in range(len(b)):
            assert covered[at] or a[at : at + 1] == b[at : at + 1]
        exact = sum(n for at, n, kind in expected(a, b, way) if kind != "size") + max(0, len(b) - len(a))
        assert sum(length for _, length, _ in listed) == exact


def test_diff_of_a_part():
    a = random.Random(1).randbytes(20 * B)
    b = bytearray(a + b"tail" + bytes(5 * B))
    b[0] ^= 1
    b[9 * B] ^= 1
    for way in WAYS:
        with Sides(memory(a), memory(b), way) as sides:
            listed = changed_bytes(blockdiff.diff(*sides.pair, offset=B, length=21 * B))
            assert listed[0] == (9 * B, B, "data")
            assert listed[1][0] == 20 * B
            assert listed[-1][0] + listed[-1][1] == 22 * B
            with pytest.raises(UnsupportedOperation):
                list(blockdiff.diff(*sides.pair, method="reflink"))


def test_names_of_manifests(tmp_path):
    write_image(tmp_path / "a", b"x" * 70_000)
    with blockdiff.digest(tmp_path / "a", tmp_path / "m") as manifest:
        assert manifest.facts["made_by"].startswith("blockdiff ")
        assert (manifest.origin, manifest.url) == (os.fspath(tmp_path / "a"), os.fspath(tmp_path / "m"))
    report = blockdiff.verify(tmp_path / "m", tmp_path / "a")
    assert report.identical
    assert report.extra["manifests"]["source"]["root"] == manifest.root.hex()
    assert not next(iter(blockdiff.diff(tmp_path / "m", tmp_path / "a"))).extents
    with blockdiff.open_manifest(tmp_path / "m") as again, blockdiff.digest(tmp_path / "a") as other:
        assert again.root == other.root
        assert blockdiff.verify(again, other).identical
    assert Kind.SIZE
