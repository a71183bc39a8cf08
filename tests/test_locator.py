from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.locator import Locator, parse_locator

GOOD = {
    "disk.img": ("file", "disk.img"),
    "/dev/sda": ("file", "/dev/sda"),
    "./a:b": ("file", "./a:b"),
    "../a:b": ("file", "../a:b"),
    "/a:b": ("file", "/a:b"),
    "file:disk.img": ("file", "disk.img"),
    "file:a:b": ("file", "a:b"),
    "file:/dev/sda": ("file", "/dev/sda"),
    "file:///dev/sda": ("file", "/dev/sda"),
    "FILE:x": ("file", "x"),
    "nbd://host:10809/export": ("nbd", "//host:10809/export"),
    "rbd:pool/image@snap": ("rbd", "pool/image@snap"),
    "NBD+UNIX:///x": ("nbd+unix", "///x"),
    "a b": ("file", "a b"),
    "1:2": ("file", "1:2"),
    "x-y.z+1:rest": ("x-y.z+1", "rest"),
    "with\nnewline": ("file", "with\nnewline"),
}


@pytest.mark.parametrize(("text", "expected"), GOOD.items(), ids=repr)
def test_locators(text, expected):
    assert parse_locator(text) == (*expected, text)


@pytest.mark.parametrize("text", ["", "file:", "file://", "file://host/path", "a\0b"], ids=repr)
def test_no_locators(text):
    with pytest.raises(InvalidInput):
        parse_locator(text)


def test_paths_are_files_whatever_their_names():
    assert parse_locator(Path("nbd:x")) == ("file", "nbd:x", "nbd:x")


def test_parsed_ones_are_themselves():
    locator = Locator("rbd", "pool/image", "rbd:pool/image")
    assert parse_locator(locator) is locator


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_a_dot_before_it_makes_it_a_file(text):
    assert parse_locator("./" + text) == ("file", "./" + text, "./" + text)
