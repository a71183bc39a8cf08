"""What the provider answers over a real connection: complete, from any offset, or an error."""

import functools
import os
import random
import threading

import grpc
import pytest

from blockdiff._fast import Merge
from blockdiff.backends.filedevice import FileDevice
from blockdiff.csi import rpc
from blockdiff.csi._pb import csi
from blockdiff.csi.driver import Cancelled, SocketDriver
from blockdiff.csi.errors import StatusError
from blockdiff.csi.provider.shape import Shape
from blockdiff.errors import InvalidInput
from blockdiff.record import BlockMetadataType
from tests.fixtures.provider import allocated, covered, delta, provider, refused, serving, tuples, window

SIZE = 3 * 65536 + 777
SHAPES = {
    "variable": Shape(),
    "variable-512": Shape(block_size=512),
    "fixed": Shape(fixed=True),
    "fixed-512": Shape(fixed=True, block_size=512),
}


def write(path, size, seed, *, changes=0):
    """Random data with a hole; and scattered changes that do not change the hole's place."""
    data = bytearray(random.Random(1).randbytes(size))
    data[20000:70000] = bytes(len(data[20000:70000]))
    rng = random.Random(seed)
    for _ in range(changes):
        at = rng.randrange(size)
        length = min(size - at, rng.randint(1, 5000))
        data[at : at + length] = bytes([rng.choice(b"\0x")]) * length
    with open(path, "wb") as file:
        file.write(data)
    return bytes(data)


@pytest.fixture
def images(tmp_path):
    """Snapshots a, b, and of other sizes; gives their content by name."""
    root = tmp_path / "snapshots"
    root.mkdir()
    made = {"a": (SIZE, 1, 0), "b": (SIZE, 2, 9), "small": (70000, 3, 4), "large": (SIZE + 99999, 4, 7)}
    made |= {"even": (131072, 5, 3), "tiny": (1, 6, 0), "empty": (0, 6, 0)}
    return {name: write(root / name, size, seed, changes=n) for name, (size, seed, n) in made.items()}


@pytest.fixture(params=SHAPES)
def shape(request):
    return SHAPES[request.param]


@pytest.fixture
def channel(tmp_path, images, shape):
    with serving(provider(f"dir:{tmp_path}/snapshots", shape=shape), tmp_path / "csi.sock") as made:
        yield made


PAIRS = [("a", "b"), ("b", "a"), ("a", "small"), ("small", "a"), ("a", "large"), ("large", "b"), ("even", "a")]
PAIRS += [("a", "even"), ("empty", "a"), ("a", "empty"), ("tiny", "empty"), ("empty", "tiny"), ("a", "a")]


def changed(base, target):
    """A byte map of the differences; what the target has beyond its base is changed."""
    common = min(len(base), len(target))
    return bytes(a != b for a, b in zip(base[:common], target[:common], strict=True)) + b"\1" * (len(target) - common)


def holds(listed, wanted):
    """Every wanted byte is listed."""
    return not any(w and not have for have, w in zip(listed, wanted, strict=True))


