from types import SimpleNamespace

import pytest

from blockdiff._fast import Extents
from blockdiff.emitters import CollectEmitter, TeeEmitter, VerifierEmitter
from blockdiff.engine.source import emit
from blockdiff.errors import ContentsDoNotMatch, DeviceError, OutOfOrder, ShortRead
from blockdiff.record import BlockMetadataType, Record
from blockdiff.testing.emitters import records


class Memory:
    """A device in memory that counts what is written to it."""

    block_size = 512

    def __init__(self, content):
        self.data, self.size, self.url, self.writes, self.flushed = bytearray(content), len(content), "memory", [], 0

    def pread_into(self, buffer, offset):
        if offset + len(buffer) > self.size:
            raise ShortRead(url=self.url, action="read", offset=offset, length=len(buffer))
        buffer[:] = self.data[offset : offset + len(buffer)]

    def pwrite(self, data, offset):
        if offset == 13 << 20:
            raise DeviceError(url=self.url, action="write", offset=offset, errno=5)
        self.writes.append((offset, len(data)))
        self.data[offset : offset + len(data)] = data

    def flush(self):
        self.flushed += 1

    def fileno(self):
        return None

    def clone(self):
        return self

    def close(self):
        pass


def compare(source, target):
    """A naive comparison by 512 bytes."""
    found = [(at, 512) for at in range(0, source.size, 512) if source.data[at : at + 512] != target.data[at : at + 512]]
    return SimpleNamespace(identical=not found, differences=Extents(found).coalesce())


def record(*extents, capacity=0):
    return Record(BlockMetadataType.VARIABLE_LENGTH, capacity, Extents(extents))


def test_collect_keeps_all():
    collect = CollectEmitter()
    emit(records(2, 0, 3), collect)
    assert (len(collect.records), len(collect.extents), collect.complete) == (3, 5, True)


def test_tee_gives_to_each_and_stops_for_all():
    first, second = CollectEmitter(), CollectEmitter()
    emit(records(1, 1), TeeEmitter(first, second))
    assert first.extents == second.extents
    assert second.complete

    class Stop:
        def record(self, number, _record):
            raise KeyboardInterrupt

    third = CollectEmitter()
    with pytest.raises(KeyboardInterrupt):
        emit(records(1, 1), TeeEmitter(third, Stop()))
    assert (len(third.records), third.complete) == (1, False)


def test_verifier_proves_a_good_list():
    source, target = Memory(b"a" * 8192), Memory(b"a" * 4096 + b"b" * 4096)
    verifier = VerifierEmitter(source, target, compare=compare)
    emit([record((4096, 512), (4608, 512, 1)), record((5120, 3072))], verifier)
    assert verifier.report.identical
    assert target.data == source.data
    assert target.writes == [(4096, 4096)]
    assert (verifier.applied_bytes, target.flushed) == (4096, 1)


def test_verifier_reports_every_range_that_was_left_out():
    source, target = Memory(b"a" * 8192), Memory(b"b" * 8192)
    verifier = VerifierEmitter(source, target, compare=compare, check=True)
    with pytest.raises(ContentsDoNotMatch, match=r"differ in 6144 bytes .* first at offset 0 "):
        emit([record((1024, 1024)), record((4096, 1024))], verifier)
    assert [(e.offset, e.length) for e in verifier.differences] == [(0, 1024), (2048, 2048), (5120, 3072)]


def test_verifier_copies_in_bounded_chunks():
    size = (3 << 20) + 512
    source, target = Memory(b"x" * size), Memory(bytes(size))
    emit([record((0, size))], VerifierEmitter(source, target, compare=compare))
    assert target.data == source.data
    assert max(length for _, length in target.writes) <= 1 << 20


def test_verifier_stops_before_it_writes_past_a_device():
    target = Memory(bytes(1024))
    with pytest.raises(OutOfOrder, match="past the end of the smaller device, 1024"):
        emit([record((0, 512), (512, 1024))], VerifierEmitter(Memory(bytes(8192)), target, compare=compare))
    assert not target.writes


def test_verifier_passes_write_errors():
    with pytest.raises(DeviceError, match="cannot write memory at offset 13631488: Input/output error"):
        emit(
            [record((0, 16 << 20))], VerifierEmitter(Memory(bytes(16 << 20)), Memory(bytes(16 << 20)), compare=compare)
        )


def test_verifier_with_the_engine(tmp_path):
    from blockdiff.backends.file import open_device

    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"x" * 65536 + b"y" * 65536)
    b.write_bytes(bytes(131072))
    source, target = open_device(str(a)), open_device(str(b), writable=True)
    verifier = VerifierEmitter(source, target)
    emit([record((0, 65536))], verifier)
    assert [(e.offset, e.length) for e in verifier.differences] == [(65536, 65536)]
    source.close()
    target.close()
    assert b.read_bytes() == b"x" * 65536 + bytes(65536)
