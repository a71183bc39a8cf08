"""Our own servers keep all rules."""

import random

import pytest

from blockdiff.csi.provider.shape import Shape
from blockdiff.testing.csi import CsiSide, Status, Subject, run
from tests.fixtures.provider import provider, serving

pytestmark = pytest.mark.slow

SIZE = 4 << 20


def outcome(results):
    """The rules that failed, with the evidence, and those that were skipped."""
    failed = {result.rule.id: result.evidence for result in results if result.status == Status.FAIL}
    return failed, {result.rule.id for result in results if result.status == Status.SKIP}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two snapshots of a volume with holes, and of one whose size is no multiple of anything."""
    place = tmp_path_factory.mktemp("images")
    rng = random.Random(7)
    for suffix, size in (("", SIZE), (".odd", SIZE - 12345)):
        data = bytearray(size)
        for _ in range(60):
            at = rng.randrange(size - 30000)
            data[at : at + 20000] = rng.randbytes(20000)
        sparse(place / f"mon{suffix}", data)
        for _ in range(90):
            at = rng.randrange(size - 30000)
            length = rng.randrange(20000)
            data[at : at + length] = rng.choice((bytes(length), rng.randbytes(length)))
        sparse(place / f"tue{suffix}", data)
    return place


def sparse(path, data):
    with open(path, "wb") as file:
        for at in range(0, len(data), 4096):
            block = data[at : at + 4096]
            if any(block):
                file.seek(at)
                file.write(block)
        file.truncate(len(data))


SHAPES = {"variable": Shape(), "fixed": Shape(fixed=True), "fixed-512": Shape(fixed=True, block_size=512)}


@pytest.mark.parametrize("suffix", ["", ".odd"], ids=["even", "odd"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_directory(tmp_path, images, shape, suffix):
    driver = provider(f"dir:{images}", shape=SHAPES[shape])
    with serving(driver, tmp_path / "s"):
        side = CsiSide(f"unix://{tmp_path}/s")
        names = {"snapshot": f"tue{suffix}", "base": f"mon{suffix}"}
        devices = {"snapshot_device": f"{images}/tue{suffix}", "base_device": f"{images}/mon{suffix}"}
        with side:
            failed, skipped = outcome(run(Subject(side, **names, **devices, clients=16)))
    assert failed == {}
    assert skipped <= {"deadline"}  # the list is short, and the machine may be quick


@pytest.mark.parametrize("method", ["fast-diff", "byte"])
def test_images_on_a_cluster(tmp_path, ceph, method):
    """Snapshots of an image, with a discard between them."""
    size, rng = 32 << 20, random.Random(3)
    spec = ceph.image("vm", size, rng.randbytes(9 << 20))
    ceph.snapshot(spec, "mon")
    ceph.on(spec, *[("write", rng.randbytes(70000), rng.randrange(size - 70000)) for _ in range(20)], ("flush",))
    ceph.on(spec, ("discard", 1 << 20, 2 << 20), ("flush",))
    ceph.snapshot(spec, "tue")
    driver = provider(f"rbd:{ceph.pool}?conf={ceph.conf}", require=method)
    devices = {"snapshot_device": ceph.url(spec, "tue"), "base_device": ceph.url(spec, "mon")}
    with serving(driver, tmp_path / "s"), CsiSide(f"unix://{tmp_path}/s") as side:
        failed, skipped = outcome(run(Subject(side, snapshot="vm@tue", base="vm@mon", clients=8, **devices)))
    assert failed == {}
    assert skipped <= {"deadline"}
