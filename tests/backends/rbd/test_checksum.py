"""Verifying by the OSDs' checksums: the same verdict and ranges as by reading, whatever the images are made of."""

import errno
import json
import random
import signal
import threading
import time

import pytest

import blockdiff
from blockdiff import _fast, _rbd
from blockdiff._fast import Extents, Sums
from blockdiff.engine.verify import Verification
from blockdiff.errors import DeviceError, SnapshotNotFound, UnsupportedOperation
from tests import oracle
from tests.fixtures.cli import blockdiff as command
from tests.fixtures.cli import finish, start
from tests.fixtures.cli import report as run
from tests.fixtures.images import write_image
from tests.fixtures.inprocess import found, memory, verify
from tests.fixtures.rbd import MIB, scribble
from tests.fixtures.schemas import obeys

SIZE = 12 * MIB
CHUNK = 65536
METHOD = "osd-checksum"


def random_bytes(size, seed=0):
    return random.Random(seed).randbytes(size)


def flipped(data, *places):
    data = bytearray(data)
    for at in places:
        data[at] ^= 0x10
    return bytes(data)


def agree(one, other, a, b, **options):
    """The report by checksums, after its findings were those of the oracle and of reading."""
    wanted = oracle.differences(a, b, **{k: v for k, v in options.items() if k in {"granularity", "size"}})
    for method in ("content", METHOD, "auto"):
        report = verify(one, other, method=method, **options)
        assert found(report.differences) == wanted, method
        assert report.identical == (not wanted)
    assert report.method == METHOD
    checked = report.extra["checksummed_bytes"] + report.extra["fallback_bytes"]
    assert report.skipped.get(METHOD, 0) <= checked
    return report


# ---- images of one shape ----


def test_identical_images_are_not_read(ceph):
    data = random_bytes(SIZE)
    a, b = ceph.image("a", SIZE, data), ceph.image("b", SIZE, data)
    report = agree(ceph.url(a), ceph.url(b), data, data)
    assert report.bytes_read == 0
    assert report.skipped == {METHOD: SIZE}
    assert report.extra["checksummed_bytes"] == SIZE
    assert report.extra["checksum_objects"] == report.extra["checksum_operations"] == 6
    assert report.extra["fallback_bytes"] == 0


