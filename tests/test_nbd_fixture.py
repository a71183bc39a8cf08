"""The servers of `tests/fixtures/nbd.py` are what they say, as nbdinfo, nbdcopy and qemu-img see them."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.fixtures.nbd import ENVIRONMENT, alive, answers, need, run, until
from tests.fixtures.qmp import QmpError

MIB = 1 << 20


@pytest.fixture
def raw(tmp_path):
    """2 MiB: data, hole, data."""
    path = tmp_path / "disk.img"
    path.write_bytes(b"a" * 65536 + bytes(MIB - 65536) + b"b" * MIB)
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, 2 * MIB)
    return path


@pytest.fixture
def qcow2(tmp_path):
    """8 MiB of qcow2 with a bitmap that knows the second of two writes."""
    path = tmp_path / "disk.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", path, "8M")
    run("qemu-io", "-c", "write -P 1 0 64k", path)
    run("qemu-img", "bitmap", "--add", path, "b0")
    run("qemu-io", "-c", "write -P 2 1M 64k", path)
    return path


def info(uri, *options):
    need("nbdinfo")
    return json.loads(run("nbdinfo", "--json", "--no-content", *options, uri))


def export(uri):
    return info(uri)["exports"][0]


def ranges(uri, context="base:allocation"):
    return [(e["offset"], e["length"], e["type"]) for e in info(uri, f"--map={context}")]


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
@pytest.mark.parametrize("kind", ["qemu-nbd", "nbdkit", "nbd-server"])
def test_each_server_serves_the_file(nbd, raw, tmp_path, kind, tcp):
    start = {
        "qemu-nbd": lambda: (nbd.qemu_nbd(raw, tcp=tcp), ""),
        "nbdkit": lambda: (nbd.nbdkit("file", raw, tcp=tcp), ""),
        "nbd-server": lambda: (nbd.nbd_server({"disk": raw}, tcp=tcp), "disk"),
    }
    server, name = start[kind]()
    got = tmp_path / "got.img"
    run("nbdcopy", server.uri(name), got)
    assert got.read_bytes() == raw.read_bytes()
    if kind == "nbd-server":  # it answers NBD_OPT_INFO with a size of 0: only the handshake itself tells the truth
        assert run("nbdinfo", "--size", server.uri(name)).strip() == str(2 * MIB)
    else:
        assert export(server.uri(name))["export-size"] == 2 * MIB
    assert server.running
    server.stop()
    assert not server.running


def test_qemu_nbd_tells_allocation_depth_and_a_bitmap(nbd, qcow2):
    server = nbd.qemu_nbd(qcow2, "-B", "b0", "-A", image_format="qcow2")
    told = export(server.uri())
    assert told["contexts"] == ["base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:b0"]
    assert told["can_multi_conn"] is True
    assert ranges(server.uri()) == [(0, 65536, 0), (65536, 983040, 3), (MIB, 65536, 0), (MIB + 65536, 7274496, 3)]
    assert ranges(server.uri(), "qemu:dirty-bitmap:b0") == [(0, MIB, 0), (MIB, 65536, 1), (MIB + 65536, 7274496, 0)]
    assert [kind for *_, kind in ranges(server.uri(), "qemu:allocation-depth")] == [1, 0, 1, 0]


def test_qemu_nbd_ends_with_its_last_client_but_not_with_one_that_only_asks(nbd, raw):
    server = nbd.qemu_nbd(raw, "-x", "odd name/ä", persistent=False, shared=1)
    assert export(server.uri("odd name/ä"))["can_multi_conn"] is False
    assert server.running
    run("nbdcopy", server.uri("odd name/ä"), "null:")
    assert server.wait() == 0


@pytest.mark.parametrize("psk", [False, True], ids=["certificates", "psk"])
@pytest.mark.parametrize("kind", ["qemu-nbd", "nbdkit"])
@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_tls(nbd, raw, kind, psk, tcp):
    tls = nbd.tls(psk=psk)
    server = nbd.qemu_nbd(raw, tls=tls, tcp=tcp) if kind == "qemu-nbd" else nbd.nbdkit("file", raw, tls=tls, tcp=tcp)
    told = info(server.uri(tls=tls))
    assert (told["TLS"], told["exports"][0]["export-size"]) == (True, 2 * MIB)
    with pytest.raises(RuntimeError, match=r"TLS|tls|opt_go"):
        info(server.uri())
    if psk or tcp:  # libnbd believes every certificate that comes through a unix socket
        with pytest.raises(RuntimeError):
            info(server.uri(tls=nbd.tls(psk=psk)))


def test_nbdkit_plugins(nbd):
    data = nbd.nbdkit("data", "0x41*65536 @1048576 0x42*512", "size=2M")
    assert ranges(data.uri())[0] == (0, 65536, 0)
    assert export(data.uri())["export-size"] == 2 * MIB
    memory = nbd.nbdkit("memory", "64M")
    assert ranges(memory.uri()) == [(0, 64 * MIB, 3)]
    sparse = nbd.nbdkit("sparse-random", "size=64M", "percent=10", "runlength=16384", "seed=7")
    assert len(ranges(sparse.uri())) > 10


def test_nbdkit_faults(nbd, raw, tmp_path):
    log = tmp_path / "requests.log"
    failing = nbd.nbdkit("file", raw, "error-pread-rate=100%", "error=EIO", f"logfile={log}", filters=["log", "error"])
    with pytest.raises(RuntimeError, match="Input/output error"):
        run("nbdcopy", failing.uri(), "null:")
    assert "Read id=" in log.read_text()
    slow = nbd.nbdkit("file", raw, "rdelay=10ms", filters=["delay", "readahead"])
    run("nbdcopy", slow.uri(), "null:")
    strict = nbd.nbdkit("file", raw, "blocksize-minimum=4k", "blocksize-maximum=64k", filters=["blocksize-policy"])
    assert export(strict.uri())["block_size_minimum"] == 4096


def test_nbdkit_lies_about_extents(nbd, raw, tmp_path):
    """The extentlist filter says what a file says, whatever is true; the noextents filter says nothing."""
    table = tmp_path / "table"
    table.write_text("0 65536 data\n65536 2031616 hole,zero\n")
    liar = nbd.nbdkit("file", raw, f"extentlist={table}", filters=["extentlist"])
    assert ranges(liar.uri()) == [(0, 65536, 0), (65536, 2031616, 3)]
    silent = nbd.nbdkit("file", raw, filters=["noextents"])
    assert ranges(silent.uri()) == [(0, 2 * MIB, 0)]


def test_a_killed_server_is_gone_and_a_stopped_one_hangs(nbd, raw):
    server = nbd.nbdkit("file", raw)
    server.kill(signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["nbdinfo", server.uri()], capture_output=True, timeout=0.3, check=False, env=ENVIRONMENT)
    server.kill()
    assert server.wait() == -signal.SIGKILL
    assert not answers(server)


def test_a_server_that_cannot_start_says_why(nbd, tmp_path):
    with pytest.raises(AssertionError, match="No such file"):
        nbd.qemu_nbd(tmp_path / "missing.img")


def test_storage_daemon_has_bitmaps(nbd, qcow2):
    """A bitmap of a running machine: noted while it writes, then told; QEMU refuses what would be a moving answer."""
    daemon = nbd.storage_daemon()
    daemon.node("disk", qcow2)
    daemon.bitmap("disk", "live")
    live = daemon.export("disk", "live", writable=True)
    run("qemu-io", "-f", "raw", "-c", "write -P 3 2M 4k", live)
    with pytest.raises(QmpError, match="Enabled bitmap"):
        daemon.export("disk", "audit", bitmaps=["live"])
    daemon.freeze("disk", "live")
    daemon.freeze("disk", "b0")
    told = daemon.export("disk", "audit", bitmaps=["live", "b0"], depth=True)
    assert [e for e in ranges(told, "qemu:dirty-bitmap:live") if e[2]] == [(2 * MIB, 65536, 1)]
    expected = {"base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:b0", "qemu:dirty-bitmap:live"}
    assert set(export(told)["contexts"]) == expected
    with pytest.raises(QmpError):
        daemon.export("disk", "none", bitmaps=["missing"])


def test_servers_end_with_their_test_process(tmp_path, raw):
    """Also when it is killed."""
    need("qemu-nbd", "nbdkit", "qemu-storage-daemon")
    program = (
        "import sys, time\n"
        "from tests.fixtures.nbd import Servers\n"
        "s = Servers(sys.argv[1])\n"
        "started = s.qemu_nbd(sys.argv[2]), s.nbdkit('memory', '1M'), s.storage_daemon()\n"
        "print(*[x.pid for x in started], flush=True)\n"
        "time.sleep(60)\n"
    )
    place = tmp_path / "s"
    place.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", program, place, raw], stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
    )
    pids = parent.stdout.readline().split()
    parent.kill()
    parent.communicate()
    until(lambda: not any(alive(pid) for pid in pids), "a server outlives its test")
