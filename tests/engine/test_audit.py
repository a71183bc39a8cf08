import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blockdiff
from blockdiff.engine.audit import Audit
from blockdiff.errors import DeviceError, InvalidInput
from blockdiff.extent import Kind
from blockdiff.testing import FaultDevice, image
from tests import oracle
from tests.fixtures.images import random_pair, write_image, zero_ranges
from tests.fixtures.inprocess import READS, found, memory

MIB = 1 << 20


def audit(base, target, listed, *, granularity=4096, read="auto", batch=1000):
    extents = [blockdiff.Extents(listed[i : i + batch]) for i in range(0, len(listed), batch)]
    options = blockdiff.ReadOptions(granularity=granularity, read=read)
    return blockdiff.audit(base, target, extents, options=options)


def truth(a, b, listed, granularity=4096):
    """(under-reported ranges, bytes listed and equal) by the oracle: granules are cut where the list says."""
    common = min(len(a), len(b))
    outside, at = [], 0
    for offset, length in [*listed, (max(len(a), len(b)), 0)]:
        if offset > at:
            outside.append((at, offset - at))
        at = max(at, offset + length)
    under = oracle.differences(a, b, granularity, only=outside, size="ignore")
    inside = oracle.differences(a, b, granularity, only=listed, size="ignore")
    beyond = oracle.bytes_in([(common, len(b) - common)]) if len(b) > common else set()
    listed_bytes = oracle.bytes_in(listed)
    under_bytes = oracle.bytes_in(under) | (beyond - listed_bytes)
    return under_bytes, listed_bytes - oracle.bytes_in(inside) - beyond


def check(result, a, b, listed, granularity=4096):
    under, over = truth(a, b, listed, granularity)
    totals = result.totals
    assert oracle.bytes_in(found(result.under_reported)) == under
    assert (totals.under_reported_bytes, totals.over_reported_bytes) == (len(under), len(over))
    assert totals.under_reported_extents == len(result.under_reported)
    assert (totals.listed_bytes, totals.listed_extents) == (sum(n for _, n in listed), len(listed))
    assert totals.changed_bytes == len(under) + totals.listed_bytes - len(over)
    assert result.correct == (not under)
    missed = {i for i in oracle.differing_offsets(a, b) if i < len(b)} - oracle.bytes_in(listed)
    assert missed <= under
    assert bool(missed) == bool(under)


@pytest.fixture
def pair(tmp_path):
    """20 blocks of 4 KiB and a tail; blocks 3, 4 and 9 differ."""
    a = bytearray(random.Random(0).randbytes(20 * 4096 + 100))
    b = bytearray(a)
    b[3 * 4096 + 5] ^= 1
    b[4 * 4096 : 5 * 4096] = bytes(4096)
    b[9 * 4096 : 9 * 4096 + 2] = b"!!"
    return write_image(tmp_path / "a", bytes(a)), write_image(tmp_path / "b", bytes(b))


LISTS = [
    pytest.param([(3 * 4096, 8192), (9 * 4096, 4096)], id="exact"),
    pytest.param([(0, 20 * 4096 + 100)], id="all"),
    pytest.param([], id="nothing"),
    pytest.param([(3 * 4096, 4096)], id="one-of-three"),
    pytest.param([(3 * 4096, 8192), (9 * 4096, 1)], id="cut-to-one-byte"),
    pytest.param([(3 * 4096 + 5, 1), (4 * 4096, 4096), (9 * 4096, 2)], id="to-the-byte"),
    pytest.param([(0, 65536), (65536, 100)], id="coarse"),
    pytest.param([(81000, 1000)], id="elsewhere"),
]


@pytest.mark.parametrize("listed", LISTS)
@pytest.mark.parametrize("granularity", [512, 4096, 65536])
@pytest.mark.parametrize("read", READS)
def test_judges(pair, listed, granularity, read):
    a, b = (path.read_bytes() for path in pair)
    check(audit(*pair, listed, granularity=granularity, read=read), a, b, listed, granularity)


def test_what_is_missed_has_its_class(pair):
    assert found(audit(*pair, []).under_reported) == [
        (3 * 4096, 4096, "bit-flip"),
        (4 * 4096, 4096, "dst-zero"),
        (9 * 4096, 4096, "data"),
    ]


@pytest.mark.parametrize(
    ("listed", "grain", "unneeded"),
    [
        pytest.param([(3 * 4096, 8192), (9 * 4096, 4096)], 4096, 0, id="exact"),
        pytest.param([(0, 65536)], 65536, 0, id="one-coarse-block"),
        pytest.param([(0, 4096), (3 * 4096, 8192), (9 * 4096, 4096)], 4096, 4096, id="one-for-nothing"),
        pytest.param([(0, 20 * 4096)], 16384, 16384 * 2, id="all"),
    ],
)
def test_what_granularity_explains(pair, listed, grain, unneeded):
    devices = [blockdiff.open_device(path) for path in pair]
    run = Audit(*devices, lambda: iter([blockdiff.Extents(listed)]), list_granularity=grain)
    list(run)
    for device in devices:
        device.close()
    assert run.totals.unneeded_bytes == unneeded
    assert run.totals.over_reported_bytes == sum(n for _, n in listed) - 3 * 4096