@pytest.mark.parametrize(("base", "target"), PAIRS)
def test_delta_is_complete_from_every_offset(channel, images, base, target, shape):
    size = len(images[target])
    truth = changed(images[base], images[target])
    whole = delta(channel, base, target)
    assert {record.capacity for record in whole} == {size}
    assert holds(covered(whole, size), truth)
    fixed = shape.fixed and size % shape.block_size == 0
    assert {record.type for record in whole} == {BlockMetadataType(2 - fixed)}
    for start in {0, 1, size // 3, 4095, 4096, 4097, 65536 + 3, 70000, 70001, size - 1, size}:
        if 0 <= start <= size:
            rest = delta(channel, base, target, start=start, limit=3)
            assert covered(rest, size, start) == covered(whole, size, start), start
            assert all(offset + length > start for offset, length in tuples(rest))


@pytest.mark.parametrize("name", ["a", "b", "small", "even", "tiny", "empty"])
def test_allocated_covers_all_data(channel, images, name):
    data = images[name]
    whole = allocated(channel, name)
    assert holds(covered(whole, len(data)), bytes(byte != 0 for byte in data))
    for start in {0, 5, 20001, len(data) // 2, len(data)}:
        if start <= len(data):
            rest = allocated(channel, name, start=start, limit=1)
            assert covered(rest, len(data), start) == covered(whole, len(data), start)


@pytest.mark.parametrize("limit", [1, 2, 7, 2**31 - 1])
def test_max_results(channel, limit):
    records = delta(channel, "a", "b", limit=limit)
    assert all(len(record.extents) <= limit for record in records)
    assert tuples(records) == tuples(delta(channel, "a", "b"))


def test_holes_are_not_allocated(tmp_path, channel):
    with open(tmp_path / "snapshots" / "thin", "wb") as file:
        file.truncate(1 << 30)
        file.seek(1 << 20)
        file.write(b"x" * 4096)
    assert sum(length for _, length in tuples(allocated(channel, "thin"))) <= 65536


ERRORS = [
    (allocated, ("",), {}, "INVALID_ARGUMENT"),
    (allocated, ("zz",), {}, "NOT_FOUND"),
    (allocated, ("../snapshots/a",), {}, "NOT_FOUND"),
    (allocated, ("a",), {"start": -1}, "OUT_OF_RANGE"),
    (allocated, ("a",), {"start": SIZE + 1}, "OUT_OF_RANGE"),
    (allocated, ("a",), {"start": 2**63 - 1}, "OUT_OF_RANGE"),
    (allocated, ("a",), {"limit": -1}, "INVALID_ARGUMENT"),
    (allocated, ("a",), {"limit": -(2**31)}, "INVALID_ARGUMENT"),
    (delta, ("", "b"), {}, "INVALID_ARGUMENT"),
    (delta, ("a", ""), {}, "INVALID_ARGUMENT"),
    (delta, ("", ""), {"start": -1, "limit": -1}, "INVALID_ARGUMENT"),
    (delta, ("zz", "b"), {}, "NOT_FOUND"),
    (delta, ("a", "zz"), {}, "NOT_FOUND"),
    (delta, ("zz", "zz"), {}, "NOT_FOUND"),
    (delta, ("a", "b"), {"start": -1}, "OUT_OF_RANGE"),
    (delta, ("a", "b"), {"start": SIZE + 1}, "OUT_OF_RANGE"),
    (delta, ("large", "b"), {"start": SIZE + 1}, "OUT_OF_RANGE"),
    (delta, ("a", "b"), {"limit": -5}, "INVALID_ARGUMENT"),
]


@pytest.mark.parametrize(("call", "ids", "options", "code"), ERRORS)
@pytest.mark.parametrize("shape", ["variable"], indirect=True)
def test_errors(channel, call, ids, options, code):
    assert refused(call, channel, *ids, **options)[0] == code


def test_a_required_method_that_cannot_be_used(tmp_path, images):
    with serving(provider(f"dir:{tmp_path}/snapshots", require="fast-diff"), tmp_path / "s") as channel:
        code, text = refused(delta, channel, "a", "b")
        assert code == "FAILED_PRECONDITION"
        assert "fast-diff" in text
        assert allocated(channel, "a")


def test_wrong_methods():
    for options in ({"method": "magic"}, {"require": "magic"}, {"method": "byte", "require": "reflink"}):
        with pytest.raises(InvalidInput):
            provider("dir:/", **options)


def test_snapshots_of_two_sources_have_nothing_in_common(tmp_path, images):
    sources = [f"{name}=dir:{tmp_path}/snapshots" for name in ("x", "y")]
    with serving(provider(*sources), tmp_path / "s") as channel:
        assert refused(delta, channel, "x/a", "y/b")[0] == "INVALID_ARGUMENT"
        assert tuples(delta(channel, "x/a", "x/b"))


class TestChanging:
    """A file that is written to is no snapshot."""

    def touched_after_the_first(self, driver, path, call):
        stream = call(driver)
        next(stream)
        with open(path, "r+b") as file:
            file.write(b"changed")
        os.utime(path, ns=(0, 0))
        with pytest.raises(StatusError, match="changed while") as raised:
            list(stream)
        assert raised.value.code == "INTERNAL"
        assert not raised.value.retryable

    def test_allocated(self, tmp_path, images):
        driver = provider(f"dir:{tmp_path}/snapshots", shape=SHAPES["fixed"])
        self.touched_after_the_first(
            driver, tmp_path / "snapshots/a", lambda driver: driver.allocated("a", **window(limit=1))
        )

    @pytest.mark.parametrize("name", ["a", "b"])
    def test_delta(self, tmp_path, images, name):
        self.touched_after_the_first(
            provider(f"dir:{tmp_path}/snapshots"),
            tmp_path / "snapshots" / name,
            lambda p: p.delta("a", "b", **window(limit=1)),
        )

    def test_shrinking(self, tmp_path, images):
        stream = provider(f"dir:{tmp_path}/snapshots").delta("a", "b", **window(limit=1))
        next(stream)
        os.truncate(tmp_path / "snapshots" / "b", 4096)
        with pytest.raises(StatusError) as raised:
            list(stream)
        assert raised.value.code == "INTERNAL"

    def test_a_stream_is_not_taken_up_over_another_content(self, tmp_path, images):
        path = tmp_path / "snapshots" / "b"
        with serving(provider(f"dir:{tmp_path}/snapshots"), tmp_path / "s") as channel:
            assert delta(channel, "a", "b", start=4096)
            path.write_bytes(images["a"])
            code, text = refused(delta, channel, "a", "b", start=4096)
            assert (code, "begin at offset 0" in text) == ("INTERNAL", True)
            assert refused(allocated, channel, "b", start=4096)[0] == "INTERNAL"
            assert tuples(delta(channel, "a", "b")) == []


class TestCancelled:
    """A stream that nobody waits for ends with an error, also when nothing is found."""

    @pytest.mark.parametrize("ask", ["allocated", "delta"])
    def test_before_it_began(self, tmp_path, images, ask):
        cancelled = Cancelled()
        cancelled.cancel()
        ids = ("a", "b")[: 1 + (ask == "delta")]
        stream = getattr(provider(f"dir:{tmp_path}/snapshots"), ask)(*ids, **window(cancelled=cancelled))
        with pytest.raises(StatusError) as raised:
            list(stream)
        assert raised.value.code == "CANCELLED"

    def test_between_two_records(self, tmp_path, images):
        cancelled = threading.Event()
        driver = provider(f"dir:{tmp_path}/snapshots", shape=Shape(block_size=512))
        stream = driver.delta("a", "b", **window(limit=1, cancelled=cancelled))
        next(stream)
        cancelled.set()
        with pytest.raises(StatusError):
            list(stream)

    def test_while_nothing_is_found(self, tmp_path, monkeypatch):
        """A million equal bytes take no message with them; the engine's progress is what looks."""
        for name in ("a", "b"):
            (tmp_path / name).write_bytes(b"x" * (64 << 20))
        cancelled = threading.Event()
        stream = provider(f"dir:{tmp_path}", method="content").delta("a", "b", **window(cancelled=cancelled))
        looked = []
        monkeypatch.setattr(
            "blockdiff.csi.provider.driver.Watch.advance",
            lambda self, done: (looked.append(done), cancelled.set(), self._check())[0],
        )
        with pytest.raises(StatusError):
            list(stream)
        assert looked
        assert looked[-1] < 64 << 20

    def test_the_time_is_up(self, tmp_path, images):
        stream = provider(f"dir:{tmp_path}/snapshots").delta("a", "b", **window(seconds=-1))
        with pytest.raises(StatusError) as raised:
            list(stream)
        assert raised.value.code == "DEADLINE_EXCEEDED"


def test_a_reader_that_goes_away_leaves_nothing(tmp_path, images):
    with serving(provider(f"dir:{tmp_path}/snapshots", shape=SHAPES["fixed-512"]), tmp_path / "s") as channel:
        allocated(channel, "a")
        request = csi.GetMetadataAllocatedRequest(snapshot_id="a", max_results=1)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            call = rpc.CSI_ALLOCATED.call(channel)(request)
            next(iter(call))
            call.cancel()
        assert allocated(channel, "a")
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("ask", ["left", "cancelled"])
def test_no_thread_reads_what_is_closed(tmp_path, monkeypatch, ask):
    """Whoever goes away, the readers end before the files are closed: a descriptor may be somebody else's then."""
    data = bytearray(b"x" * (40 << 20))
    (tmp_path / "a").write_bytes(data)
    data[:: 1 << 20] = b"y" * 40
    (tmp_path / "b").write_bytes(data)
    seen, close = [], FileDevice.close

    def working():
        return [thread for thread in threading.enumerate() if "_work" in thread.name]

    def close_device(self):
        seen.append(working())
        close(self)

    monkeypatch.setattr(FileDevice, "close", close_device)
    monkeypatch.setattr("blockdiff.engine.diff.Merge", functools.partial(Merge, batch=1))
    cancelled = threading.Event()
    stream = provider(f"dir:{tmp_path}", method="content", workers=3).delta(
        "a", "b", **window(limit=1, cancelled=cancelled)
    )
    next(stream)
    assert working(), "nothing is read behind the scenes, so this test shows nothing"
    if ask == "left":
        stream.close()
    else:
        cancelled.set()
        with pytest.raises(StatusError):
            list(stream)
    assert len(seen) >= 2
    assert not any(seen)


def test_identity(tmp_path, images):
    with serving(provider(f"dir:{tmp_path}/snapshots", name="cbt.example.com"), tmp_path / "s"):
        driver = SocketDriver(str(tmp_path / "s"))
        assert (driver.name, driver.ready(), driver.supports_metadata()) == ("cbt.example.com", True, True)
        (tmp_path / "snapshots").rename(tmp_path / "gone")
        assert not driver.ready()
        driver.close()


def test_many_clients_at_once(tmp_path, images):
    with serving(provider(f"dir:{tmp_path}/snapshots"), tmp_path / "s") as channel:
        wanted = tuples(delta(channel, "a", "b"))
        results = []

        def ask():
            try:
                results.append(tuples(delta(channel, "a", "b")) == wanted)
            except grpc.RpcError as error:
                results.append(error)

        threads = [threading.Thread(target=ask) for _ in range(60)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [True] * 60
