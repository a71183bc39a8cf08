"""The disks in images, against qemu-img."""

import itertools
import json
import os
import struct

import pytest

import blockdiff
from blockdiff.engine.registry import open_device
from blockdiff.errors import (
    BlockdiffError,
    DeviceBusy,
    DeviceError,
    InvalidInput,
    SnapshotNotFound,
    UnsupportedOperation,
)
from blockdiff.extent import Kind
from blockdiff.testing.conformance import DeviceConformance
from tests.fixtures import qcow2
from tests.fixtures.nbd import run, until

MIB = 1 << 20
PATTERN = bytes(range(1, 256)) * 4112 + bytes(MIB - 255 * 4112)


class TestConformance(DeviceConformance):
    unit = 512
    writable = False

    @pytest.fixture(params=[open_device, qcow2.by_qemu], ids=["plain", "by-qemu"])
    def make(self, tmp_path, request):
        numbers = itertools.count(1)
        return lambda data: request.param(qcow2.of(data, tmp_path / f"d{next(numbers)}.qcow2"))


def read(device, offset=0, length=None):
    buffer = bytearray(device.size - offset if length is None else length)
    device.pread_into(buffer, offset)
    return bytes(buffer)


@pytest.fixture
def image(tmp_path):
    """3 MiB: data, zeroes, a hole."""
    path = qcow2.create(tmp_path / "a.qcow2", "3M")
    qcow2.write(path, (0, MIB, 1), (MIB, 65536, None), (2 * MIB, 4096, 7))
    return path


@pytest.mark.parametrize(
    ("name", "image_format", "options"),
    [
        ("a.qcow2", "qcow2", ()),
        ("a.qcow2", "qcow2", ("-c",)),
        ("a.qcow2", "qcow2", ("-c", "-o", "compression_type=zstd,cluster_size=2M")),
        ("a.qcow2", "qcow2", ("-o", "compat=0.10")),
        ("a.qcow2", "qcow2", ("-o", "extended_l2=on,cluster_size=128k")),
        ("a.vmdk", "vmdk", ()),
        ("a.vmdk", "vmdk", ("-o", "subformat=streamOptimized")),
        ("a.vhdx", "vhdx", ()),
        ("a.vdi", "vdi", ()),
        ("a.vhd", "vpc", ("-o", "force_size=on")),
    ],
    ids=["qcow2", "zlib", "zstd", "v2", "subclusters", "vmdk", "stream", "vhdx", "vdi", "vhd"],
)
def test_formats_mix_with_raw(tmp_path, name, image_format, options):
    path = qcow2.of(PATTERN, tmp_path / name, image_format, *options)
    raw = tmp_path / "a.raw"
    raw.write_bytes(PATTERN)
    report = blockdiff.verify(path, raw)
    assert (report.identical, report.source.url) == (True, f"{image_format}:{path}")
    with open_device(path) as device:
        assert read(device) == PATTERN
    changed = bytearray(PATTERN)
    changed[12345] ^= 1
    raw.write_bytes(changed)
    report = blockdiff.verify(path, raw)
    assert [(e.offset, e.length) for e in report.differences] == [(12288, 4096)]


def test_a_vhd_of_fixed_size_only_by_its_url(tmp_path):
    path = qcow2.of(PATTERN, tmp_path / "a.vhd", "vpc", "-o", "subformat=fixed,force_size=on")
    with open_device(f"vpc:{path}") as device:
        assert read(device) == PATTERN
    with open_device(path) as device:
        assert (device.url, device.size) == (str(path), MIB + 512)


def test_allocation_as_qemu_img_map_says(image):
    with open_device(image) as device:
        found = [(e.offset, e.length, e.kind) for batch in device.extents() for e in batch]
    expected = []
    for start, length, _, _, zero, data in qcow2.mapped(image):
        kind = Kind.HOLE if not data else Kind.ZERO if zero else Kind.DATA
        first = expected.pop()[0] if expected and expected[-1][2] == kind else start
        expected.append((first, start + length - first, kind))
    assert found == expected
    data = qcow2.content(image)
    assert all(kind == Kind.DATA or not any(data[offset : offset + length]) for offset, length, kind in found)


