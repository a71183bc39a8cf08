"""Which snapshots exist, and that nothing else can be opened."""

import contextlib
import os
import socket
import tempfile

import pytest

from blockdiff.csi.provider.catalog import parse_source, parse_sources
from blockdiff.errors import BackendUnavailable, DeviceError, InvalidInput, SnapshotNotFound
from tests.fixtures.descriptors import descriptors, opened_since
from tests.fixtures.provider import allocated, provider, refused, serving


@pytest.fixture
def tree(tmp_path):
    """A directory to serve, with a secret beside it."""
    root = tmp_path / "served"
    (root / "vm").mkdir(parents=True)
    (root / "a").write_bytes(b"a" * 512)
    (root / "vm" / "b=1: x@y?.img").write_bytes(b"b" * 512)
    (tmp_path / "secret").write_bytes(b"s" * 512)
    return root


def test_files_below_a_directory_are_snapshots(tree):
    catalog = parse_sources([f"dir:{tree}"])
    for name in ("a", "vm/b=1: x@y?.img"):
        place = catalog.find(name)
        with place.source.open(place.snapshot) as device:
            assert (device.size, device.url) == (512, name)
            data = bytearray(512)
            device.pread_into(data, 0)
            assert data == (tree / name).read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            ".",
            "..",
            "../secret",
            "vm/../../secret",
            "vm/..",
            "/etc/passwd",
            "//a",
            "a/",
            "a//",
            "./a",
            "vm",
            "vm/",
        ),
        *("A", "a\0b", "a" * 300, "a/b", "x" * 5000, "link", "dirlink/a", "up/secret", "abs", "loop", "fifo", "socket"),
        "\udc80",
    ],
)
def test_nothing_else_is(tree, name):
    (tree / "link").symlink_to("a")
    (tree / "dirlink").symlink_to(".")
    (tree / "up").symlink_to("..")
    (tree / "abs").symlink_to(tree / "a")
    (tree / "loop").symlink_to("loop")
    os.mkfifo(tree / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(tree, os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    with pytest.raises(SnapshotNotFound):
        parse_source(f"dir:{tree}")[1].open(name)


def test_no_descriptor_is_left(tree):
    source = parse_source(f"dir:{tree}")[1]
    before = descriptors()
    for name in ("a", "vm", "../secret", "x"):
        with contextlib.suppress(SnapshotNotFound):
            source.open(name).close()
    assert not opened_since(before)


@contextlib.contextmanager
def as_nobody():
    """Root reads everything; whoever else runs the tests does not."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_must_not_be_read_is_trouble_not_absence():
    with tempfile.TemporaryDirectory() as place:  # pytest's own directories are for their owner only
        os.chmod(place, 0o755)
        path = os.path.join(place, "a")
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0))
        source = parse_source(f"dir:{place}")[1]
        with as_nobody(), pytest.raises(DeviceError, match="a"):
            source.open("a")


def opened(catalog, name):
    place = catalog.find(name)
    return place.source.open(place.snapshot)


def test_several_sources(tree):
    catalog = parse_sources([f"one=dir:{tree}", f"two.x=dir:{tree / 'vm'}"])
    assert catalog.find("one/vm/a")._replace(source=None) == ("one", None, "vm/a")
    assert catalog.find("two.x/b")[2] == "b"
    assert catalog.ready()
    for name in ("a", "three/a", "", "/a", "one"):
        with pytest.raises(SnapshotNotFound):
            opened(catalog, name)


def test_a_source_that_goes_away_is_not_ready(tree):
    catalog = parse_sources([f"dir:{tree}"])
    tree.rename(tree.with_name("gone"))
    assert not catalog.ready()
    with pytest.raises(Exception, match="cannot be opened") as raised:
        catalog.find("a").source.open("a")
    assert raised.value.retryable


@pytest.mark.parametrize(
    "texts",
    [
        [],
        [""],
        ["/tmp"],
        ["dir:"],
        ["dir:/no/such/place"],
        ["dir:/etc/passwd"],
        ["dir:/a\0b"],
        ["file:/tmp"],
        ["nosuch:x"],
        ["rbd:"],
        ["rbd:pool/"],
        ["rbd:pool/image@snap"],
        ["a b=dir:/tmp"],
        ["dir:/tmp", "dir:/tmp"],
        ["a=dir:/tmp", "a=dir:/tmp"],
        ["a=dir:/tmp", "dir:/tmp"],
    ],
)
def test_wrong_sources(texts):
    with pytest.raises(InvalidInput):
        parse_sources(texts)


class Opened(Exception):
    """Carries the URL."""


@pytest.mark.parametrize(
    ("source", "snapshot", "url"),
    [
        ("rbd:pool", "image@snap", "rbd:pool/image@snap"),
        ("x=rbd:pool/ns?conf=/a&id=b", "i m%?#@s/n", None),
        ("rbd:pool/ns?conf=/a&id=b", "i m%?#@s&n=1?", "rbd:pool/ns/i%20m%25%3F%23@s%26n%3D1%3F?conf=/a&id=b"),
        ("rbd:pool", "other/image@snap", None),
        ("rbd:pool", "image", None),
        ("rbd:pool", "image@", None),
        ("rbd:pool", "@snap", None),
        ("rbd:pool", "", None),
        ("rbd:pool", "a@b@c", None),
        ("rbd:pool", "a@b\0", None),
    ],
)
def test_snapshots_of_volumes(monkeypatch, source, snapshot, url):
    def open_device(target):
        raise Opened(target)

    monkeypatch.setattr("blockdiff.csi.provider.catalog.open_device", open_device)
    with pytest.raises(Opened if url else SnapshotNotFound) as raised:
        parse_source(source)[1].open(snapshot)
    if url:
        assert str(raised.value) == url
        assert parse_source(source)[1].volume(snapshot) == "i m%?#" if "%" in url else "image"


def test_a_library_that_is_missing(monkeypatch, tmp_path):
    def open_device(target):
        raise BackendUnavailable("no librbd", hint="install it")

    monkeypatch.setattr("blockdiff.csi.provider.catalog.open_device", open_device)
    with serving(provider("rbd:pool"), tmp_path / "s") as channel:
        code, text = refused(allocated, channel, "a@b")
    assert code == "UNAVAILABLE"
    assert "install it" in text
