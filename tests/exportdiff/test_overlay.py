"""An image that nobody restored reads as if somebody had."""

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blockdiff
from blockdiff.errors import DeviceError, InvalidInput, ShortRead
from blockdiff.exportdiff.chain import Chain
from blockdiff.exportdiff.overlay import lay_over
from blockdiff.testing import FaultDevice, MemoryDevice
from blockdiff.testing.conformance import DeviceConformance, cover, read
from tests.fixtures.exportdiff import Spec, random_chain, v1


def halves(content):
    """A base and a diff that together are this content: every other 1000 bytes, none of them alone."""
    base, records = bytearray(content + b"old end"), []
    for at in range(0, len(content), 2000):
        piece = content[at : at + 1000]
        base[at : at + len(piece)] = b"?" * len(piece)
        records.append((at, len(piece) if not any(piece) else piece))
    return bytes(base), Spec(len(content), tuple(records), "a", "b")


class TestOverImage(DeviceConformance):
    writable = False

    @pytest.fixture
    def make(self, files):
        def make(content):
            base, spec = halves(content)
            return lay_over(MemoryDevice(base), Chain(files([spec])))

        return make


class TestWhole(DeviceConformance):
    writable = False

    @pytest.fixture
    def make(self, files):
        def make(content):
            base, spec = halves(content)
            first = Spec(len(base), ((0, base),) if base else (), None, "a")
            return lay_over(None, Chain(files([first, spec], together=True)))

        return make


@settings(deadline=None)
@given(st.integers(0, 1 << 32))
def test_any_chain(tmp_path_factory, seed):
    base, specs, images = random_chain(seed)
    directory = tmp_path_factory.mktemp("chain")
    for number, spec in enumerate(specs):
        (directory / f"{number}").write_bytes(v1(spec))
    whole = specs[0].from_name is None
    below = None if whole else MemoryDevice(base)
    device = lay_over(below, Chain([str(directory / f"{number}") for number in range(len(specs))]))
    data = images[-1]
    assert (device.size, device.snapshot) == (len(data), f"s{len(specs)}")
    cover(device, data, 0, len(data))
    rng = random.Random(seed)
    for _ in range(10):
        start = rng.randrange(len(data) + 1)
        end = rng.randrange(start, len(data) + 1)
        assert read(device, start, end - start) == data[start:end]
        cover(device, data, start, end)
    assert blockdiff.verify(device, MemoryDevice(data)).identical
    if data:
        other = bytearray(data)
        other[len(data) // 2] ^= 1
        (found,) = blockdiff.verify(device, MemoryDevice(other)).differences
        assert found.offset <= len(data) // 2 < found.end
    device.close()


def test_base_and_chain_must_fit(files):
    with Chain(files([Spec(9, (), "a", "b")])) as changes, pytest.raises(InvalidInput, match="as it was then"):
        lay_over(None, changes)
    with Chain(files([Spec(9, (), None, "b")])) as whole, pytest.raises(InvalidInput, match="needs none below"):
        lay_over(MemoryDevice(9), whole)


def test_a_base_that_is_another_snapshot_is_refused(files, monkeypatch, tmp_path):
    from blockdiff.exportdiff.opening import open_chain

    base = MemoryDevice(9, url="memory@z")
    base.snapshot = "z"
    names = files([Spec(9, (), "a", "b")])
    with pytest.raises(InvalidInput, match="begins with snapshot 'a', but the image before it is memory@z"):
        open_chain(["ram:", *names], lambda _: base)
    with pytest.raises(DeviceError, match="closed"):
        read(base, 0, 1)
    base = MemoryDevice(9)
    base.snapshot = "a"
    with open_chain(["ram:", *names], lambda _: base) as device:
        assert device.size == 9


def test_errors_of_the_base_pass(files):
    device = lay_over(FaultDevice(MemoryDevice(16384), "rErr"), Chain(files([Spec(16384, ((0, b"x"),), "a", "b")])))
    assert read(device, 0, 4096)[:1] == b"x"
    with pytest.raises(DeviceError, match="Input/output error"):
        read(device, 4096, 1)
    device.close()


def test_a_file_that_was_cut_meanwhile(files, tmp_path):
    names = files([Spec(10, ((0, b"x" * 10),), None, "b")])
    device = lay_over(None, Chain(names))
    with open(names[0], "r+b") as file:
        file.truncate(40)
    with pytest.raises(ShortRead, match="the file ends here"):
        read(device, 0, 10)
    assert "modified meanwhile" in device.changes()
    device.close()


def test_a_file_whose_mtime_was_set_back_meanwhile(files):
    names = files([Spec(10, ((0, b"x" * 10),), None, "b")])
    device = lay_over(None, Chain(names))
    status = os.stat(names[0])
    with open(names[0], "r+b") as file:
        file.write(b"rbd")
    os.utime(names[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert "modified meanwhile" in device.changes()
    device.close()


def test_the_base_with_its_own_changes_is_refused(files, tmp_path):
    (tmp_path / "image").write_bytes(bytes(9))
    with blockdiff.open_device(tmp_path / "image") as image:
        chain = blockdiff.open_chain(tmp_path / "image", *files([Spec(9, (), "a", "b")]))
        with pytest.raises(InvalidInput, match="one and the same"):
            blockdiff.verify(chain, image)
        chain.close()