def test_snapshots(image):
    before = qcow2.content(image)
    run("qemu-img", "snapshot", "-c", "a, b=?&%", image)
    qcow2.write(image, (0, 4096, 9), (MIB, 4096, 9))
    run("qemu-img", "snapshot", "-c", "two", image)
    run("qemu-img", "resize", "-q", image, "4M")
    qcow2.write(image, (3 * MIB, MIB, 5))
    for name in ("a, b=?%26%25", "1"):
        with open_device(f"{image}?snapshot={name}") as device:
            assert (device.size, read(device)) == (3 * MIB, before)
            assert not any(e.offset + e.length > device.size for batch in device.extents() for e in batch)
    with open_device(image) as device:
        assert read(device) == qcow2.content(image)
    found = blockdiff.diff(f"{image}?snapshot=1", f"qcow2:{image}?snapshot=two")
    assert [(e.offset, e.length) for record in found for e in record.extents] == [(0, 4096), (MIB, 4096)]
    with pytest.raises(SnapshotNotFound, match="two"):
        open_device(f"{image}?snapshot=three")
    run("qemu-img", "resize", "-q", "--shrink", image, "1M")
    with pytest.raises(UnsupportedOperation, match="no more of a snapshot"):
        open_device(f"{image}?snapshot=two")


def test_two_snapshots_of_one_name_are_told_apart_by_id(image):
    for byte in (3, 4):
        qcow2.write(image, (0, 512, byte))
        run("qemu-img", "snapshot", "-c", "same", image)
    with pytest.raises(SnapshotNotFound, match="1, 2"):
        open_device(f"{image}?snapshot=same")
    with open_device(f"{image}?snapshot=2") as device:
        assert read(device, 0, 1) == b"\4"


@pytest.mark.parametrize(
    "name",
    [
        "a,b=c.qcow2",
        "a:b.qcow2",
        "a b.qcow2",
        "a\nb.qcow2",
        'a"}.qcow2',
        "a\\.qcow2",
        "-a.qcow2",
        "ä%41.qcow2",
        "?.qcow2",
    ],
)
def test_odd_names(tmp_path, name):
    """Names reach QEMU as descriptors only, so none of them can be an option."""
    plain = qcow2.of(PATTERN, tmp_path / "plain.qcow2")
    base = qcow2.create(tmp_path / "over.qcow2", backing="plain.qcow2")
    odd, over = tmp_path / name, tmp_path / f"x{name}"
    plain.rename(odd)
    base.rename(over)
    # written by hand: qemu-img's own options would be the first to stumble
    header = bytearray(over.read_bytes())
    at = int.from_bytes(header[8:16], "big")
    encoded = f"./{name}".encode()
    header[at : at + len(encoded)] = encoded
    header[16:20] = len(encoded).to_bytes(4, "big")
    over.write_bytes(header)
    for path in (odd, over):
        with open_device(path) as device:
            assert read(device) == PATTERN
            assert device.url.isprintable()


