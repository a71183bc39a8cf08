"""What a bare path is taken for: bytes and name must agree, and a guest chooses the bytes only."""

import os

import pytest

from blockdiff.backends.recognise import FORMATS, format_of, recognise, split_options
from blockdiff.errors import InvalidInput
from blockdiff.locator import parse_locator
from tests.fixtures.nbd import run

NAMES = {"qcow2": "d.qcow2", "vmdk": "d.vmdk", "vhdx": "d.vhdx", "vdi": "d.vdi", "vpc": "d.vhd"}


def seen(path):
    return recognise(parse_locator(str(path))).scheme


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_by_qemus_own_files(tmp_path, kind):
    path = tmp_path / NAMES[kind]
    run("qemu-img", "create", "-q", "-f", kind, path, "64M")
    assert format_of(path.read_bytes()[:72]) == kind
    assert seen(path) == kind
    assert recognise(parse_locator(f"file:{path}")).scheme == "file"
    for name in (f"x.{kind}.bak", f"X.{NAMES[kind][2:].upper()}", f"a.b.{NAMES[kind][2:]}"):
        os.link(path, tmp_path / name)
        assert (seen(tmp_path / name) == kind) or kind == "vpc"


@pytest.mark.parametrize("name", ["disk.img", "disk", "qcow2", ".qcow2x", "vm.snap1", "d.vmdk"])
def test_bytes_alone_are_refused(tmp_path, name):
    path = tmp_path / name
    run("qemu-img", "create", "-q", "-f", "qcow2", path, "64M")
    with pytest.raises(InvalidInput, match=r"write qcow2:.* or file:"):
        seen(path)


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 512, b"QFI\xfa" + bytes(508), b"QFI"], ids=["empty", "zeroes", "near", "cut"]
)
def test_a_name_alone_means_nothing(tmp_path, content):
    path = tmp_path / "disk.qcow2"
    path.write_bytes(content)
    assert seen(path) == "file"


def test_what_is_no_regular_file_is_raw(tmp_path):
    os.mkfifo(tmp_path / "p.qcow2")
    (tmp_path / "d.qcow2").mkdir()
    for path in ("p.qcow2", "d.qcow2", "missing.qcow2"):
        assert seen(tmp_path / path) == "file"


def test_a_block_device_is_raw(tmp_path, make_loop):
    """oVirt keeps qcow2 on logical volumes; their guests write raw ones too."""
    backing = tmp_path / "a.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "preallocation=full", backing, "1M")
    device = make_loop(0, backing=backing).path
    link = tmp_path / "lv.qcow2"
    link.symlink_to(device)
    assert seen(link) == "file"


@pytest.mark.parametrize(
    ("rest", "path", "query"),
    [
        ("d.qcow2?snapshot=a", "d.qcow2", "snapshot=a"),
        ("d.qcow2?snapshot=a&force-share=on", "d.qcow2", "snapshot=a&force-share=on"),
        ("d.qcow2?snapshot=what?bitmap=x", "d.qcow2", "snapshot=what?bitmap=x"),
        ("odd?name?bitmap=b", "odd?name", "bitmap=b"),
        ("d.qcow2?other=a", "d.qcow2?other=a", ""),
        ("d.qcow2?", "d.qcow2?", ""),
        ("d.qcow2", "d.qcow2", ""),
    ],
)
def test_options(rest, path, query):
    assert split_options(rest) == (path, query)


def test_a_file_of_that_very_name_wins(tmp_path):
    path = tmp_path / "d?snapshot=a"
    path.write_bytes(b"x")
    assert split_options(str(path)) == (str(path), "")


def test_options_say_that_it_is_an_image(tmp_path):
    path = tmp_path / "disk"
    run("qemu-img", "create", "-q", "-f", "qcow2", path, "64M")
    assert recognise(parse_locator(f"{path}?snapshot=a")).scheme == "qcow2"
    raw = tmp_path / "raw.img"
    raw.write_bytes(b"raw")
    with pytest.raises(InvalidInput, match="means nothing"):
        recognise(parse_locator(f"{raw}?snapshot=a"))
