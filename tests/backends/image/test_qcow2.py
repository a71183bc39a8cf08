"""The header as qemu-img reads it, and headers that are broken."""

import contextlib
import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockdiff.backends.image import qcow2
from blockdiff.errors import InvalidInput
from tests.fixtures.nbd import run


def reader(data):
    return lambda offset, length: data[offset : offset + length]


def parsed(data):
    header = qcow2.parse_header(reader(data), "x")
    return header, list(qcow2.snapshots(reader(data), header, "x")), list(qcow2.bitmaps(reader(data), header, "x"))


def make(path, *options, size="8M"):
    run("qemu-img", "create", "-q", "-f", "qcow2", *options, path, size)
    return path


@pytest.mark.parametrize(
    "options",
    [
        ("-o", "compat=0.10"),
        ("-o", "cluster_size=512"),
        ("-o", "cluster_size=2M,lazy_refcounts=on"),
        ("-o", "extended_l2=on"),
        ("-o", "compression_type=zstd"),
    ],
    ids=["v2", "small", "big", "subclusters", "zstd"],
)
def test_as_qemu_img_says(tmp_path, options):
    path = make(tmp_path / "a.qcow2", *options)
    run("qemu-img", "snapshot", "-c", "one", path)
    run("qemu-img", "snapshot", "-c", "zwei, ä=?", path)
    if "compat=0.10" not in options:
        run("qemu-img", "resize", "-q", path, "9M")
        run("qemu-img", "bitmap", "--add", "-g", "1M", path, "b1")
        run("qemu-img", "bitmap", "--add", "--disable", path, "b2, ü")
    told = json.loads(run("qemu-img", "info", "--output=json", path))
    header, snapshots, bitmaps = parsed(path.read_bytes())
    assert (header.size, header.cluster) == (told["virtual-size"], told["cluster-size"])
    assert (header.encrypted, header.backing, header.has_data_file) == (False, b"", False)
    assert [(s.id, s.name) for s in snapshots] == [(s["id"], s["name"]) for s in told["snapshots"]]
    assert {s.size for s in snapshots} == {8 << 20}
    listed = told["format-specific"]["data"].get("bitmaps", [])
    assert [(b.name, b.granularity, b.in_use) for b in bitmaps] == [
        (b["name"], b["granularity"], False) for b in listed
    ]


def test_files_that_it_needs(tmp_path):
    base = make(tmp_path / "base.qcow2")
    header, *_ = parsed(make(tmp_path / "a.qcow2", "-b", base.name, "-F", "qcow2").read_bytes())
    assert (header.backing, header.backing_format) == (b"base.qcow2", "qcow2")
    header, *_ = parsed(make(tmp_path / "b.qcow2", "-o", f"data_file={tmp_path}/d.raw").read_bytes())
    assert (header.has_data_file, header.data_file) == (True, f"{tmp_path}/d.raw".encode())


def test_encrypted(tmp_path):
    path = tmp_path / "c.qcow2"
    run(
        "qemu-img", "create", "-q", "-f", "qcow2", "--object", "secret,id=s,data=abc",
        "-o", "encrypt.format=aes,encrypt.key-secret=s", path, "1M",
    )  # fmt: skip
    assert parsed(path.read_bytes())[0].encrypted


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = make(tmp_path_factory.mktemp("q") / "a.qcow2")
    run("qemu-img", "snapshot", "-c", "one", path)
    run("qemu-img", "bitmap", "--add", path, "b1")
    run("qemu-img", "rebase", "-u", "-b", "base.raw", "-F", "raw", path)
    return Whole(path.read_bytes())


class Whole(bytes):
    """A file's bytes, which are not shown."""

    __slots__ = ()

    def __repr__(self):
        return "Whole()"


@pytest.mark.parametrize("length", [0, 3, 4, 71, 72, 103, 110, 200, 300, 65536, 330000])
def test_cut_off(whole, length):
    """Never anything but a header that is right, or a refusal."""
    try:
        header, snapshots, bitmaps = parsed(whole[:length])
    except InvalidInput:
        return
    assert (header, snapshots, bitmaps) == parsed(whole)


def test_extensions_end_with_the_first_cluster(whole):
    """A header that says otherwise would be gone through for hours."""
    image = bytearray(whole)
    struct.pack_into(">Q", image, 8, 65536 + 8)
    with pytest.raises(InvalidInput, match="behind the first cluster"):
        parsed(bytes(image))


CHANGES = st.lists(st.tuples(st.integers(0, 2), st.integers(4, 160), st.integers(0, 255)), min_size=1, max_size=6)


@settings(max_examples=300)
@given(changes=CHANGES)
def test_broken_headers_are_refused_or_read(whole, changes):
    """Bytes at random places of the header and of the tables: no other error, and no endless loop."""
    image = bytearray(whole + bytes(256))
    header = qcow2.parse_header(reader(whole), "x")
    places = [0, header.snapshots_offset, header.bitmaps[1]]
    for place, offset, value in changes:
        image[places[place] + offset] = value
    with contextlib.suppress(InvalidInput):
        parsed(bytes(image))