def test_names_that_are_no_text(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff\xfe.qcow2"
    qcow2.of(PATTERN, tmp_path / "p.qcow2").rename(os.fsdecode(path))
    with open_device(os.fsdecode(path)) as device:
        assert read(device) == PATTERN
        assert "\\xff\\xfe" in device.url


def test_read_only_files_and_directories(image, tmp_path):
    image.chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        with open_device(image) as device:
            assert device.size == 3 * MIB
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.slow
def test_a_huge_disk(tmp_path):
    path = qcow2.create(tmp_path / "huge.qcow2", "4T", options=["cluster_size=2M"])
    qcow2.write(path, (3 << 40, 4096, 1))
    other = qcow2.create(tmp_path / "other.qcow2", "4T", options=["cluster_size=2M"])
    report = blockdiff.verify(path, other)
    assert [(e.offset, e.length) for e in report.differences] == [(3 << 40, 4096)]


# ---- refusals and faults ----


def test_it_is_never_written(image, tmp_path):
    source = tmp_path / "new.raw"
    source.write_bytes(b"x" * 4096)
    before = image.read_bytes()
    with pytest.raises(UnsupportedOperation, match="only reads"):
        blockdiff.copy(source, image)
    assert image.read_bytes() == before


@pytest.mark.parametrize("force", [False, True], ids=["", "force"])
def test_a_copy_over_a_file_of_the_image_itself_is_refused(image, tmp_path, force):
    over = qcow2.create(tmp_path / "over.qcow2", backing=image.name)
    for target in (f"file:{over}", f"file:{image}"):
        with pytest.raises(DeviceBusy):
            blockdiff.copy(over, target, force=force, resize=True)


def test_encrypted_is_refused(tmp_path):
    path = tmp_path / "c.qcow2"
    options = ["-o", "encrypt.format=aes,encrypt.key-secret=s"]
    run("qemu-img", "create", "-q", "-f", "qcow2", "--object", "secret,id=s,data=abc", *options, path, "1M")
    with pytest.raises(UnsupportedOperation, match="encrypted"):
        open_device(path)


def test_a_missing_backing_file_is_named(image, tmp_path):
    over = qcow2.create(tmp_path / "over.qcow2", backing=image.name)
    image.rename(tmp_path / "elsewhere.qcow2")
    with pytest.raises(DeviceError, match=r"over\.qcow2: its backing file .*a\.qcow2"):
        open_device(over)


def test_a_circle_is_found(tmp_path):
    one = qcow2.create(tmp_path / "one.qcow2", "1M")
    two = qcow2.create(tmp_path / "two.qcow2", backing="one.qcow2")
    run("qemu-img", "rebase", "-u", "-b", "two.qcow2", "-F", "qcow2", one)
    with pytest.raises(InvalidInput, match="circle"):
        open_device(two)


@pytest.mark.parametrize("length", [0, 3, 60, 200, 65536, 200_000, 1_000_000])
def test_cut_off(image, length):
    """Never called a disk of zeroes: refused, or it fails where something is missing."""
    whole = qcow2.content(image)
    os.truncate(image, length)
    try:
        with open_device(f"qcow2:{image}") as device:
            got = read(device)
    except BlockdiffError:
        return
    assert got == whole


def test_broken_tables(image):
    with image.open("r+b") as file:
        file.seek(int.from_bytes(image.read_bytes()[40:48], "big"))  # the L1 table
        file.write(b"\xff" * 64)
    with pytest.raises(BlockdiffError), open_device(image) as device:
        read(device)


def test_a_killed_server_is_an_error_in_its_middle(image):
    with qcow2.by_qemu(image) as device:
        assert read(device, 0, 512) == b"\1" * 512
        server = device.image.server
        server._process.kill()
        until(server.ended, "it runs on")
        with pytest.raises(DeviceError, match="qemu-nbd"):
            read(device)
        with pytest.raises(DeviceError, match="qemu-nbd"):
            list(device.extents())


def test_an_image_in_use_is_refused_unless_shared(image, nbd):
    daemon = nbd.storage_daemon()
    daemon.node("disk", image)
    daemon.export("disk", writable=True)
    with pytest.raises(DeviceBusy, match=r"in use.*--force-share") as refused:
        open_device(image)
    assert "/proc/" not in str(refused.value)
    with open_device(f"{image}?force-share=on") as device:
        assert read(device, 0, 512) == b"\1" * 512
        assert "force-share" in device.in_use()


def test_readers_do_not_disturb_each_other(image):
    with open_device(image) as one, open_device(image) as two:
        assert read(one) == read(two)


def test_clones_share_the_server_and_the_last_one_ends_it(image):
    device = qcow2.by_qemu(image)
    server = device.image.server
    twin = device.clone()
    device.close()
    assert read(twin, 0, 512) == b"\1" * 512
    twin.close()
    until(server.ended, "it runs on")


def test_the_same_image_is_not_compared_with_itself(image, tmp_path):
    os.link(image, tmp_path / "b.qcow2")
    with pytest.raises(InvalidInput, match="one and the same"):
        blockdiff.verify(image, tmp_path / "b.qcow2")


def test_a_change_meanwhile_is_told(image, tmp_path):
    over = qcow2.create(tmp_path / "over.qcow2", backing=image.name)
    with open_device(over) as device:
        assert device.changes() == ""
        os.utime(image, (1, 1))
        assert "a.qcow2 was modified" in device.changes()


# ---- what a guest may have written ----


def secret_of(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"root:secret:" * 100)
    return path


def header_of(tmp_path, **options):
    """The bytes that a guest writes to its raw disk."""
    path = qcow2.create(tmp_path / "crafted.qcow2", "1M", **options)
    data = path.read_bytes()
    path.unlink()
    return data


def test_a_raw_disk_that_looks_like_an_image_opens_nothing(tmp_path):
    secret = secret_of(tmp_path)
    disk = tmp_path / "guest.img"
    disk.write_bytes(header_of(tmp_path, backing=secret, backing_format="raw"))
    with pytest.raises(InvalidInput, match=r"file:.*guest\.img"):
        open_device(disk)
    with open_device(f"file:{disk}") as device:
        assert read(device, 0, 4) == b"QFI\xfb"


def test_a_raw_base_that_looks_like_an_image_stays_raw(tmp_path):
    """The overlay says that its base is raw, and what the guest wrote into it changes nothing."""
    secret = secret_of(tmp_path)
    base = tmp_path / "base.raw"
    base.write_bytes(header_of(tmp_path, backing=secret, backing_format="raw"))
    over = qcow2.create(tmp_path / "over.qcow2", backing=base.name, backing_format="raw")
    with open_device(over) as device:
        assert read(device, 0, 4) == b"QFI\xfb"
        assert device.made_of == [f"{over} (qcow2)", f"{base} (raw)"]


def test_a_format_is_never_guessed(tmp_path):
    qcow2.create(tmp_path / "base.qcow2", "1M")
    over = qcow2.create(tmp_path / "over.qcow2", backing="base.qcow2")
    data = over.read_bytes()
    over.write_bytes(data.replace((0xE2792ACA).to_bytes(4, "big"), (0x12345678).to_bytes(4, "big"), 1))
    with pytest.raises(InvalidInput, match="rebase -u -F"):
        open_device(over)


@pytest.mark.parametrize(
    "backing", ['json:{"driver":"file","filename":"/etc/passwd"}', "nbd://host/x", "fat:/etc", "ssh://host/etc/passwd"]
)
def test_only_local_files_are_followed(tmp_path, backing):
    over = qcow2.create(tmp_path / "over.qcow2", "1M")
    run("qemu-img", "rebase", "-u", "-b", backing, "-F", "raw", over)
    with pytest.raises(UnsupportedOperation, match="local files only"):
        open_device(over)


def test_a_fifo_as_backing_file_does_not_hang(tmp_path):
    over = qcow2.create(tmp_path / "over.qcow2", "1M")
    run("qemu-img", "rebase", "-u", "-b", "pipe", "-F", "raw", over)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DeviceError, match="FIFO"):
        open_device(over)


