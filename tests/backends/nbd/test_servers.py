"""All commands on exports of real servers, by way of the command line."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import time

import pytest

from tests.fixtures.cli import blockdiff
from tests.fixtures.nbd import run
from tests.fixtures.storage import MIB

pytest_plugins = ["tests.fixtures.nbd"]


@pytest.fixture
def image(tmp_path):
    """Holes, data, and zeroes that are written."""
    path = tmp_path / "a.img"
    rng = random.Random(5)
    with path.open("wb") as file:
        file.truncate(24 * MIB)
        for at in (0, 3, 4, 9, 17, 23):
            file.seek(at * MIB)
            file.write(rng.randbytes(MIB))
        file.seek(11 * MIB)
        file.write(bytes(MIB))
    return path


def copy_of(image, tmp_path, *changes):
    other = tmp_path / "b.img"
    subprocess.run(["cp", "--sparse=always", image, other], check=True)
    with other.open("r+b") as file:
        for at, data in changes:
            file.seek(at)
            file.write(data)
    return other


def exported(nbd, kind, image):
    if kind == "qemu-nbd":
        return nbd.qemu_nbd(image, "-x", "disk").uri("disk")
    if kind == "nbd-server":
        return nbd.nbd_server({"disk": image}, readonly="true").uri("disk")
    if kind == "tcp":
        return nbd.nbdkit("file", image, tcp=True, read_only=True).uri()
    return nbd.nbdkit("file", image, read_only=True, filters=kind.split("+")[1:]).uri()


KINDS = ("qemu-nbd", "nbd-server", "nbdkit", "tcp", "nbdkit+noextents", "nbdkit+noparallel")


@pytest.mark.parametrize("kind", KINDS)
def test_verify_finds_what_differs(nbd, image, tmp_path, kind):
    url = exported(nbd, kind, image)
    same, other = image, copy_of(image, tmp_path, (5 * MIB + 4096, b"x"), (20 * MIB, b"y" * 5000))
    blockdiff("verify", url, same, expect=0)
    done = blockdiff("verify", "-o", "json", other, url, expect=1)
    found = [(d["offset"], d["length"]) for d in json.loads(done.stdout)["differences"]]
    assert found == [(5 * MIB + 4096, 4096), (20 * MIB, 8192)]
    done = blockdiff("diff", "-o", "json", url, other, expect=0)
    assert '"byte_offset":5246976' in done.stdout


@pytest.mark.parametrize("kind", ["qemu-nbd", "nbdkit"])
def test_map_is_that_of_nbdinfo(nbd, image, kind):
    url = exported(nbd, kind, image)
    ours = json.loads(blockdiff("map", "-o", "nbd", url, expect=0).stdout)
    theirs = json.loads(run("nbdinfo", "--map", "--json", url))
    assert ours == joined(theirs, "offset", ("type",))
    ours = json.loads(blockdiff("map", "-o", "qemu", url, expect=0).stdout)
    theirs = json.loads(run("qemu-img", "map", "--output=json", url))
    key = ("zero", "data")
    assert [tuple(e[k] for k in ("start", "length", *key)) for e in ours] == [
        tuple(e[k] for k in ("start", "length", *key)) for e in joined(theirs, "start", key)
    ]


def joined(extents, start, key):
    """Neighbours of one kind as one: how a server cuts its answers is its own affair."""
    found = []
    for extent in extents:
        if found and all(found[-1][k] == extent[k] for k in key):
            found[-1]["length"] += extent["length"]
        else:
            found.append(dict(extent))
    assert all(a[start] + a["length"] == b[start] for a, b in itertools.pairwise(found))
    return found


def test_no_map_is_said(nbd, image):
    done = blockdiff("map", exported(nbd, "nbdkit+noextents", image), expect=0)
    assert "data 24.0 MiB" in done.stdout
    done = blockdiff("map", exported(nbd, "nbd-server", image), expect=0)
    assert "tells no block status" in done.stderr
    done = blockdiff("verify", "-v", exported(nbd, "nbd-server", image), image, expect=0)
    assert "tells no block status" in done.stdout


@pytest.mark.parametrize("mode", [[], ["--changed"], ["--sparse", "never"], ["--sparse", "always"]])
@pytest.mark.parametrize("kind", ["qemu-nbd", "nbdkit", "nbdkit+nozero", "nbd-server"])
def test_copy_to_an_export(nbd, image, tmp_path, kind, mode):
    target = tmp_path / "target.img"
    target.write_bytes(random.Random(6).randbytes(25 * MIB))
    if kind == "qemu-nbd":
        url = nbd.qemu_nbd(target, read_only=False).uri()
    elif kind == "nbd-server":
        url = nbd.nbd_server({"disk": target}).uri("disk")
    else:
        url = nbd.nbdkit("file", target, filters=kind.split("+")[1:]).uri()
    rest = target.read_bytes()[24 * MIB :]
    blockdiff("copy", "--verify", *mode, image, url, expect=0)
    assert target.read_bytes() == image.read_bytes() + rest


def test_a_server_that_can_only_trim_gives_its_space_back(nbd, image, tmp_path):
    target, log = tmp_path / "target.img", tmp_path / "nbdkit.log"
    target.write_bytes(random.Random(6).randbytes(24 * MIB))
    url = nbd.nbdkit("file", target, f"logfile={log}", filters=["log", "nozero"]).uri()
    blockdiff("copy", image, url, expect=0)
    assert target.read_bytes() == image.read_bytes()
    assert target.stat().st_blocks * 512 < 24 * MIB
    assert " Trim " in log.read_text()
    assert " Zero " not in log.read_text()


def test_copy_to_blocks_of_4k(nbd, tmp_path):
    """A server that refuses parts of blocks, and a source of no whole number of them."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(random.Random(8).randbytes(1000 * 1000))
    target.write_bytes(b"\xff" * MIB)
    sizes = ["blocksize-minimum=4096", "blocksize-maximum=65536", "blocksize-error-policy=error"]
    url = nbd.nbdkit("file", target, *sizes, filters=["blocksize-policy"]).uri()
    blockdiff("copy", "--verify", "--granularity", "512", source, url, expect=0)
    assert target.read_bytes() == source.read_bytes() + b"\xff" * (MIB - 1000 * 1000)


