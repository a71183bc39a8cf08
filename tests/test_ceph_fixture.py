"""The clusters that the tests of Ceph RBD stand on."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fixtures.ceph_cluster import CephError, environment
from tests.fixtures.ceph_modules import rados_module, rbd_module

pytestmark = pytest.mark.slow

MIB = 1 << 20


def test_round_trip_through_both_clusters(ceph, ceph_b):
    data = bytes(range(256)) * 33 + b"tail"
    for cluster in (ceph, ceph_b):
        spec = cluster.image("a", 8 * MIB, b"start")
        cluster.write(spec, 4 * MIB - 77, data)
        snapshot = cluster.snapshot(spec, "s")
        cluster.discard(spec, 0, 8 * MIB)
        assert cluster.read(snapshot, 4 * MIB - 77, len(data)) == data
        assert cluster.content(snapshot)[:5] == b"start"
        assert not any(cluster.content(spec))
        exported = cluster.run("rbd", "export", snapshot, "-").stdout
        assert exported == cluster.content(snapshot)
    assert ceph.mon("fsid") != ceph_b.mon("fsid")


@pytest.mark.parametrize("run", ["first", "second"])
def test_a_pool_is_empty(ceph, run):
    assert ceph.rbd_json("ls", ceph.pool) == []
    ceph.image("same-name", MIB)
    assert ceph.rbd_json("ls", ceph.pool) == ["same-name"]


def test_pools_end_with_the_test(ceph):
    assert [pool["pool_name"] for pool in ceph.mon("osd dump")["pools"]] == []


def test_namespaces_and_clones(ceph):
    assert ceph.namespace("ns") == f"{ceph.pool}/ns"
    inner = ceph.image("a", MIB, b"inner", namespace="ns")
    outer = ceph.image("a", MIB, b"outer")
    assert ceph.read(inner, 0, 5) + ceph.read(outer, 0, 5) == b"innerouter"
    clone = ceph.clone(ceph.snapshot(outer, "s"), "b")
    assert ceph.rbd_json("info", clone)["parent"]["image"] == "a"
    assert ceph.read(clone, 0, 5) == b"outer"


def test_an_osd_is_killed_and_comes_back(ceph):
    spec = ceph.image("a", MIB, b"kept")
    ceph.kill_osd()
    assert ceph.cluster.alive("osd.0") is None
    ceph.start_osd()
    assert ceph.read(spec, 0, 4) == b"kept"
    ceph.stop_mon()
    assert ceph.cluster.alive("mon.a") is None
    ceph.start_mon()
    assert ceph.read(spec, 0, 4) == b"kept"


def test_a_broken_cluster_is_mended(ceph):
    ceph.mon("osd set", key="pause")
    ceph.mon("osd set-full-ratio", ratio=0.5)
    ceph.mon("osd blocklist", blocklistop="add", addr="127.0.0.1:0/123")
    ceph.kill_osd(signal=signal.SIGSTOP)
    ceph.cluster.heal()
    ceph.kill_osd()
    ceph.stop_mon()
    ceph.cluster.heal()
    state = ceph.mon("osd dump")
    assert "pause" not in state["flags"]
    assert state["full_ratio"] == pytest.approx(0.95)
    assert not state["blocklist"]
    assert ceph.read(ceph.image("a", MIB, b"works"), 0, 5) == b"works"


def test_users_and_errors(ceph):
    spec = ceph.image("a", MIB)
    keyring = ceph.user("reader", {"mon": "profile rbd", "osd": "profile rbd-read-only"})
    reader = ("--id", "reader", "--keyring", keyring)
    assert ceph.run("rbd", *reader, "info", spec).returncode == 0
    assert ceph.run("rbd", *reader, "snap", "create", f"{spec}@s", check=False).returncode != 0
    with pytest.raises(CephError, match="ImageNotFound"):
        ceph.read(f"{spec}@missing", 0, 1)


def test_the_distribution_image_in_this_process(ceph):
    spec = ceph.image("a", MIB, b"bytes")
    with ceph.open_image(spec) as image:
        assert image.read(0, 5) == b"bytes"
        with pytest.raises(rbd_module().ReadOnlyImage):
            image.write(b"x", 0)
    with ceph.open_image(spec, read_only=False) as image:
        image.write(b"other", 0)
    assert ceph.read(spec, 0, 5) == b"other"
    assert rados_module().Error


def test_erasure_coded_data(ceph_ec):
    data = bytes(range(256)) * 64
    spec = ceph_ec.image("a", 8 * MIB, data)
    ceph_ec.write(spec, 100, b"overwritten")
    assert ceph_ec.read(spec, 0, 256) == data[:100] + b"overwritten" + data[111:256]
    assert ceph_ec.rbd_json("info", spec)["data_pool"] == ceph_ec.data_pool


def test_a_cluster_ends_with_the_process_that_made_it(ceph):
    code = (
        "from tests.fixtures.ceph_cluster import Cluster\n"
        "print(Cluster('--store', 'memstore').directory, flush=True)\n"
        "input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
        env=environment(),
    )
    directory = Path(process.stdout.readline().decode().strip())
    pids = [int(file.read_text()) for file in (directory / "run").glob("*.pid")]
    process.kill()
    process.communicate()
    end = time.monotonic() + 60
    while directory.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not directory.exists()
    assert len(pids) == 2
    for pid in pids:
        line = Path(f"/proc/{pid}/cmdline")
        assert not line.exists() or str(directory).encode() not in line.read_bytes()
