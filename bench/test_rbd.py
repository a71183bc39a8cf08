"""Images of a Ceph cluster: what changed, comparing, reading. The cluster runs here, so it takes part in the load."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import pytest

from bench import cache, peers, runner, targets
from bench.runner import nothing

pytest.importorskip("tests.fixtures.ceph_cluster", reason="the benchmarks of RBD need the source tree")
from bench import rbd_peers
from bench.rbd_images import Images
from tests.fixtures.ceph_modules import need_ceph

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.data import Store
    from bench.result import Racer, Result
    from bench.runner import Command
    from bench.setting import Setting

pytestmark = pytest.mark.benchmark(timer=runner.clock)

WHERE = "one OSD (bluestore) on the same machine"


@pytest.fixture(scope="module")
def images(chosen: Setting, found: Result) -> Iterator[Images]:
    try:
        need_ceph()
    except pytest.skip.Exception as error:
        found.absent.update(dict.fromkeys(targets.RBD, str(error.msg)))
        raise
    made = Images(chosen.base)
    yield made
    made.close()


@pytest.fixture
def unhurried(chosen: Setting) -> None:
    if chosen.quick:
        pytest.skip("not in the quick subset")


def compared(images: Images, found: Result, first: str, second: str, size: int) -> list[Command]:
    """qemu-img compare of the two, where it can."""
    why = rbd_peers.qemu_refusal()
    if why:
        found.absent[targets.RBD_QEMU] = why
        return []
    return [rbd_peers.qemu_compare(images, first, second, size)]


def test_thin(race: Racer, found: Result, images: Images, chosen: Setting) -> None:
    changes = rbd_peers.Changes(images, "thin", "s1", "s2", images.thin("thin", chosen.rbd_thin))
    found.note(targets.RBD_THIN, f"{cache.named(chosen.rbd_thin)}, 1250 objects of 4 MiB exist; {WHERE}")
    race(targets.RBD_THIN, changes.ours(), [changes.rbd_diff(), changes.whole()])


def test_dense(race: Racer, found: Result, images: Images, chosen: Setting) -> None:
    changes = rbd_peers.Changes(images, "dense", "s1", "s2", images.dense("dense", chosen.rbd_dense))
    for workload in (targets.RBD_DENSE, targets.RBD_COLLECT):
        found.note(workload, f"{len(changes.extents)} extents in {cache.named(chosen.rbd_dense)}")
    race(targets.RBD_DENSE, changes.ours(), [changes.rbd_diff(), changes.whole(), changes.binding(whole_run=True)])
    again = runner.Race(changes.collected(), [changes.binding()])
    again.warm_up()
    for _ in range(chosen.rounds):
        again.run_peers()
        again.run_ours()
    found.add_race(targets.RBD_COLLECT, again)


def test_full(race: Racer, found: Result, images: Images, chosen: Setting) -> None:
    size = chosen.rbd_size
    names = [images.full(name, size) for name in ("full-a", "full-b")]
    others = compared(images, found, *names, size)
    pair = rbd_peers.pair(images, *names, size, size)
    found.note(targets.RBD_FULL, f"{cache.named(size)} a side; {WHERE}")
    race(targets.RBD_FULL, peers.verify(pair, nothing, "--method", "content"), others)


def test_checksums(race: Racer, found: Result, images: Images, chosen: Setting) -> None:
    size = chosen.rbd_size
    names = [images.full(name, size) for name in ("full-a", "full-b")]
    pair = rbd_peers.pair(images, *names, size, size)
    ours = peers.verify(pair, nothing, "--method", "osd-checksum")
    wire: list[int] = []
    found.note(targets.RBD_SUMS, f"{cache.named(size)} a side; wire: all that the OSD sent and received, of both sides")
    race(
        targets.RBD_SUMS,
        rbd_peers.counting(images, ours, wire.append),
        compared(images, found, *names, size),
    )
    found.add(targets.RBD_SUMS, "wire", 100 * statistics.median(wire) / (2 * size))


@pytest.mark.usefixtures("unhurried")
def test_thin_pair(race: Racer, found: Result, images: Images, chosen: Setting) -> None:
    size = chosen.rbd_thin
    for name in ("thin", "thin-b"):
        images.thin(name, size)
    found.note(targets.RBD_THIN_PAIR, f"{cache.named(size)} a side, 1250 objects of 4 MiB exist")
    pair = rbd_peers.pair(images, "thin@s2", "thin-b@s2", size, 1250 * 65536)
    others = [peers.verify(pair, nothing, "--method", "content", name="blockdiff --method content")]
    others += compared(images, found, "thin@s2", "thin-b@s2", size)
    race(targets.RBD_THIN_PAIR, peers.verify(pair, nothing), others)


def test_read(race: Racer, found: Result, images: Images, chosen: Setting) -> None:
    name = images.full("full-a", chosen.rbd_size)
    found.note(targets.RBD_READ, f"{cache.named(chosen.rbd_size)}; {WHERE}")
    ours = rbd_peers.read_all(images, name, chosen.rbd_size)
    race(targets.RBD_READ, ours, [rbd_peers.export_to_null(images, name)])


@pytest.mark.usefixtures("unhurried")
def test_export(race: Racer, found: Result, images: Images, store: Store, chosen: Setting) -> None:
    name = images.full("full-a", chosen.rbd_size)
    found.note(targets.RBD_EXPORT, f"{cache.named(chosen.rbd_size)}; ours ends with fsync, rbd export does not")
    files = rbd_peers.ToFile(images, name, store.path("exported.raw"), chosen.rbd_size)
    race(targets.RBD_EXPORT, files.ours(), [files.rbd_export()])


@pytest.mark.usefixtures("unhurried")
def test_delta(race: Racer, found: Result, images: Images, chosen: Setting) -> None:
    size = chosen.rbd_size
    changed = sum(length for _, length in images.changed("full-a", size))
    found.note(
        targets.RBD_DELTA, f"{cache.named(changed)} of {cache.named(size)} changed; the importer is in both costs"
    )
    delta = rbd_peers.Delta(images, "full-a", "replica")
    race(targets.RBD_DELTA, delta.ours(), [delta.rbd_export_diff()])
