"""Which image, on which cluster, as whom; and what is said when there is none."""

import json
import os
import socket

import pytest

from tests.fixtures.cli import blockdiff, report
from tests.fixtures.rbd import MIB, run

LIMIT = 40  # what cannot be reached fails within 20 s; the rest is for a loaded machine


def env(ceph, **more):
    return {**os.environ, **ceph.env, **more}


def test_namespaces_are_apart(ceph):
    ceph.namespace("ns")
    outer, inner = ceph.image("a", MIB, b"outer"), ceph.image("a", MIB, b"inner", namespace="ns")
    report("verify", ceph.url(outer), ceph.url(inner), expect=1)
    ceph.write(inner, 0, b"outer")
    report("verify", ceph.url(outer), ceph.url(inner), expect=0)
    ceph.image("only-outside", MIB)
    missing = blockdiff("map", ceph.url(f"{ceph.pool}/ns/only-outside"), expect=3)
    assert "only-outside" in missing.stderr


def test_the_configuration_may_come_from_the_environment(ceph):
    spec = ceph.image("a", MIB, b"data")
    blockdiff("map", f"rbd:{spec}", expect=0, env=env(ceph))
    del (without := env(ceph))["CEPH_CONF"]
    blockdiff("map", f"rbd:{spec}", expect=0, env={**without, "CEPH_ARGS": f"--conf {ceph.conf}"})
    keyring = ceph.user("somebody", {"mon": "profile rbd", "osd": "profile rbd-read-only"})
    arguments = f"--id somebody --keyring {keyring}"
    blockdiff("map", f"rbd:{spec}", expect=0, env=env(ceph, CEPH_ARGS=arguments))


def test_the_pool_rbd_is_the_default(ceph):
    ceph.mon("osd pool create", pool="rbd", pg_num=1, pgp_num=1)
    ceph._pools.append("rbd")
    ceph.rbd("pool", "init", "rbd")
    ceph.rbd("create", "rbd/a", "--size", "1M")
    blockdiff("map", ceph.url("a"), expect=0)


def test_an_image_by_its_id_and_in_the_trash(ceph):
    spec = ceph.image("a", MIB, b"data")
    ceph.snapshot(spec, "s")
    other = ceph.image("b", MIB, b"data")
    number = ceph.rbd_json("info", spec)["id"]
    by_id = f"rbd:{ceph.pool}/?conf={ceph.conf}&image-id={number}"
    at_snapshot = f"rbd:{ceph.pool}/@s?conf={ceph.conf}&image-id={number}"
    for url in (by_id, at_snapshot):
        report("verify", url, ceph.url(other), expect=0)
    ceph.rbd("trash", "mv", spec)
    missing = blockdiff("map", ceph.url(spec), expect=3)
    assert f"image-id={number}" in missing.stderr
    for url in (by_id, at_snapshot):
        report("verify", url, ceph.url(other), expect=0)
    ceph.write(other, 99, b"!")
    report("verify", by_id, ceph.url(other), expect=1)
    none = blockdiff("map", f"rbd:{ceph.pool}/?conf={ceph.conf}&image-id=123abc", expect=3)
    assert "123abc" in none.stderr


@pytest.mark.parametrize("timeout", ["2", "2.5", "0"])
def test_a_time_limit_in_the_url(ceph, timeout):
    blockdiff("map", ceph.url(ceph.image("a", MIB), timeout=timeout), expect=0)


@pytest.mark.parametrize("value", ["7", "0"])
def test_a_configured_time_limit(ceph, tmp_path, value):
    path = tmp_path / "ceph.conf"
    path.write_text(ceph.conf.read_text() + f"rados_osd_op_timeout = {value}\nclient_mount_timeout = 300\n")
    blockdiff("map", f"rbd:{ceph.image('a', MIB)}?conf={path}", expect=0)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        pytest.param("nopool/a", "nopool", id="pool"),
        pytest.param("{pool}/nons/a", "nons", id="namespace"),
        pytest.param("{pool}/noimage", "noimage", id="image"),
        pytest.param("{pool}/ns/noimage", "noimage", id="image-in-namespace"),
        pytest.param("{pool}/a@nosnap", "nosnap", id="snapshot"),
    ],
)
@pytest.mark.parametrize(
    "command", ["copy", *(pytest.param(name, marks=pytest.mark.slow) for name in ("map", "verify", "diff"))]
)
def test_what_is_missing_is_named(ceph, tmp_path, path, named, command):
    ceph.namespace("ns")
    spec = ceph.image("a", MIB, b"data")
    kind = {"nopool": "pool", "nons": "namespace", "noimage": "image", "nosnap": "snapshot"}[named]
    url = ceph.url(path.format(pool=ceph.pool))
    arguments = [url] if command == "map" else [url, ceph.url(spec)] if command != "copy" else [url, tmp_path / "t"]
    done = blockdiff(command, *arguments, "-o", "json", expect=3)
    error = json.loads(done.stderr.splitlines()[-1])
    text = json.dumps(error)
    assert kind in text.replace(path, "")
    assert named in text
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("path", ["", "a/b/c/d", "pool/", "/image", "pool/image@", "image@a@b", "pool//image"])
def test_bad_urls(ceph, path):
    blockdiff("map", ceph.url(path), expect=2)


