"""Persistent bitmaps of images as lists of what changed."""

import json
import os
import signal

import pytest

import blockdiff
from blockdiff.engine.registry import is_source, open_device, open_source
from blockdiff.errors import DeviceError, InvalidInput, UnsupportedOperation
from tests.fixtures import qcow2
from tests.fixtures.cli import blockdiff as command
from tests.fixtures.descriptors import descriptors, opened_since
from tests.fixtures.nbd import run, until

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def image(tmp_path):
    """4 MiB; the bitmap b knows the writes of 3 and 4."""
    path = qcow2.create(tmp_path / "disk.qcow2", "4M")
    qcow2.write(path, (0, MIB, 1))
    run("qemu-img", "bitmap", "--add", "-g", "64k", path, "b, ü")
    qcow2.write(path, (64 * KIB, 4 * KIB, 3), (3 * MIB, 100 * KIB, 4))
    return path


WRITTEN = [(64 * KIB, 64 * KIB), (3 * MIB, 128 * KIB)]


def listed(url, base=None):
    return [(e.offset, e.length) for record in blockdiff.diff(base, url) for e in record.extents]


def test_as_it_was_written(image):
    assert listed(f"{image}?bitmap=b, ü") == WRITTEN
    assert listed(f"qcow2:{image}?bitmap=b%2C%20%C3%BC") == WRITTEN
    assert is_source(f"{image}?bitmap=x")
    assert not is_source(image)


def test_on_the_command_line(image, tmp_path):
    done = command("diff", "-o", "json", f"{image}?bitmap=b, ü", expect=0)
    (record,) = json.loads(done.stdout)
    assert [(e["byte_offset"], e["size_bytes"]) for e in record["block_metadata"]] == WRITTEN
    assert record["volume_capacity_bytes"] == 4 * MIB
    assert "method cbt" in done.stderr
    done = command("verify", f"{image}?bitmap=b, ü", image, expect=4)
    assert "holds no data" in done.stderr


def test_the_list_brings_an_old_copy_up_to_date(image, tmp_path):
    """And audit proves that it was enough, before it is relied upon."""
    old = tmp_path / "old.img"
    data = bytearray(qcow2.content(image))
    data[64 * KIB : 68 * KIB] = b"\1" * 4 * KIB
    data[3 * MIB : 3 * MIB + 100 * KIB] = bytes(100 * KIB)
    old.write_bytes(data)
    url = f"{image}?bitmap=b, ü"
    command("audit", old, image, "--extents", url, expect=0)
    command("copy", "--extents", url, "--verify", image, old, expect=0)
    command("verify", image, old, expect=0)


def test_missing_or_twice(image):
    with pytest.raises(UnsupportedOperation, match=r"no such bitmap; it has 'b, ü'"):
        listed(f"{image}?bitmap=c")
    with pytest.raises(InvalidInput, match="name it alone"):
        listed(f"{image}?bitmap=b, ü", f"{image}?bitmap=b, ü")
    with pytest.raises(UnsupportedOperation, match="not about a snapshot"):
        listed(f"{image}?bitmap=b, ü&snapshot=1") if run("qemu-img", "snapshot", "-c", "s", image) == "" else None


def test_a_disabled_one_is_refused(image):
    """It knows nothing of what was written since it was told to stop."""
    run("qemu-img", "bitmap", "--disable", image, "b, ü")
    qcow2.write(image, (2 * MIB, 4096, 9))
    with pytest.raises(UnsupportedOperation, match="the bitmap is disabled"):
        listed(f"{image}?bitmap=b, ü")
    run("qemu-img", "bitmap", "--enable", image, "b, ü")
    assert listed(f"{image}?bitmap=b, ü") == WRITTEN


def test_the_bitmap_of_a_backing_file_knows_nothing_of_the_overlay(image, tmp_path):
    over = qcow2.create(tmp_path / "over.qcow2", backing=image.name)
    qcow2.write(over, (2 * MIB, 4096, 9))
    with pytest.raises(UnsupportedOperation, match="no such bitmap; it has none"):
        listed(f"{over}?bitmap=b, ü")


def test_one_that_was_not_written_back_is_refused(image, nbd):
    """QEMU marks the bitmaps of an image that it writes to; a killed one leaves them so."""
    daemon = nbd.storage_daemon()
    daemon.node("disk", image)
    run("qemu-io", "-f", "raw", "-c", "write -P 5 1M 4k", daemon.export("disk", writable=True))
    for url in (f"{image}?bitmap=b, ü", f"{image}?bitmap=b, ü&force-share=on"):
        with pytest.raises(UnsupportedOperation, match="not written back"):
            listed(url)
    daemon.kill(signal.SIGKILL)
    daemon.wait()
    with pytest.raises(UnsupportedOperation, match="not written back"):
        listed(f"{image}?bitmap=b, ü")


def test_one_of_an_orderly_end_is_good(image, nbd):
    daemon = nbd.storage_daemon()
    daemon.node("disk", image)
    daemon.bitmap("disk", "live", persistent=True)
    run("qemu-io", "-f", "raw", "-c", "write -P 5 1M 4k", daemon.export("disk", writable=True, key="e"))
    daemon.unexport("e")
    daemon.qmp("blockdev-del", node_name="disk")
    assert listed(f"{image}?bitmap=live") == [(MIB, 64 * KIB)]
    assert listed(f"{image}?bitmap=b, ü") == [WRITTEN[0], (MIB, 64 * KIB), WRITTEN[1]]


def test_programs_that_do_not_know_bitmaps_void_them(image):
    """A writer that leaves the bitmaps alone clears the bit that says that they are valid."""
    with image.open("r+b") as file:
        file.seek(88)
        assert file.read(8) == (1).to_bytes(8, "big")
        file.seek(88)
        file.write(bytes(8))
    with pytest.raises(UnsupportedOperation, match="it has none"):
        listed(f"{image}?bitmap=b, ü")


def test_a_server_that_is_killed(image):
    source, pair = open_source(None, f"{image}?bitmap=b, ü")
    source._image.server._process.kill()
    until(source._image.server.ended, "it runs on")
    with pytest.raises(DeviceError):
        list(source.records(pair))
    source.close()


def test_a_change_meanwhile_is_an_error(image):
    source, pair = open_source(None, f"{image}?bitmap=b, ü")
    os.utime(image, (1, 1))
    with pytest.raises(DeviceError, match="modified"):
        list(source.records(pair))
    source.close()


def test_nothing_is_left_open(image):
    before = descriptors()
    source = None
    for _ in range(3):
        source, pair = open_source(None, f"{image}?bitmap=b, ü")
        list(source.records(pair))
        source.close()
        with pytest.raises(UnsupportedOperation):
            open_source(None, f"{image}?bitmap=none")
        with open_device(image):
            pass
    del source
    assert not opened_since(before)