def test_read_only_is_refused_before_anything_is_done(nbd, image, tmp_path):
    target = copy_of(image, tmp_path, (0, b"old"))
    before = target.read_bytes()
    done = blockdiff("copy", image, nbd.nbdkit("file", target, read_only=True).uri(), expect=4)
    assert "exports it for reading only" in done.stderr
    assert target.read_bytes() == before


def test_an_export_is_not_compared_with_itself(nbd, image):
    server = nbd.nbdkit("file", image)
    done = blockdiff("verify", server.uri(), server.uri(timeout="9"), expect=2)
    assert "one and the same" in done.stderr
    blockdiff("copy", server.uri(), server.uri(), expect=2)


def test_unknown_export(nbd, image):
    done = blockdiff("map", nbd.qemu_nbd(image, "-x", "disk").uri("dis k"), expect=3)
    assert "there is 'disk'" in done.stderr
    done = blockdiff("map", f"nbd+unix:///?socket={image}.none", expect=5)
    assert "No such file" in done.stderr


# ---- faults ----


def test_errors_of_ranges(nbd, image):
    """A disk with a bad spot: where it is, or with --keep-going all but it."""
    bad = "if [ $4 -le 8196096 -a $(($4+$3)) -gt 8192000 ]; then echo EIO bad spot >&2; exit 1; fi"
    read = f"dd if={image} iflag=skip_bytes,count_bytes skip=$4 count=$3 status=none"
    url = nbd.nbdkit("eval", "get_size=echo 25165824", f"pread={bad}; {read}").uri()
    done = blockdiff("verify", url, image, expect=3)
    assert "at offset" in done.stderr
    assert "Input/output error" in done.stderr
    done = blockdiff("verify", "--keep-going", "-o", "json", url, image, expect=3)
    report = json.loads(done.stdout)
    assert not report["identical"]
    (bad,) = report["unreadable"]
    assert bad["offset"] <= 8192000
    assert bad["offset"] + bad["length"] >= 8192000
    assert bad["length"] <= 8192


def test_an_error_that_comes_sometimes(nbd, image):
    url = nbd.nbdkit("file", image, "error-pread=EIO", "error-rate=100%", filters=["error"]).uri()
    done = blockdiff("verify", url, image, expect=3)
    assert "Input/output error" in done.stderr