def test_parts_of_a_vmdk_are_not_followed(tmp_path):
    path = tmp_path / "two.vmdk"
    run("qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", path, "1M")
    with pytest.raises(UnsupportedOperation, match="several files"):
        open_device(path)


def test_a_data_file(tmp_path):
    path = qcow2.of(PATTERN, tmp_path / "a.qcow2", "qcow2", "-o", f"data_file={tmp_path}/a.data")
    with open_device(path) as device:
        assert read(device) == PATTERN
        assert device.made_of == [f"{path} (qcow2)", f"{tmp_path}/a.data (raw)"]


def test_the_report_tells_the_files(tmp_path, image):
    over = qcow2.create(tmp_path / "over.qcow2", backing=image.name)
    report = blockdiff.verify(over, image)
    assert report.identical
    told = json.loads(json.dumps(report.to_dict()))
    assert told["source"]["made_of"] == [f"{over} (qcow2)", f"{image} (qcow2)"]


@pytest.mark.parametrize("field", [8, 40, 48, 64])
@pytest.mark.parametrize("value", [2**64 - 1, 2**63 - 1, 2**63])
def test_places_beyond_all_files(image, field, value):
    """Of the name of the backing file and of the tables: an error in words, whatever the header says."""
    data = bytearray(image.read_bytes())
    struct.pack_into(">I", data, 16, 16)
    struct.pack_into(">I", data, 60, 1)
    struct.pack_into(">Q", data, field, value)
    image.write_bytes(data)
    with pytest.raises(BlockdiffError):
        open_device(f"{image}?snapshot=x")


def test_two_snapshots_of_one_id_are_refused(image):
    """QEMU is told the id, and would read the first one."""
    for name in ("first", "other"):
        run("qemu-img", "snapshot", "-c", name, image)
    data = image.read_bytes()
    assert data.count(b"2other") == 1
    image.write_bytes(data.replace(b"2other", b"1other"))
    with pytest.raises(InvalidInput, match="several of its snapshots have the id '1'"):
        open_device(f"{image}?snapshot=other")


def test_options_that_are_no_text(image):
    with pytest.raises(InvalidInput, match="not UTF-8"):
        open_device(f"{image}?snapshot=\udcff")