def test_an_unknown_option_in_a_url_is_refused(ceph):
    done = blockdiff("map", ceph.url("a", cofn="x"), expect=2)
    assert "cofn" in done.stderr


def test_the_wrong_key(ceph, tmp_path):
    spec = ceph.image("a", MIB)
    keyring = tmp_path / "wrong.keyring"
    keyring.write_text("[client.admin]\n\tkey = AQBSdFhcAAAAABAAMjM0NTY3ODkwMTIzNDU2Nw==\n")
    done = blockdiff("map", ceph.url(spec, keyring=keyring), expect=5, timeout=LIMIT)
    assert "key" in done.stderr or "permi" in done.stderr.lower()


def test_no_such_user(ceph):
    done = blockdiff("map", ceph.url(ceph.image("a", MIB), id="nobody"), expect=5, timeout=LIMIT)
    assert "nobody" in done.stderr


def test_a_user_of_another_pool(ceph):
    spec = ceph.image("a", MIB)
    keyring = ceph.user("stranger", {"mon": "profile rbd", "osd": "profile rbd pool=other"})
    done = blockdiff("map", ceph.url(spec, id="stranger", keyring=keyring))
    assert done.returncode in {3, 5}
    assert "does not allow" in done.stderr


def test_no_configuration_file(ceph, tmp_path):
    done = blockdiff("map", f"rbd:a/b?conf={tmp_path}/missing.conf", timeout=LIMIT)
    assert done.returncode in {2, 3, 5}
    assert "missing.conf" in done.stderr


@pytest.fixture
def silent():
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(params=["refused", "silent"])
def unreachable(request, ceph, tmp_path, silent):
    """The configuration of a cluster whose monitor does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    port = silent if request.param == "silent" else closed
    lines = ceph.conf.read_text().splitlines()
    path = tmp_path / "gone.conf"
    path.write_text("".join(f"mon_host = [v2:127.0.0.1:{port}/0]\n" if "mon_host" in at else f"{at}\n" for at in lines))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("command", ["map", "verify", "copy"])
def test_an_unreachable_monitor_is_no_hang(ceph, unreachable, command, tmp_path):
    url = f"rbd:{ceph.pool}/a?conf={unreachable}"
    arguments = [url] if command == "map" else [url, ceph.url(ceph.image("b", MIB))]
    done = blockdiff(command, *arguments, expect=5, timeout=LIMIT)
    assert "monitor" in done.stderr or "cluster" in done.stderr


@pytest.mark.slow
def test_a_stopped_monitor_is_no_hang(ceph):
    spec = ceph.image("a", MIB)
    ceph.stop_mon()
    blockdiff("map", ceph.url(spec), expect=5, timeout=LIMIT)
    ceph.start_mon()
    blockdiff("map", ceph.url(spec), expect=0)


class TestTwoClusters:
    def test_verify(self, ceph, ceph_b):
        a, b = ceph.image("i", 8 * MIB, b"d" * (3 * MIB)), ceph_b.image("i", 8 * MIB, b"d" * (3 * MIB))
        ceph.snapshot(a, "s")
        ceph_b.snapshot(b, "s")
        urls = ceph.url(a, "s"), ceph_b.url(b, "s")
        assert report("verify", *urls, expect=0)["complete"]
        ceph_b.write(b, MIB + 99, b"!")
        value = report("verify", ceph.url(a, "s"), ceph_b.url(b), expect=1)
        assert value["differences"] == [{"offset": MIB, "length": 4096, "class": "data"}]
        assert report("verify", *urls, expect=0)["identical"]

    def test_the_same_spec_elsewhere_is_another_image(self, ceph, ceph_b):
        """Pools and images have the same names and numbers on both; only the cluster's id tells them apart."""
        for cluster in (ceph, ceph_b):
            cluster.mon("osd pool create", pool="same", pg_num=1, pgp_num=1)
            cluster._pools.append("same")
            cluster.rbd("pool", "init", "same")
            cluster.rbd("create", "same/i", "--size", "4M")
        ceph.write("same/i", 0, b"a")
        report("verify", ceph.url("same/i"), ceph_b.url("same/i"), expect=1)
        run("copy", "--verify", ceph.url("same/i"), ceph_b.url("same/i"))
        assert ceph_b.read("same/i", 0, 1) == b"a"

    def test_copy_and_diff(self, ceph, ceph_b):
        a = ceph.image("i", 8 * MIB, b"d" * (3 * MIB))
        b = ceph_b.image("i", 8 * MIB)
        run("copy", "--verify", ceph.url(a), ceph_b.url(b))
        assert ceph_b.content(b) == ceph.content(a)
        done = blockdiff("diff", "--exit-code", ceph.url(a), ceph_b.url(b), "-o", "json", expect=0)
        assert "method content" in done.stderr