def test_a_slow_server(nbd, image):
    url = nbd.nbdkit("file", image, "delay-read=100ms", filters=["delay"]).uri()
    blockdiff("verify", url, image, expect=0)
    slow = nbd.nbdkit("file", image, "delay-read=20", filters=["delay"]).uri(timeout=1)
    done = blockdiff("verify", slow, image, expect=3)
    assert "did not answer within 1 s" in done.stderr


def test_a_server_that_stands_still(nbd, image):
    server = nbd.nbdkit("file", image)
    server.kill(19)  # SIGSTOP
    done = blockdiff("verify", server.uri(timeout=1), image, expect=5)
    assert "did not answer within 1 s" in done.stderr


def test_several_connections_in_parallel(nbd, tmp_path):
    log = tmp_path / "nbdkit.log"
    url = nbd.nbdkit("pattern", "160M", f"logfile={log}", filters=["log"]).uri()
    blockdiff("map", "--zeroes", "--workers", "2", url, expect=0)
    connections = {line.split("connection=")[1].split()[0] for line in log.read_text().splitlines() if " Read " in line}
    assert len(connections) > 1


# ---- bitmaps ----


def test_dirty_bitmap_of_a_running_node(nbd, tmp_path):
    """Live: what was written since, copied and proved; the bitmap is audited against the content."""
    image, before = tmp_path / "disk.qcow2", tmp_path / "before.img"
    run("qemu-img", "create", "-f", "qcow2", image, "32M")
    run("qemu-io", "-c", "write -P 1 0 8M", image)
    run("qemu-img", "convert", "-O", "raw", image, before)
    daemon = nbd.storage_daemon()
    daemon.node("disk", image)
    daemon.bitmap("disk", "since", granularity=65536)
    write = daemon.export("disk", "write", writable=True)
    run("qemu-io", "-f", "raw", "-c", "write -P 2 1M 64k", "-c", "write -P 3 20M 128k", "-c", "write -z 4M 64k", write)
    daemon.freeze("disk", "since")
    url = daemon.export("disk", "read", bitmaps=["since"])
    bitmap = url + "&bitmap=since"
    done = blockdiff("diff", "-o", "json", bitmap, expect=0)
    (record,) = json.loads(done.stdout)
    assert [(e["byte_offset"], e["size_bytes"]) for e in record["block_metadata"]] == [
        (MIB, 65536),
        (4 * MIB, 65536),
        (20 * MIB, 131072),
    ]
    assert "method cbt" in done.stderr
    done = blockdiff("diff", bitmap, "--exit-code", expect=1)
    blockdiff("audit", before, url, "--extents", bitmap, expect=0)
    blockdiff("copy", "--verify", "--extents", bitmap, url, before, expect=0)
    blockdiff("verify", url, before, expect=0)
    done = blockdiff("diff", url + "&bitmap=until", expect=3)
    assert "it has 'since'" in done.stderr
    blockdiff("map", bitmap, expect=2)
    done = blockdiff("verify", bitmap, before, expect=4)
    assert "holds no data" in done.stderr
    done = blockdiff("diff", before, bitmap, expect=2)


def test_many_extents(nbd, tmp_path):
    """A bitmap with every second block set, more than one batch of it."""
    image = tmp_path / "disk.qcow2"
    run("qemu-img", "create", "-f", "qcow2", image, "1G")
    run("qemu-img", "bitmap", "--add", "-g", "4096", image, "b")
    writes = "".join(f"write {at * 8192} 4096\n" for at in range(3000))
    run("qemu-io", "-f", "qcow2", image, stdin=writes + "quit\n")
    url = nbd.qemu_nbd(image, "-B", "b", image_format="qcow2").uri(bitmap="b")
    (record,) = json.loads(blockdiff("diff", "-o", "json", url, expect=0).stdout)
    found = [(e["byte_offset"], e["size_bytes"]) for e in record["block_metadata"]]
    assert found == [(at * 8192, 4096) for at in range(3000)]
    theirs = json.loads(run("nbdinfo", "--map=qemu:dirty-bitmap:b", "--json", url.replace("&bitmap=b", "")))
    assert [(e["offset"], e["length"]) for e in theirs if e["type"]] == found


# ---- TLS ----


@pytest.mark.parametrize("psk", [False, True])
@pytest.mark.parametrize("tcp", [False, True])
def test_tls(nbd, image, psk, tcp):
    tls = nbd.tls(psk=psk)
    for server in (nbd.qemu_nbd(image, tls=tls, tcp=tcp), nbd.nbdkit("file", image, tls=tls, tcp=tcp, read_only=True)):
        blockdiff("verify", server.uri(tls=tls), image, expect=0)
        done = blockdiff("verify", server.uri(), image, expect=5)
        assert "write nbds" in done.stderr


