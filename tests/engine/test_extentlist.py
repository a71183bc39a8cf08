import io
import os
import threading

import pytest

from blockdiff.engine.extentlist import read_extents
from blockdiff.engine.stream import concatenate
from blockdiff.errors import InvalidInput, OutOfOrder
from blockdiff.record import BlockMetadataType
from tests.native.oracle import tuples

LISTER = b'[{"block_metadata_type":2,"volume_capacity_bytes":65536,"block_metadata":[{"size_bytes":4096},%s]}]'
GOOD = LISTER % b'{"byte_offset":8192,"size_bytes":4096}'
NBD = (
    b'[{"offset":0,"length":512,"type":3,"description":"hole,zero"},'
    b'{"offset":512,"length":512,"type":2,"description":"zero"}]'
)


@pytest.fixture
def pipe():
    """A pipe that a thread fills; standard input is often one."""
    ends = []

    def make(text):
        reader, writer = os.pipe()
        ends.append(thread := threading.Thread(target=lambda: (os.write(writer, text), os.close(writer))))
        thread.start()
        return os.fdopen(reader, "rb")

    yield make
    for thread in ends:
        thread.join()


def test_a_file(tmp_path):
    path = tmp_path / "list.json"
    path.write_bytes(GOOD)
    with read_extents(path) as listed:
        assert (listed.format, listed.capacity, listed.type) == ("lister", 65536, BlockMetadataType.VARIABLE_LENGTH)
        assert tuples(concatenate(listed)) == [(0, 4096, 0), (8192, 4096, 0)]
        assert listed.count == 2


def test_holes_are_not_changes_but_zeroes_are():
    assert tuples(concatenate(read_extents(io.BytesIO(NBD)))) == [(512, 512, 1)]
    assert tuples(concatenate(read_extents(io.BytesIO(NBD), holes=True))) == [(0, 512, 2), (512, 512, 1)]


def test_iterations_are_independent():
    text = b"".join(b'{"offset":%d,"length":512}\n' % (i * 1024) for i in range(140_000))
    listed = read_extents(io.BytesIO(text), checked=True)
    assert (listed.count, listed.granularity) == (140_000, 512)
    pairs = list(zip(listed.batches(), listed.batches(), strict=True))
    assert len(pairs) == 3
    assert all(a == b for a, b in pairs)


def test_checked_lists_fail_before_anything_is_given_out(tmp_path):
    path = tmp_path / "list"
    path.write_bytes(b"".join(b'{"offset":%d,"length":512}\n' % (i * 1024) for i in range(70_000)) + b"{")
    with read_extents(path) as listed:
        assert next(listed.batches()).n == 65536
    with pytest.raises(InvalidInput, match="list:70001:2: the file ends too early"):
        read_extents(path, checked=True)


def test_a_pipe_is_read_once_or_kept(pipe):
    listed = read_extents(pipe(GOOD))
    assert concatenate(listed).n == 2
    with pytest.raises(InvalidInput, match="only once"):
        list(listed)
    listed.close()
    with read_extents(pipe(GOOD), checked=True) as kept:
        assert concatenate(kept).n == concatenate(kept).n == 2


def test_standard_input(pipe, monkeypatch):
    stdin = pipe(GOOD)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stdin))
    with read_extents("-") as listed:
        assert concatenate(listed).n == 2
    assert not stdin.closed
    stdin.close()


def test_extents_past_the_device():
    assert read_extents(io.BytesIO(GOOD), capacity=12288, checked=True).count == 2
    with pytest.raises(InvalidInput, match=r"ends past the end of the device, 12287"):
        read_extents(io.BytesIO(GOOD), capacity=12287)


def test_unsorted_lists_are_bad_input():
    with pytest.raises(OutOfOrder, match="extent 1") as caught:
        read_extents(io.BytesIO(LISTER % b'{"byte_offset":0,"size_bytes":1}'))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["missing", "."])
def test_files_that_cannot_be_read(tmp_path, name):
    with pytest.raises(InvalidInput, match=r"No such file|Is a directory"):
        read_extents(tmp_path / name)