@pytest.mark.parametrize(
    "at",
    [
        pytest.param(0, id="first byte"),
        pytest.param(SIZE - 1, id="last byte"),
        pytest.param(4 * MIB - 1, id="last of an object"),
        pytest.param(4 * MIB, id="first of an object"),
        pytest.param(CHUNK - 1, id="last of a chunk"),
        pytest.param(5 * MIB + 777, id="inside"),
    ],
)
def test_one_bit(ceph, at):
    data = random_bytes(SIZE)
    other = flipped(data, at)
    a, b = ceph.image("a", SIZE, data), ceph.image("b", SIZE, other)
    report = agree(ceph.url(a), ceph.url(b), data, other)
    assert found(report.differences) == [(at // 4096 * 4096, 4096, "bit-flip")]
    assert report.bytes_read == 2 * CHUNK


def test_objects_that_are_missing_short_or_zeroes(ceph):
    """Every pair of what an object may be: missing, short at any place, full, zeroes that were written."""
    kinds = [b"", b"x", b"y" * 5000, b"y" * CHUNK, b"y" * (CHUNK + 1), b"z" * MIB, bytes(MIB), bytes(5000), b"y" * 4999]
    order, size = 20, len(kinds) ** 2 * MIB
    images, contents = [], []
    for side in (0, 1):
        spec = ceph.image("ab"[side], size, order=order)
        content = bytearray(size)
        calls = []
        for number in range(len(kinds) ** 2):
            part = kinds[number // len(kinds) if side else number % len(kinds)]
            if part:
                calls.append(("write", part, number * MIB))
                content[number * MIB : number * MIB + len(part)] = part
        ceph.on(spec, *calls, ("flush",))
        images.append(spec)
        contents.append(bytes(content))
    report = agree(ceph.url(images[0]), ceph.url(images[1]), *contents)
    assert report.extra["fallback_bytes"] <= CHUNK * size // MIB // 2
    path = write_image(ceph.cluster.directory / "file", contents[1])
    agree(ceph.url(images[0]), path, *contents)
    agree(path, ceph.url(images[0]), *reversed(contents))
    path.unlink()


def test_tails_are_compared_without_reading(ceph, tmp_path):
    size = 16 * MIB
    data = b"".join(random_bytes(n * MIB // 16 + 777, n).ljust(4 * MIB, b"\0") for n in (0, 3, 17, 40))
    a, b = ceph.image("a", size), ceph.image("b", size)
    for spec in (a, b):
        calls = [("write", data[at : at + 4 * MIB].rstrip(b"\0"), at) for at in range(0, size, 4 * MIB)]
        ceph.on(spec, *calls, ("flush",))
    assert agree(ceph.url(a), ceph.url(b), data, data).bytes_read == 0
    report = agree(ceph.url(a), write_image(tmp_path / "f", data), data, data)
    assert report.source.bytes_by_path == {}
    for place in (776, 4 * MIB + 3 * MIB // 16 + 776):
        other = flipped(data, place)
        ceph.write(b, place, other[place : place + 1])
        assert found(agree(ceph.url(a), ceph.url(b), data, other).differences)
        ceph.write(b, place, data[place : place + 1])


def test_zeroes_that_only_one_side_has_written(ceph):
    """The objects end at different places, and hold the same."""
    size, order = 8 * MIB, 20
    lengths = [1, 4096, 5000, CHUNK - 1, CHUNK + 1, 3 * CHUNK - 77, 500_001, MIB - 5]
    parts = [random_bytes(n, n).replace(b"\0", b"\1") for n in lengths]
    data = b"".join(part.ljust(MIB, b"\0") for part in parts)
    a, b = (ceph.image(name, size, order=order) for name in "ab")
    more = [700, 4096, CHUNK, 1, CHUNK - 1, 77, 3 * CHUNK, 5]
    for number, part in enumerate(parts):
        longer = part + bytes(more[number])
        first, second = (part, longer) if number % 2 else (longer, part)
        ceph.on(a, ("write", first, number * MIB), ("flush",))
        ceph.on(b, ("write", second, number * MIB), ("flush",))
    report = agree(ceph.url(a), ceph.url(b), data, data)
    assert report.bytes_read == report.extra["fallback_bytes"] == 0
    for number, part in enumerate(parts):
        for place in {0, len(part) - 1, len(part), min(len(part) + more[number] - 1, MIB - 1)}:
            at = number * MIB + place
            worse = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            ceph.write(b, at, worse[at : at + 1])
            assert not verify(ceph.url(a), ceph.url(b), method=METHOD).identical
            ceph.write(b, at, data[at : at + 1])


# ---- layouts ----

LAYOUTS = [
    pytest.param({"order": 22}, {"order": 20}, id="order"),
    pytest.param({"order": 16}, {"order": 23}, id="order far"),
    pytest.param({"order": 20, "stripe_unit": 65536, "stripe_count": 3}, {}, id="striped and plain"),
    pytest.param(
        {"order": 20, "stripe_unit": 8192, "stripe_count": 4},
        {"order": 21, "stripe_unit": 131072, "stripe_count": 5},
        id="two stripings",
    ),
    pytest.param({"order": 12}, {"order": 13}, id="small objects"),
]


@pytest.mark.parametrize(("one", "two"), LAYOUTS)
def test_layouts(ceph, one, two, tmp_path):
    size = 3 * MIB if one.get("order") == 12 else SIZE
    data = bytearray(random_bytes(size))
    data[MIB : 2 * MIB + 5000] = bytes(MIB + 5000)
    data = bytes(data)
    other = flipped(data, 1, 70_000, MIB + 1, size - 2)
    a, b = ceph.image("a", size, data, **one), ceph.image("b", size, data, **two)
    assert agree(ceph.url(a), ceph.url(b), data, data).bytes_read == 0
    ceph.write(b, 0, other)
    report = agree(ceph.url(a), ceph.url(b), data, other)
    assert 0 < report.bytes_read <= 8 * CHUNK
    agree(write_image(tmp_path / "f", data), ceph.url(b), data, other)


def test_without_object_maps(ceph):
    """The OSDs are not asked twice: what is missing is found when digests are asked for."""
    data = random_bytes(MIB).ljust(5 * MIB, b"\0") + random_bytes(MIB)
    full = data.ljust(SIZE, b"\0")
    a, b = (ceph.image(name, SIZE, features=("layering",)) for name in "ab")
    for spec in (a, b):
        ceph.on(spec, ("write", data[:MIB], 0), ("write", data[5 * MIB :], 5 * MIB), ("flush",))
    report = agree(ceph.url(a), ceph.url(b), full, full)
    assert report.bytes_read == 0
    assert report.skipped == {METHOD: SIZE}
    ceph.write(b, 9 * MIB, b"x")
    agree(ceph.url(a), ceph.url(b), full, full[: 9 * MIB] + b"x" + full[9 * MIB + 1 :])


def test_units_that_are_too_small(ceph):
    a = ceph.image("a", SIZE, b"a" * 5000, order=16, stripe_unit=2048, stripe_count=2)
    b = ceph.image("b", SIZE, b"a" * 5000)
    with pytest.raises(UnsupportedOperation, match="striped"):
        verify(ceph.url(a), ceph.url(b), method=METHOD)
    report = verify(ceph.url(a), ceph.url(b), method="auto")
    assert report.identical
    assert report.method == "content"
    assert "striped" in report.extra["method_refusal"]


@pytest.mark.parametrize(
    "sizes", [(SIZE, SIZE + MIB), (SIZE + 5 * MIB + 512, SIZE), (SIZE + 512, SIZE + 512), (5, 700)]
)
@pytest.mark.parametrize("policy", ["strict", "min"])
def test_sizes(ceph, sizes, policy):
    data = random_bytes(max(sizes))
    first, second = data[: sizes[0]], data[: sizes[1]]
    a, b = ceph.image("a", sizes[0], first), ceph.image("b", sizes[1], second)
    agree(ceph.url(a), ceph.url(b), first, second, size=policy)
    second = flipped(second, min(sizes) - 1)
    ceph.write(b, 0, second)
    agree(ceph.url(a), ceph.url(b), first, second, size=policy)


def test_namespaces_and_data_pools(ceph, ceph_ec):
    data = random_bytes(SIZE)
    other = flipped(data, 7 * MIB)
    ceph.namespace("n")
    ceph_ec.namespace("n")
    pool = ceph.new_pool()
    images = [
        ceph.url(ceph.image("a", SIZE, data, namespace="n")),
        ceph.url(ceph.image("a", SIZE, data)),
        ceph.url(ceph.image("b", SIZE, data, data_pool=pool)),
        ceph.url(ceph.image("b", SIZE, data, namespace="n", data_pool=pool)),
        ceph_ec.url(ceph_ec.image("a", SIZE, data)),
        ceph_ec.url(ceph_ec.image("a", SIZE, data, namespace="n")),
    ]
    wrong = ceph_ec.url(ceph_ec.image("wrong", SIZE, other))
    for image in images[1:]:
        assert agree(images[0], image, data, data).bytes_read == 0
    for image in images:
        agree(image, wrong, data, other)


def test_short_objects_in_an_erasure_coded_pool(ceph, ceph_ec):
    data = random_bytes(5 * MIB + 12_345)
    full = data.ljust(SIZE, b"\0")
    a, b = ceph.image("a", SIZE, data), ceph_ec.image("a", SIZE, data)
    assert agree(ceph.url(a), ceph_ec.url(b), full, full).bytes_read == 0
    ceph_ec.write(b, len(data) - 1, flipped(data, len(data) - 1)[-1:])
    agree(ceph.url(a), ceph_ec.url(b), full, flipped(full, len(data) - 1))


# ---- snapshots and clones ----


def test_snapshots_and_the_head(ceph):
    first = random_bytes(SIZE)
    spec = ceph.image("a", SIZE, first)
    one = ceph.snapshot(spec, "s1")
    ceph.discard(spec, 4 * MIB, 4 * MIB)
    ceph.write(spec, 100, b"second")
    second = first[:100] + b"second" + first[106 : 4 * MIB] + bytes(4 * MIB) + first[8 * MIB :]
    two = ceph.snapshot(spec, "s2")
    ceph.write(spec, 5 * MIB, b"third" * 3000)
    third = second[: 5 * MIB] + b"third" * 3000 + second[5 * MIB + 15_000 :]
    images = [(one, first), (two, second), (spec, third)]
    for x, a in images:
        for y, b in images:
            if x != y:
                agree(ceph.url(x), ceph.url(y), a, b)
    copy = ceph.image("copy", SIZE, first)
    assert agree(ceph.url(one), ceph.url(copy), first, first).bytes_read == 0


def test_clones(ceph):
    data = random_bytes(SIZE)
    parent = ceph.snapshot(ceph.image("parent", SIZE, data), "s")
    clone = ceph.clone(parent, "clone")
    report = agree(ceph.url(parent), ceph.url(clone), data, data)
    assert report.bytes_read == report.extra["fallback_bytes"] == 0
    assert report.extra["checksum_objects"] == 9
    ceph.write(clone, 100, b"new")
    ceph.discard(clone, 4 * MIB, 4 * MIB)
    other = data[:100] + b"new" + data[103 : 4 * MIB] + bytes(4 * MIB) + data[8 * MIB :]
    assert agree(ceph.url(parent), ceph.url(clone), data, other).extra["fallback_bytes"] == 0
    ceph.resize(clone, 7 * MIB + 512)
    ceph.resize(clone, SIZE)
    other = other[: 7 * MIB + 512].ljust(SIZE, b"\0")
    agree(ceph.url(parent), ceph.url(clone), data, other)
    ceph.on(clone, ("flatten",))
    assert agree(ceph.url(parent), ceph.url(clone), data, other).extra["fallback_bytes"] == 0


def test_the_edge_of_what_a_clone_shares_is_read(ceph):
    data = random_bytes(6 * MIB + 512)
    parent = ceph.snapshot(ceph.image("parent", len(data), data), "s")
    clone = ceph.clone(parent, "clone")
    ceph.resize(clone, SIZE)
    full = data.ljust(SIZE, b"\0")
    copy = ceph.image("copy", SIZE, data)
    report = agree(ceph.url(copy), ceph.url(clone), full, full)
    assert report.extra["fallback_reasons"] == ["1 object of a parent was read"]
    assert report.extra["fallback_bytes"] == CHUNK
    assert 0 < report.bytes_read <= 2 * CHUNK
    assert "\n1 object of a parent was read\n" in command("verify", ceph.url(copy), ceph.url(clone), expect=0).stdout
    for place in (len(data) - 1, len(data), 6 * MIB - 1, 7 * MIB, 9 * MIB):
        ceph.write(copy, place, b"!")
        worse = full[:place] + b"!" + full[place + 1 :]
        assert len(agree(ceph.url(copy), ceph.url(clone), worse, full).differences) == 1
        ceph.write(copy, place, full[place : place + 1])


def test_clones_of_clones_of_another_shape(ceph, tmp_path):
    data = random_bytes(SIZE)
    ceph.namespace("n")
    first = ceph.image("first", SIZE, data, order=18, stripe_unit=65536, stripe_count=3, namespace="n")
    second = ceph.spec("second")
    ceph.rbd("snap", "protect", ceph.snapshot(first, "s"))
    ceph.rbd("clone", f"{first}@s", second, "--object-size", "1M", "--stripe-unit", "1M", "--stripe-count", "1")
    ceph.write(second, 5 * MIB + 5, b"new")
    middle = ceph.snapshot(second, "s")
    ceph.write(second, 0, bytes(SIZE))
    clone = ceph.spec("clone")
    ceph.rbd("snap", "protect", middle)
    ceph.rbd("clone", middle, clone, "--object-size", "4M", "--stripe-unit", "4M", "--stripe-count", "1")
    ceph.write(clone, 9 * MIB, b"newer")
    wanted = data[: 5 * MIB + 5] + b"new" + data[5 * MIB + 8 : 9 * MIB] + b"newer" + data[9 * MIB + 5 :]
    assert ceph.content(clone) == wanted
    plain = ceph.image("plain", SIZE, wanted)
    for other in (ceph.url(plain), write_image(tmp_path / "f", wanted)):
        report = agree(other, ceph.url(clone), wanted, wanted)
        assert report.extra["fallback_bytes"] == 0
        assert report.target.bytes_by_path == {}
    for place in (0, 5 * MIB + 6, 9 * MIB, SIZE - 1):
        worse = flipped(wanted, place)
        ceph.write(plain, place, worse[place : place + 1])
        assert len(agree(ceph.url(plain), ceph.url(clone), worse, wanted).differences) == 1
        ceph.write(plain, place, wanted[place : place + 1])


def test_a_parent_that_cannot_be_asked_is_read(ceph):
    data = random_bytes(SIZE)
    parent = ceph.snapshot(ceph.image("parent", SIZE, data, stripe_unit=8192, stripe_count=2), "s")
    clone = ceph.spec("clone")
    ceph.rbd("snap", "protect", parent)
    ceph.rbd("clone", parent, clone, "--object-size", "4M", "--stripe-unit", "4M", "--stripe-count", "1")
    ceph.write(clone, 0, b"new")
    other = b"new" + data[3:]
    report = agree(ceph.url(ceph.image("a", SIZE, data)), ceph.url(clone), data, other)
    assert report.extra["fallback_reasons"] == ["2 objects of a parent were read"]
    assert report.extra["fallback_bytes"] == 8 * MIB


@pytest.mark.slow
def test_a_parent_that_vanishes_is_never_called_equal(ceph):
    data = random_bytes(SIZE)
    parent = ceph.snapshot(ceph.image("parent", SIZE, data), "s")
    clones = [ceph.clone(parent, "clone")]
    clones.append(ceph.spec("clone2"))
    ceph.rbd("clone", parent, clones[1])
    devices = [blockdiff.open_device(ceph.url(spec)) for spec in clones]
    run = iter(Verification(*devices, method=METHOD, options=blockdiff.ReadOptions(rate=2 * MIB)))
    ended = []

    def vanish():
        for spec in clones:
            ceph.on(spec, ("flatten",))
        ceph.rbd("snap", "unprotect", parent)
        ceph.remove_snapshot(parent)
        ended.append(True)

    thread = threading.Timer(1, vanish)
    thread.start()
    with pytest.raises((DeviceError, SnapshotNotFound)):
        list(run)
    thread.join()
    assert ended
    for device in devices:
        device.close()


# ---- options ----


def test_granularity(ceph):
    data = random_bytes(SIZE)
    other = flipped(data, 5 * MIB + 700, 9 * MIB)
    a, b = ceph.image("a", SIZE, data), ceph.image("b", SIZE, other)
    for granularity in (512, 4096, CHUNK, MIB):
        agree(ceph.url(a), ceph.url(b), data, other, granularity=granularity)


def test_ranges_and_lists(ceph):
    data = random_bytes(SIZE)
    other = flipped(data, 0, 4 * MIB + 5000, 4 * MIB + 9000, SIZE - 1)
    a, b = ceph.url(ceph.image("a", SIZE, data)), ceph.url(ceph.image("b", SIZE, other))
    everything = oracle.differences(data, other)
    for at, length in ((0, 4096), (1, SIZE - 2), (4 * MIB + 5000, 100), (4 * MIB + 8192, 3 * MIB), (SIZE, 0)):
        report = verify(a, b, method=METHOD, offset=at, length=length)
        assert found(report.differences) == oracle.differences(data, other, start=at, end=at + length)
    listed = blockdiff.Extents([(4096, 8192), (4 * MIB + 4096, 4096), (9 * MIB, MIB)])
    report = verify(a, b, method=METHOD, extents=listed)
    assert found(report.differences) == [(4 * MIB + 4096, 4096, "bit-flip")]
    assert report.skipped["not-listed"] == SIZE - listed.total()
    report = verify(a, b, method=METHOD, first=True)
    assert found(report.differences) == everything[:1]
    assert not report.complete


def test_workers_and_rate(ceph):
    data = random_bytes(SIZE)
    a, b = ceph.url(ceph.image("a", SIZE, data)), ceph.url(ceph.image("b", SIZE, data))
    assert verify(a, b, method=METHOD, workers=1).identical
    options = blockdiff.ReadOptions(rate=16 * MIB)
    assert blockdiff.verify(a, b, method=METHOD, options=options).elapsed_seconds > 0.4


class Steps:
    """Progress as it was told."""

    def __init__(self):
        self.steps = []

    def start(self, what, total):
        self.total = total

    def advance(self, done):
        self.steps.append(done)

    def finish(self):
        pass


def test_progress_while_nothing_is_read(ceph):
    data = random_bytes(SIZE)
    a, b = ceph.url(ceph.image("a", SIZE, data)), ceph.url(ceph.image("b", SIZE, data))
    steps = Steps()
    report = blockdiff.verify(a, b, method=METHOD, options=blockdiff.ReadOptions(rate=64 * MIB), progress=steps)
    assert report.bytes_read == 0
    assert steps.steps == sorted(steps.steps)
    assert len(set(steps.steps)) > 1
    assert steps.steps[-1] == steps.total


# ---- what cannot be ----


def test_demands_that_cannot_be_met(ceph, tmp_path):
    a = ceph.url(ceph.image("a", SIZE, b"a"))
    path = write_image(tmp_path / "f", b"a" + bytes(SIZE - 1))
    twin = write_image(tmp_path / "g", b"a" + bytes(SIZE - 1))
    with pytest.raises(UnsupportedOperation, match="storage"):
        verify(path, twin, method=METHOD)
    with pytest.raises(UnsupportedOperation, match="strict"):
        verify(a, path, method=METHOD, strict=True)
    with pytest.raises(UnsupportedOperation, match="neither an RBD image nor a file"):
        verify(a, memory(bytes(SIZE)), method=METHOD)
    assert verify(a, path, method="auto", strict=True).extra["method_refusal"]
    assert command("verify", path, twin, "--method", METHOD, expect=4).stderr
    assert "method_refusal" not in verify(path, twin, method="auto").extra


def test_the_command_line(ceph, tmp_path):
    data = random_bytes(SIZE)
    a, b = ceph.url(ceph.image("a", SIZE, data)), ceph.url(ceph.image("b", SIZE, flipped(data, 5)))
    value = run("verify", a, b, expect=1)
    obeys(value, "report")
    assert value["method"] == METHOD
    assert value["skipped"] == [{"reason": METHOD, "bytes": SIZE - CHUNK}]
    assert (value["checksummed_bytes"], value["fallback_bytes"], value["fallback_reasons"]) == (SIZE, 0, [])
    told = command("verify", a, b, expect=1).stdout
    assert "method osd-checksum" in told


def test_a_snapshot_that_vanishes_is_never_called_equal(ceph):
    """Its objects are missing then, as those of zeroes are."""
    data = random_bytes(SIZE)
    images = [ceph.image(name, SIZE, content) for name, content in (("a", data), ("b", flipped(data, 5)))]
    snapshots = [ceph.snapshot(spec, "s") for spec in images]
    for spec in images:
        ceph.discard(spec, 0, SIZE)
    devices = [blockdiff.open_device(ceph.url(spec)) for spec in snapshots]
    run = Verification(*devices, method=METHOD)
    for spec in snapshots:
        ceph.remove_snapshot(spec)
    with pytest.raises((DeviceError, SnapshotNotFound)):
        list(run)
    assert not run.report.identical
    for device in devices:
        device.close()


def test_a_data_pool_that_vanishes_is_never_called_equal(ceph):
    data = random_bytes(SIZE)
    pool = ceph.new_pool()
    images = [ceph.image(name, SIZE, data, data_pool=pool) for name in "ab"]
    devices = [blockdiff.open_device(ceph.url(spec)) for spec in images]
    run = Verification(*devices, method=METHOD)
    ceph.mon("osd pool delete", pool=pool, pool2=pool, yes_i_really_really_mean_it=True)
    ceph._pools.remove(pool)
    with pytest.raises(DeviceError):
        list(run)
    assert not run.report.identical
    for device in devices:
        device.close()


# ---- at random ----


@pytest.mark.parametrize("seed", range(6))
def test_random_images(ceph, tmp_path, seed):
    rng = random.Random(seed)
    size = rng.randrange(1, 9 * MIB // 512) * 512
    orders = [rng.choice([16, 18, 20, 22]) for _ in range(2)]
    a = ceph.image("a", size, order=orders[0])
    b = ceph.image("b", size, order=orders[1], **rng.choice([{}, {"stripe_unit": 16384, "stripe_count": 3}]))
    for spec in (a, b):
        scribble(ceph, spec, size, seed, count=20)
    ceph.snapshot(a, "s")
    scribble(ceph, rng.choice([a, b]), size, seed + 100, count=rng.choice([0, 1, 5]), longest=3 * 4096)
    for spec in (a, f"{a}@s"):
        one, two = ceph.content(spec), ceph.content(b)
        agree(ceph.url(spec), ceph.url(b), one, two, granularity=rng.choice([512, 4096, 1 << 17]))
        agree(write_image(tmp_path / "f", two), ceph.url(spec), two, one)


# ---- faults ----


def slow(*arguments):
    """A verify that takes some seconds, begun."""
    process = start("verify", "--method", METHOD, "--rate", "4M", "-o", "json", "--progress", "json", *arguments)
    while json.loads(process.stderr.readline()).get("bytes_done", 0) < MIB:
        assert process.poll() is None
    return process


@pytest.mark.slow
@pytest.mark.parametrize("sort", [signal.SIGKILL, signal.SIGSTOP])
def test_an_osd_is_away_for_a_while(ceph, tmp_path, sort):
    data = random_bytes(2 * SIZE)
    a, b = ceph.image("a", 2 * SIZE, data), ceph.image("b", 2 * SIZE, flipped(data, 2 * SIZE - 1))
    process = slow(ceph.url(a), ceph.url(b))
    ceph.kill_osd(signal=sort)
    if sort == signal.SIGKILL:
        ceph.start_osd()
    else:
        time.sleep(1)
        ceph.kill_osd(signal=signal.SIGCONT)
    code, out, err = finish(process, timeout=100)
    assert code == 1, err
    value = json.loads(out)
    assert value["differences"] == [{"offset": 2 * SIZE - 4096, "length": 4096, "class": "bit-flip"}]
    assert value["complete"]


@pytest.mark.slow
def test_an_osd_that_stays_away_is_no_hang_and_no_verdict(ceph):
    data = random_bytes(2 * SIZE)
    a, b = ceph.image("a", 2 * SIZE, data), ceph.image("b", 2 * SIZE, data)
    process = slow(ceph.url(a, timeout=3), ceph.url(b, timeout=3))
    ceph.kill_osd(signal=signal.SIGSTOP)
    code, out, err = finish(process, timeout=100)
    assert code in {3, 5}, err
    assert not json.loads(out)["identical"]


def test_an_interrupted_verify_ends_at_once(ceph):
    data = random_bytes(2 * SIZE)
    a, b = ceph.image("a", 2 * SIZE, data), ceph.image("b", 2 * SIZE, data)
    process = slow(ceph.url(a), ceph.url(b))
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process, timeout=30)
    assert code == 130, err
    assert not json.loads(out)["complete"]


def object_sums(device, **options):
    """The native part, on a device's head."""
    ioctx = device.opened.connection.cluster.ioctx(device.facts["data_pool"])
    return _rbd.ObjectSums(ioctx, device.facts["prefix"], 16, CHUNK, (1, 2), **options)


@pytest.mark.timeout(60)
def test_an_osd_that_does_not_answer_leaves_chunks_unknown(ceph):
    spec = ceph.image("a", SIZE, random_bytes(SIZE))
    with blockdiff.open_device(ceph.url(spec)) as device:
        sums = Sums(Extents([(0, SIZE, 1)]), 1, CHUNK)
        asker = object_sums(device, depth=2, timeout=1)
        runs = [(number, 0, 4 * MIB, 64 * number, False) for number in range(3)]
        ceph.kill_osd(signal=signal.SIGSTOP)
        asker.run(runs, sums)
        assert set(sums.lengths) == {-errno.ETIMEDOUT}
        other = object_sums(device)
        threading.Timer(0.3, other.cancel).start()
        with pytest.raises(_rbd.CephError):
            other.run(runs, sums)
        ceph.kill_osd(signal=signal.SIGCONT)
        again = object_sums(device)
        again.run(runs, sums)
        assert set(sums.lengths) == {CHUNK}
        assert (again.objects, again.operations) == (3, 3)


def test_objects_are_asked_as_few_times_as_possible(ceph):
    """Neighbours and near ones together, and the answers go where they belong."""
    data = random_bytes(4 * MIB)
    spec = ceph.image("a", SIZE, data)
    with blockdiff.open_device(ceph.url(spec)) as device:
        sums = Sums(Extents([(0, 5 * CHUNK, 1)]), 1, CHUNK)
        asker = object_sums(device)
        places = [40, 3, 2, 6, 41]
        asker.run([(0, place * CHUNK, CHUNK, index, False) for index, place in enumerate(places)], sums)
        for index, place in enumerate(places):
            part = data[place * CHUNK : (place + 1) * CHUNK]
            assert tuple(sums.values[2 * index : 2 * index + 2]) == _fast.xxh64_pair(part, (1, 2))
        assert (asker.objects, asker.operations) == (1, 2)
        for wrong in [
            (0, 1, CHUNK, 0, False),
            (0, 0, CHUNK + 1, 0, False),
            (0, 0, 6 * CHUNK, 0, False),
            (0, 0, 0, 0, 0),
        ]:
            with pytest.raises(ValueError, match="fit"):
                asker.run([wrong], sums)
