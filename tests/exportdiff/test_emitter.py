"""Writing streams: what others read, and never more than was there."""

import io
import os
import random

import pytest

import blockdiff
from blockdiff import BlockMetadataType, Extents, Record
from blockdiff.engine.output import Output
from blockdiff.engine.source import emit
from blockdiff.errors import InvalidInput, OutOfOrder, OutputError
from blockdiff.exportdiff.emitter import ExportDiffEmitter
from blockdiff.exportdiff.form import MAX_RECORD, Header
from blockdiff.exportdiff.writer import Writer
from blockdiff.testing import FaultDevice, MemoryDevice
from blockdiff.testing.emitters import Failing, Trickle
from tests.fixtures.exportdiff import Spec, applied, parse, v1
from tests.fixtures.images import random_pair, write_image


def records(device, *extents):
    return [Record(BlockMetadataType.VARIABLE_LENGTH, device.size, Extents(part)) for part in extents]


def stream(device, *extents, **names):
    out = io.BytesIO()
    emitter = ExportDiffEmitter(out, device, **names)
    emit(records(device, *extents), emitter)
    emitter.close()
    return out.getvalue()


def test_the_bytes():
    """As another encoder writes them."""
    data = b"A" * 5000 + bytes(4096 * 3) + b"B" * 1000
    spec = Spec(len(data), ((0, data[:8192]), (8192, 8192), (16384, data[16384:])), "a", "b")
    assert stream(MemoryDevice(data), [(0, len(data))], from_name="a", to_name="b") == v1(spec)


def test_nothing_changed():
    assert stream(MemoryDevice(7), [], from_name="a") == v1(Spec(7, (), "a"))
    assert stream(MemoryDevice(0), from_name="a") == v1(Spec(0, (), "a"))


def test_the_name_of_a_device_that_knows_it():
    device = MemoryDevice(7)
    device.snapshot = "monday"
    assert parse(stream(device, [])).to_name == "monday"
    assert parse(stream(device, [], to_name="other")).to_name == "other"
    assert parse(stream(device, [], to_name="")).to_name is None


def test_zeroes_are_told_and_joined():
    device = MemoryDevice(b"x" * 8192 + bytes(1 << 20))
    found = parse(stream(device, [(8192, 4096), (12288, 8192, 1)], [(20480, 4096, 2), (28672, 100, 1)])).records
    assert found == ((8192, 16384), (28672, 100))


def test_long_data_becomes_several_records():
    """rbd import-diff holds a whole record in memory."""
    data = random.Random(1).randbytes(2 * MAX_RECORD + 5)
    spec = parse(stream(MemoryDevice(data), [(1, len(data) - 1)]))
    assert all(len(content) <= MAX_RECORD for _, content in spec.records)
    assert applied(b"\0", spec)[1:] == data[1:]


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("kernel", [True, False], ids=["file", "memory"])
def test_diffs_of_random_pairs(seed, kernel, tmp_path):
    """What diff finds, applied to the base by another program, is the target."""
    a, b, _ = random_pair(seed)
    if kernel:
        pair = [blockdiff.open_device(write_image(tmp_path / name, data)) for name, data in (("a", a), ("b", b))]
    else:
        pair = [MemoryDevice(a), MemoryDevice(b)]
    out = io.BytesIO()
    emitter = ExportDiffEmitter(out, pair[1], from_name="a", to_name="b")
    emit(blockdiff.diff(*pair), emitter)
    emitter.close()
    assert applied(a, parse(out.getvalue())) == b
    for device in pair:
        device.close()


@pytest.mark.parametrize("count", [1, 7, 100, 3000])
def test_many_pieces_at_once_stay_in_order(count):
    rng = random.Random(count)
    data = bytearray(rng.randbytes(count * 8192))
    extents = [(i * 8192, 4096, rng.choice((0, 0, 1))) for i in range(count)]
    for offset, length, kind in extents:
        if kind:
            data[offset : offset + length] = bytes(length)
    spec = parse(stream(MemoryDevice(data), extents[: count // 2], extents[count // 2 :]))
    result = applied(b"", spec)
    assert all(result[offset : offset + length] == data[offset : offset + length] for offset, length, _ in extents)


@pytest.mark.parametrize("count", [1, 100])
def test_an_unreadable_range_ends_it_without_an_end(count):
    device = FaultDevice(MemoryDevice(b"x" * (count * 8192)), "r" * (2 * count - 2) + "E")
    out = io.BytesIO()
    emitter = ExportDiffEmitter(out, device)
    with pytest.raises(blockdiff.DeviceError, match="Input/output error"):
        emit(records(device, [(i * 8192, 4096) for i in range(count)]), emitter)
    emitter.close()
    assert not out.getvalue().endswith(b"e")


def test_partial_writes_lose_nothing():
    out, device = Trickle(), MemoryDevice(b"x" * 10_000)
    emit(records(device, [(0, 10_000)]), ExportDiffEmitter(out, device))
    assert bytes(out.taken) == v1(Spec(10_000, ((0, b"x" * 10_000),)))


@pytest.mark.parametrize("at", ["write", "flush"])
def test_a_full_disk_is_told(at):
    device = MemoryDevice(b"x")
    with pytest.raises(OutputError, match="No space left"):
        emit(records(device, [(0, 1)]), ExportDiffEmitter(Failing(28, at=at), device))


def test_a_terminal_is_refused():
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "wb", buffering=0) as out, pytest.raises(InvalidInput, match="terminal"):
        ExportDiffEmitter(out, MemoryDevice(1))
    os.close(ours)


def test_names_that_rbd_would_not_take():
    with pytest.raises(InvalidInput, match="longer than 4096"):
        ExportDiffEmitter(io.BytesIO(), MemoryDevice(1), from_name="ä" * 2049)
    with pytest.raises(InvalidInput, match="a whole image"):
        ExportDiffEmitter(io.BytesIO(), MemoryDevice(1), from_name="")


def test_records_of_another_size_are_refused():
    emitter = ExportDiffEmitter(io.BytesIO(), MemoryDevice(10))
    with pytest.raises(OutOfOrder, match="is of 20 bytes"):
        emitter.record(1, Record(BlockMetadataType.VARIABLE_LENGTH, 20, Extents([(0, 5)])))


@pytest.mark.parametrize("offset", [5, 95])
def test_the_writer_keeps_order_and_size(offset):
    writer = Writer(Output(io.BytesIO()), Header(None, None, 100))
    writer.data(4, memoryview(b"abc"))
    with pytest.raises(OutOfOrder):
        writer.zero(offset, 10)
