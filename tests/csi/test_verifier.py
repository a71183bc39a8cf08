import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockdiff._fast import Extents
from blockdiff.backends.file import open_device
from blockdiff.csi import emitters
from blockdiff.csi.metadata import IteratorMetadata
from blockdiff.csi.verifier import VerifierEmitter
from blockdiff.engine.source import emit
from blockdiff.errors import ContentsDoNotMatch, DeviceBusy, DeviceError, FailedToSeek, InvalidInput
from blockdiff.record import BlockMetadataType
from blockdiff.testing.faults import Fault, FaultDevice
from blockdiff.testing.memory import MemoryDevice

BLOCK = 4096
MISMATCH = "source and target device contents do not match"


def record(*ranges, capacity=0, kind=BlockMetadataType.VARIABLE_LENGTH):
    return IteratorMetadata(kind, capacity, Extents(ranges))


def memory(content, url):
    return MemoryDevice(content, url=url)


@pytest.fixture
def paths(tmp_path):
    """A volume, and what it was before: blocks 3, 9, 10 and the odd tail changed."""
    chance = random.Random(4)
    new = chance.randbytes(64 * BLOCK + 100)
    old = bytearray(new)
    for block in (3, 9, 10, 64):
        old[block * BLOCK : (block + 1) * BLOCK] = chance.randbytes(min(BLOCK, len(new) - block * BLOCK))
    (tmp_path / "source").write_bytes(new)
    (tmp_path / "target").write_bytes(old)
    return tmp_path / "source", tmp_path / "target"


WHOLE = [(3 * BLOCK, BLOCK), (9 * BLOCK, 2 * BLOCK), (64 * BLOCK, 100)]


def test_a_complete_list(paths):
    source, target = paths
    size = source.stat().st_size
    with VerifierEmitter(source, target) as emitter:
        emit([record(*WHOLE[:2], capacity=size), record(capacity=size), record(*WHOLE[2:], capacity=size)], emitter)
        assert emitter.report.identical
        assert emitter.report.warnings == []
        assert emitter.applied_bytes == 3 * BLOCK + 100
    assert target.read_bytes() == source.read_bytes()


def test_every_range_that_was_left_out_is_in_the_report(paths):
    source, target = map(str, paths)
    with VerifierEmitter(source, target) as emitter:
        with pytest.raises(ContentsDoNotMatch) as caught:
            emit([record((9 * BLOCK, BLOCK), (20 * BLOCK, BLOCK))], emitter)
        assert str(caught.value) == MISMATCH
        assert caught.value.report is emitter.report
        found = [(e.offset, e.length) for e in emitter.report.differences]
        assert found == [(3 * BLOCK, BLOCK), (10 * BLOCK, BLOCK), (64 * BLOCK, 100)]


def test_open_devices_stay_open(paths):
    with open_device(paths[0]) as source, open_device(paths[1], writable=True) as target:
        emitter = emitters.VerifierEmitter(source, target)
        emit([record(*WHOLE)], emitter)
        emitter.close()
        assert source.fileno() >= 0
        assert target.fileno() >= 0