def test_tls_both_ways(nbd, image):
    """A server that wants to know its clients by their certificates."""
    tls = nbd.tls()
    server = nbd.nbdkit("file", image, options=tls.nbdkit(verify=True), read_only=True)
    url = server.uri(tls=tls)
    blockdiff("verify", url, image, expect=0)
    os.remove(tls.place / "client-cert.pem")
    os.remove(tls.place / "client-key.pem")
    done = blockdiff("verify", url, image, expect=5)
    assert "closed the connection" in done.stderr


def test_tls_with_the_wrong_server(nbd, image):
    tls, stranger = nbd.tls(), nbd.tls()
    server = nbd.qemu_nbd(image, tls=tls, tcp=True)
    done = blockdiff("verify", server.uri(tls=stranger), image, expect=5)
    assert "TLS failed" in done.stderr
    assert "NOT trusted" in done.stderr
    done = blockdiff("verify", server.uri(tls=tls, tls_hostname="elsewhere.example"), image, expect=5)
    assert "does not match" in done.stderr
    plain = nbd.qemu_nbd(image, tcp=True)
    done = blockdiff("verify", plain.uri(tls=tls), image, expect=5)
    assert "no way without" in done.stderr


def test_tls_with_the_wrong_key(nbd, image):
    tls, stranger = nbd.tls(psk=True), nbd.tls(psk=True)
    server = nbd.nbdkit("file", image, tls=tls, read_only=True)
    done = blockdiff("verify", server.uri(tls=stranger), image, expect=5)
    assert "cannot" in done.stderr
    done = blockdiff("verify", server.uri(tls=tls, user="bob"), image, expect=2)
    assert "no key of 'bob'" in done.stderr


# ---- connections that are lost ----


def test_a_server_that_is_started_again(nbd, tmp_path):
    """Killed in the middle and started again: it goes on, and says so."""
    image = tmp_path / "big.img"
    image.write_bytes(random.Random(9).randbytes(96 * MIB))
    server = nbd.nbdkit("file", image, "rate=80M", filters=["rate"])
    from tests.fixtures.cli import finish, start

    process = start("verify", server.uri(), image)
    time.sleep(0.8)
    server.kill()
    server.wait()
    os.remove(server.socket)
    words = ["nbdkit", "--foreground", "--exit-with-parent", "--unix", server.socket, "file", image]
    again = subprocess.Popen([str(word) for word in words])
    try:
        code, out, err = finish(process)
    finally:
        again.kill()
        again.wait()
    assert code == 0, (out, err)
    assert "connection was lost and made again" in out + err


@pytest.mark.parametrize("command", [("verify",), ("copy",), ("map", "--zeroes")])
def test_an_interruption_does_not_wait_for_the_server(nbd, image, tmp_path, command):
    from tests.fixtures.cli import finish, start

    url = nbd.nbdkit("file", image, "delay-read=600", filters=["delay"]).uri()
    other = {"verify": [image], "copy": [tmp_path / "copy"], "map": []}[command[0]]
    process = start(*command, url, *other)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert code == 130, (out, err)


def test_list(nbd, image, tmp_path):
    """What a server exports, for people and for programs."""
    server = nbd.nbd_server({"one": image, "two": copy_of(image, tmp_path)}, readonly="true")
    done = blockdiff("map", "--list", server.uri(), expect=0)
    assert "25165824  read-only  nbd+unix:///one?socket=" in done.stdout
    daemon = nbd.storage_daemon()
    daemon.node("disk", image, driver="raw")
    daemon.bitmap("disk", "since")
    daemon.freeze("disk", "since")
    daemon.export("disk", "read", bitmaps=["since"])
    (found,) = json.loads(blockdiff("map", "--list", "-o", "json", daemon.uri(), expect=0).stdout)
    assert (found["name"], found["size"], found["read_only"]) == ("read", 24 * MIB, True)
    assert sorted(found["contexts"]) == ["base:allocation", "qemu:dirty-bitmap:since"]
    assert "URL" not in blockdiff("map", found["url"], expect=0).stdout
    blockdiff("map", "--list", image, expect=4)
    blockdiff("map", "--list", "-o", "rbd", server.uri(), expect=2)
