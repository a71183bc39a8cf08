"""RBD snapshots behind the provider: what is refused, and that nothing ends well that is not complete."""

import random
import signal

import pytest

from blockdiff.csi.errors import StatusError
from tests.fixtures.provider import allocated, covered, delta, provider, refused, serving, window

MIB = 1 << 20
SIZE = 24 * MIB


@pytest.fixture
def image(ceph):
    """Snapshots mon and tue of an image; gives its spec."""
    rng = random.Random(1)
    spec = ceph.image("vm", SIZE, rng.randbytes(8 * MIB))
    ceph.snapshot(spec, "mon")
    ceph.write(spec, 3 * MIB, rng.randbytes(100_000))
    ceph.write(spec, 17 * MIB, rng.randbytes(5000))
    ceph.discard(spec, 4 * MIB, 2 * MIB)
    ceph.snapshot(spec, "tue")
    return spec


@pytest.fixture
def make(ceph):
    def driver(**options):
        return provider(f"rbd:{ceph.pool}?conf={ceph.conf}&timeout=5", **options)

    return driver


def test_what_changed(ceph, image, make, tmp_path):
    old, new = ceph.content(f"{image}@mon"), ceph.content(f"{image}@tue")
    truth = bytes(a != b for a, b in zip(old, new, strict=True))
    with serving(make(), tmp_path / "s") as channel:
        listed = covered(delta(channel, "vm@mon", "vm@tue"), SIZE)
        assert not any(differs and not told for differs, told in zip(truth, listed, strict=True))
        whole = allocated(channel, "vm@tue")
        held = covered(whole, SIZE)
        assert not any(byte and not told for byte, told in zip(new, held, strict=True))
        for start in (1, 3 * MIB + 7, 4 * MIB, SIZE - 1, SIZE):
            assert covered(delta(channel, "vm@mon", "vm@tue", start=start), SIZE, start) == listed[start:]


def test_what_is_refused(ceph, image, make, tmp_path):
    other = ceph.image("other", SIZE)
    ceph.snapshot(other, "mon")
    with serving(make(), tmp_path / "s") as channel:
        cases = [
            (("vm@mon", "vm@no"), {}, "NOT_FOUND"),
            (("no@mon", "vm@tue"), {}, "NOT_FOUND"),
            (("vm", "vm@tue"), {}, "NOT_FOUND"),
            (("vm@mon", f"{ceph.pool}/vm@tue"), {}, "NOT_FOUND"),
            (("other@mon", "vm@tue"), {}, "INVALID_ARGUMENT"),
            (("vm@tue", "vm@mon"), {}, "INVALID_ARGUMENT"),
            (("vm@mon", "vm@tue"), {"start": SIZE + 1}, "OUT_OF_RANGE"),
            (("", "vm@tue"), {}, "INVALID_ARGUMENT"),
        ]
        for ids, options, code in cases:
            assert refused(delta, channel, *ids, **options)[0] == code, ids
        assert delta(channel, "vm@tue", "vm@tue")[0].capacity == SIZE


def test_a_full_backup_where_changes_are_not_tracked(ceph, make, tmp_path):
    spec = ceph.image("plain", SIZE, b"x" * MIB, features=("layering",))
    for name in ("mon", "tue"):
        ceph.snapshot(spec, name)
    with serving(make(require="fast-diff"), tmp_path / "s") as channel:
        code, text = refused(delta, channel, "plain@mon", "plain@tue")
        assert (code, "fast-diff" in text) == ("FAILED_PRECONDITION", True)
        assert allocated(channel, "plain@tue")


def test_a_snapshot_that_is_removed_meanwhile(ceph, image, make):
    stream = make().delta("vm@mon", "vm@tue", **window(limit=1))
    next(stream)
    ceph.remove_snapshot(f"{image}@mon")
    with pytest.raises(StatusError) as raised:
        list(stream)
    assert raised.value.code in {"NOT_FOUND", "INTERNAL"}


def test_a_stream_is_not_taken_up_over_another_snapshot_of_that_name(ceph, image, make):
    driver = make()
    assert list(driver.delta("vm@mon", "vm@tue", **window(start=4096)))
    ceph.remove_snapshot(f"{image}@tue")
    ceph.snapshot(image, "tue")
    with pytest.raises(StatusError, match="begin at offset 0"):
        list(driver.delta("vm@mon", "vm@tue", **window(start=4096)))
    assert list(driver.delta("vm@mon", "vm@tue", **window()))


def test_a_cluster_that_is_not_there(ceph, tmp_path):
    conf = tmp_path / "dead.conf"
    conf.write_text("[global]\nmon_host = v1:127.0.0.1:1\nclient_mount_timeout = 1\nauth_client_required = none\n")
    with serving(provider(f"rbd:rbd?conf={conf}"), tmp_path / "s") as channel:
        assert refused(allocated, channel, "vm@mon")[0] == "UNAVAILABLE"


@pytest.mark.slow
def test_an_osd_that_does_not_answer(ceph, image, make):
    """It is waited for as long as ?timeout= says; then the client may try again."""
    driver = make()
    stream = driver.delta("vm@mon", "vm@tue", **window(limit=1))
    ceph.kill_osd(signal=signal.SIGSTOP)
    try:
        with pytest.raises(StatusError) as raised:
            list(stream)
    finally:
        ceph.kill_osd(signal=signal.SIGCONT)
    assert raised.value.code == "UNAVAILABLE"