@settings(deadline=None)
@given(
    changed=st.sets(st.integers(0, 40)),
    listed=st.sets(st.integers(0, 40)),
    step=st.integers(1, 9),
)
def test_it_says_identical_only_when_it_is(changed, listed, step):
    new = bytearray(b"n" * 41 * 512)
    old = bytearray(new)
    for block in changed:
        old[block * 512 : (block + 1) * 512] = b"o" * 512
    source, target = memory(new, "s"), memory(old, "t")
    ranges = [(block * 512, 512) for block in sorted(listed)]
    records = [record(*ranges[at : at + step]) for at in range(0, len(ranges), step)]
    emitter = VerifierEmitter(source, target)
    if changed <= listed:
        emit(records, emitter)
        assert emitter.report.identical
        assert target.data == new
    else:
        with pytest.raises(ContentsDoNotMatch):
            emit(records, emitter)
        told = {at // 512 for e in emitter.report.differences for at in range(e.offset, e.end)}
        missed = changed - listed
        assert missed <= told
        assert {block // 8 for block in told} == {block // 8 for block in missed}  # rounded outwards to 4 KiB
    assert source.data == new


def test_no_more_than_asked_is_listed():
    source = memory(b"".join(bytes([at % 2]) * BLOCK for at in range(64)), "s")
    emitter = VerifierEmitter(source, memory(bytes(64 * BLOCK), "t"), max_differences=3)
    with pytest.raises(ContentsDoNotMatch):
        emitter.done(0)
    assert (len(emitter.report.differences), emitter.report.difference_count) == (3, 32)


# ---- sizes ----


@pytest.mark.parametrize(("source", "target"), [(8192, 4096), (4096, 8192), (0, 512)])
def test_other_sizes_are_a_mismatch(source, target):
    emitter = VerifierEmitter(memory(bytes(source), "s"), memory(bytes(target), "t"))
    with pytest.raises(ContentsDoNotMatch, match=MISMATCH):
        emitter.done(0)
    assert [(e.offset, e.end) for e in emitter.report.differences] == [tuple(sorted((source, target)))]


def test_a_range_over_the_end_is_cut_and_told():
    source, target = memory(b"s" * 5000, "s"), memory(bytes(5000), "t")
    emitter = VerifierEmitter(source, target)
    emit([record((0, 4096)), record((4096, 4096))], emitter)
    assert target.data == source.data
    assert emitter.report.warnings == ["the list names 3192 bytes past the end of s (5000 bytes): they were not copied"]


def test_a_range_at_the_end_reads_nothing():
    emitter = VerifierEmitter(memory(bytes(4096), "s"), memory(bytes(4096), "t"))
    emit([record((4096, 512))], emitter)
    assert emitter.beyond_bytes == 512


def test_a_source_that_is_only_a_part_of_the_volume_is_refused():
    """Two devices that are equal as far as they reach say nothing about the rest."""
    target = memory(bytes(4096), "t")
    emitter = VerifierEmitter(memory(b"s" * 4096, "s"), target)
    with pytest.raises(InvalidInput, match="s has 4096 bytes and the snapshot's volume has 8192"):
        emit([record((0, 512), capacity=8192)], emitter)
    assert target.data == bytes(4096)


def test_a_target_that_is_only_a_part_of_the_volume_is_told():
    emitter = VerifierEmitter(memory(bytes(8192), "s"), memory(bytes(4096), "t"))
    with pytest.raises(ContentsDoNotMatch):
        emit([record(capacity=8192)], emitter)
    assert emitter.report.warnings == ["t has 4096 bytes and the volume has 8192: the rest was not compared"]


def test_seeking_past_the_source():
    emitter = VerifierEmitter(memory(bytes(4096), "/dev/source"), memory(bytes(8192), "/dev/target"))
    with pytest.raises(FailedToSeek) as caught:
        emitter.record(1, record((0, 512), (1024, 4096), (8192, 512)))
    assert str(caught.value) == (
        'failed to seek (source device("/dev/source"), offset(8192)): the device has 4096 bytes'
    )
    assert (caught.value.offset, caught.value.url) == (8192, "/dev/source")


def test_seeking_past_the_target():
    target = memory(bytes(4096), "/dev/target")
    emitter = VerifierEmitter(memory(b"x" * 16384, "/dev/source"), target)
    with pytest.raises(FailedToSeek) as caught:
        emitter.record(1, record((0, 512), (8192, 512)))
    assert str(caught.value) == (
        'failed to seek (target device("/dev/target"), offset(8192)): the device has 4096 bytes'
    )


@pytest.mark.parametrize("ranges", [[(4096, 512)], [(0, 8192)]], ids=["at-the-end", "over-the-end"])
def test_a_target_without_room(ranges, tmp_path):
    (tmp_path / "target").write_bytes(bytes(4096))
    with VerifierEmitter(memory(b"x" * 16384, "/dev/source"), tmp_path / "target") as emitter:
        with pytest.raises(DeviceError) as caught:
            emitter.record(1, record(*ranges))
        assert str(caught.value).startswith(
            f'failed to write to target device("{tmp_path}/target"): the device has 4096'
        )
    assert (tmp_path / "target").read_bytes() == bytes(4096)


# ---- trouble ----


def faulty(source_faults, target_faults):
    source = FaultDevice(memory(b"s" * 16 * BLOCK, "/dev/source"), **source_faults)
    return VerifierEmitter(source, FaultDevice(memory(b"s" * 16 * BLOCK, "/dev/target"), **target_faults))


def test_failed_to_read():
    emitter = faulty({"picture": "..E"}, {})
    emitter.record(1, record((0, 16 * BLOCK)))
    with pytest.raises(DeviceError) as caught:
        emitter.done(1)
    assert str(caught.value).startswith('failed to read from source device("/dev/source"): ')
    assert "offset 8192" in str(caught.value)
    assert (caught.value.errno, caught.value.offset, caught.value.url) == (5, 8192, "/dev/source")


def test_a_source_that_ends_early_is_no_end_of_a_range():
    emitter = faulty({"picture": "..S"}, {})
    emitter.record(1, record((0, 16 * BLOCK)))
    with pytest.raises(DeviceError, match=r'failed to read from source device\("/dev/source"\): .*ended early'):
        emitter.done(1)


@pytest.mark.parametrize(("fault", "text"), [("..W", "Input/output error"), ("..N", "No space left on device")])
def test_failed_to_write(fault, text):
    emitter = faulty({}, {"picture": fault})
    emitter.record(1, record((8192, 512)))
    with pytest.raises(DeviceError, match=rf'failed to write to target device\("/dev/target"\): .*{text}'):
        emitter.done(1)


def test_failed_to_flush():
    target = memory(bytes(4096), "/dev/target")

    def fail():
        raise DeviceError(url="/dev/target", action="flush", errno=5)

    target.flush = fail
    emitter = VerifierEmitter(memory(bytes(4096), "/dev/source"), target)
    with pytest.raises(DeviceError, match=r'failed to write to target device\("/dev/target"\): cannot flush'):
        emitter.done(0)


@pytest.mark.parametrize("side", ["source", "target"])
def test_failed_to_compare_is_no_mismatch(side):
    faults = {"faults": [Fault(8192, 8704)]}
    emitter = faulty(faults if side == "source" else {}, faults if side == "target" else {})
    with pytest.raises(DeviceError) as caught:
        emitter.done(0)
    trouble = f"cannot read /dev/{side} at offset 8192 (length 4096): Input/output error"
    texts = (trouble, "<nil>") if side == "source" else ("<nil>", trouble)
    assert str(caught.value) == (
        'error reading source and target device contents: source("{}") target("{}")'.format(*texts)
    )
    assert emitter.report is None


def test_one_device_for_both_is_refused(paths):
    with pytest.raises(InvalidInput, match="one and the same"):
        VerifierEmitter(paths[0], paths[0])


class OfSource(MemoryDevice):
    """A device that lies on the source, as a loop device does: only it can tell."""

    def refuse_if_same(self, source):
        raise DeviceBusy(f"{self.url} has storage in common with {source.url}")


def test_a_target_made_of_the_source_is_refused():
    with pytest.raises(DeviceBusy, match="t has storage in common with s"):
        VerifierEmitter(memory(bytes(BLOCK), "s"), OfSource(bytes(BLOCK), url="t"))


def test_a_missing_device(paths, tmp_path):
    with pytest.raises(DeviceError, match="cannot open"):
        VerifierEmitter(paths[0], tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_stream_that_fails_is_not_compared(paths):
    def stream():
        yield record((3 * BLOCK, BLOCK))
        raise ConnectionError

    with VerifierEmitter(*paths) as emitter:
        with pytest.raises(ConnectionError):
            emit(stream(), emitter)
        assert emitter.report is None


@pytest.mark.parametrize("count", [1, 50_000])
def test_many_small_ranges(tmp_path, count):
    size = 2 * count * 512
    chance = random.Random(1)
    new = chance.randbytes(size)
    old = bytearray(new)
    ranges = [(at * 1024, 512) for at in range(count)]
    for offset, length in ranges:
        old[offset : offset + length] = bytes(length)
    (tmp_path / "new").write_bytes(new)
    (tmp_path / "old").write_bytes(old)
    with VerifierEmitter(tmp_path / "new", tmp_path / "old") as emitter:
        emit([record(*ranges[at : at + 256], capacity=size) for at in range(0, count, 256)], emitter)
        assert emitter.report.identical


# ---- real block devices ----


def filled(loop, content):
    with loop.path.open("wb", buffering=0) as file:
        file.write(content)
        os.fsync(file.fileno())


@pytest.mark.parametrize("sector", [512, 4096])
def test_block_devices(make_loop, sector):
    new = random.Random(2).randbytes(4 << 20)
    old = bytearray(new)
    ranges = [(at * 16384 + 4096, 4096) for at in range(256)]
    for offset, length in ranges:
        old[offset : offset + length] = bytes(length)
    source, target = make_loop(4 << 20, sector), make_loop(4 << 20, sector)
    filled(source, new)
    filled(target, old)
    with VerifierEmitter(source.path, target.path) as emitter:
        with pytest.raises(ContentsDoNotMatch, match=MISMATCH):
            emit([record(*ranges[:100]), record(*ranges[101:])], emitter)
        assert [(e.offset, e.length) for e in emitter.report.differences] == [ranges[100]]
    with VerifierEmitter(source.path, target.path) as emitter:
        emit([record(ranges[100])], emitter)
        assert emitter.report.identical
    with VerifierEmitter(source.path, target.path) as emitter, pytest.raises(FailedToSeek, match=str(8 << 20)):
        emitter.record(1, record((8 << 20, 4096)))


def test_a_source_with_bad_sectors(make_loop):
    source, target = make_loop(4 << 20), make_loop(4 << 20)
    os.truncate(source.backing, 1 << 20)
    with VerifierEmitter(source.path, target.path) as emitter:
        emitter.record(1, record((0, 4096), (2 << 20, 4096)))
        with pytest.raises(DeviceError, match=rf'failed to read from source device\("{source.path}"\): .*Input/output'):
            emitter.done(1)


def test_a_target_that_loses_writes(make_loop, tmpfs_dir):
    """The file system under the target is full: the kernel tells when the pages are written."""
    backing = tmpfs_dir / "thin"
    with backing.open("wb") as file:
        file.truncate(96 << 20)
    source, target = make_loop(96 << 20), make_loop(96 << 20, backing=backing)
    filled(source, b"x" * (96 << 20))
    with VerifierEmitter(source.path, target.path) as emitter:
        with pytest.raises(DeviceError, match=rf'failed to write to target device\("{target.path}"\)'):
            emit([record((0, 96 << 20))], emitter)
        assert emitter.report is None