def test_a_long_list_is_counted_to_its_end(pair):
    """Also what comes long after the last difference, in other batches."""
    listed = [(i * 512, 512) for i in range(40, 160)]
    a, b = (path.read_bytes() for path in pair)
    result = audit(*pair, listed, granularity=512, batch=7)
    check(result, a, b, listed, 512)
    assert result.totals.unneeded_bytes == len(listed) * 512 - 512  # one sector of block 9 is all that differs here


def test_over_reported_ranges_are_marked(pair):
    devices = [blockdiff.open_device(path) for path in pair]
    run = Audit(*devices, lambda: iter([blockdiff.Extents([(0, 4 * 4096)])]), list_granularity=4096)
    ranges = [item for batch in run for item in found(batch)]
    for device in devices:
        device.close()
    assert ranges == [(0, 12288, "over-reported"), (16384, 4096, "dst-zero"), (36864, 4096, "data")]
    assert Kind.OVER.label == "over-reported"


@pytest.mark.parametrize(("base", "target"), [(5000, 9000), (9000, 5000), (0, 5000), (5000, 0)], ids=str)
@pytest.mark.parametrize("complete", [True, False])
def test_sizes(tmp_path, base, target, complete):
    """What the target has beyond its base must be listed."""
    data = random.Random(0).randbytes(9000)
    a, b = data[:base], data[:target]
    paths = write_image(tmp_path / "a", a), write_image(tmp_path / "b", b)
    listed = [(base, target - base)] if complete and target > base else []
    result = audit(*paths, listed)
    assert result.correct == (complete or target <= base)
    assert not result.report.identical
    check(result, a, b, listed)


def test_list_that_leaves_the_target(pair):
    with pytest.raises(InvalidInput, match="past the end"):
        audit(*pair, [(20 * 4096, 4096)])


def test_list_that_does_not_ascend(pair):
    with pytest.raises(InvalidInput):
        audit(*pair, [(4096, 4096), (0, 4096)], batch=1)


@pytest.mark.parametrize(
    ("picture", "listed", "under"),
    [
        pytest.param("64k:A 64k:- 64k:0", [(0, 65536)], [], id="exact"),
        pytest.param("64k:A 64k:- 64k:0", [(0, 196608)], [], id="all"),
        pytest.param("64k:A 64k:- 64k:0", [], [(0, 65536)], id="nothing"),
        pytest.param("64k:A 64k:- 64k:0 5:B", [(0, 61440)], [(61440, 4096), (196608, 5)], id="tail"),
        pytest.param("1m:-", [], [], id="empty"),
    ],
)
def test_allocated(tmp_path, picture, listed, under):
    """One device: all that is not zero must be listed."""
    image(picture, tmp_path / "a")
    result = audit(None, tmp_path / "a", listed)
    assert [item[:2] for item in found(result.under_reported)] == under
    assert result.correct == (not under)
    data = (tmp_path / "a").read_bytes()
    assert result.totals.changed_bytes == sum(
        stop - at for at, stop in oracle.granules(0, len(data), 4096) if any(data[at:stop])
    )


def test_unreadable_is_never_correct():
    target = FaultDevice(memory(b"A" * 40960), "..E")
    with pytest.raises(DeviceError):
        audit(memory(b"A" * 40960), target, [])
    options = blockdiff.ReadOptions(keep_going=True)
    result = blockdiff.audit(memory(b"A" * 40960), target, blockdiff.Extents([]), options=options)
    assert not result.correct
    assert found_unreadable(result.report) == [(8192, 4096)]


def found_unreadable(report):
    return [(e.offset, e.length) for e in report.unreadable]


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 1 << 60),
    granularity=st.sampled_from([512, 4096, 16384]),
    unit=st.sampled_from([1, 512, 4096]),
    data=st.data(),
)
def test_random_lists(tmp_path_factory, seed, granularity, unit, data):
    a, b, rng = random_pair(seed, sizes=(0, 1, 4096, 4097, 20000))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(b) // unit), max_size=10)))
    listed = [(lo * unit, (hi - lo) * unit) for lo, hi in zip(cuts[::2], cuts[1::2], strict=False)]
    base = tmp_path_factory.getbasetemp()
    paths = write_image(base / "a", a, zero_ranges(a, rng)), write_image(base / "b", b, zero_ranges(b, rng))
    result = audit(*paths, listed, granularity=granularity, batch=rng.randrange(1, 4))
    check(result, a, b, listed, granularity)
