"""Ceph's libraries are loaded when an rbd: URL is used, and what is wrong with them is said."""

import subprocess
import sys

import pytest

from blockdiff.backends.rbd.address import RbdAddress
from blockdiff.backends.rbd.connection import begin, connect
from blockdiff.errors import InvalidInput
from tests.fixtures.cli import blockdiff

RUN = """
import sys
from blockdiff import _rbd
_rbd.RADOS_LIBRARY, _rbd.RBD_LIBRARY = sys.argv[1:3]
from blockdiff.cli.main import main
main(["map", "rbd:a"])
"""


def run_with(rados, rbd):
    """`blockdiff map rbd:a` with these libraries in place of Ceph's."""
    done = subprocess.run([sys.executable, "-c", RUN, rados, rbd], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def old_library(tmp_path):
    """A library that has next to nothing in it."""
    source = tmp_path / "old.c"
    source.write_text("void rados_version(int *a, int *b, int *c) { *a = *b = *c = 0; }\n")
    library = tmp_path / "libold.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    return str(library)


def test_a_library_that_is_not_installed():
    done = run_with("librados.so.none", "librbd.so.none")
    assert done.returncode == 4
    assert "librados.so.none" in done.stderr
    assert "apt-get install librbd1" in done.stderr


def test_a_library_that_is_too_old(old_library):
    done = run_with(old_library, old_library)
    assert done.returncode == 4
    assert "too old" in done.stderr
    assert "lacks rados_create2" in done.stderr


def test_files_need_no_ceph(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").write_bytes(b"x")
    run = f"from blockdiff.cli.main import main; main(['verify', '{tmp_path / 'a'}', '{tmp_path / 'b'}', '-v'])"
    code = f"import sys, atexit\nsys.modules['blockdiff._rbd'] = None\n{run}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_configuration(tmp_path):
    done = blockdiff("map", "rbd:a", env={"CEPH_CONF": str(tmp_path / "none"), "PATH": "/usr/bin:/bin"})
    assert done.returncode in {2, 4}  # 4 where librbd is not installed
    assert "none" in done.stderr or "librados" in done.stderr


NEWER = """
#include <stdint.h>
#include <stdio.h>
typedef int (*callback)(uint64_t, size_t, int, void *);
int rbd_snap_get_name(void *, uint64_t, char *, size_t *);
int rbd_diff_iterate2(void *, const char *, uint64_t, uint64_t, uint8_t, uint8_t, callback, void *);
int rbd_diff_iterate3(void *image, uint64_t from, uint64_t offset, uint64_t length, uint8_t parent, uint8_t whole,
                      callback found, void *arg)
{
    char name[256];
    size_t size = sizeof name;
    int rc = rbd_snap_get_name(image, from, name, &size);
    fputs("by number\\n", stderr);
    return rc < 0 ? rc : rbd_diff_iterate2(image, name, offset, length, parent, whole, found, arg);
}
"""


@pytest.fixture
def newer_library(tmp_path):
    """This machine's librbd with the call that newer ones have: a diff from a snapshot by its number."""
    (tmp_path / "newer.c").write_text(NEWER)
    library = str(tmp_path / "libnewer.so")
    real = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    path = next(line.split()[-1] for line in real.splitlines() if "librbd.so.1" in line)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "newer.c", path], check=True)
    return library


def test_newer_libraries_are_asked_by_number(ceph, newer_library):
    spec = ceph.image("a", 16 << 20, b"a" * (5 << 20))
    ceph.snapshot(spec, "s1")
    ceph.write(spec, 9 << 20, b"b" * 4096)
    ceph.snapshot(spec, "s2")
    urls = [ceph.url(spec, "s1"), ceph.url(spec, "s2")]
    run = RUN.replace('main(["map", "rbd:a"])', f"main(['diff', '-o', 'rbd', *{urls}])")
    done = subprocess.run(
        [sys.executable, "-c", run, "librados.so.2", newer_library], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "by number" in done.stderr
    assert done.stdout == blockdiff("diff", "-o", "rbd", *urls, expect=0).stdout


def test_a_connection_begun_early_tells_its_failure_to_who_connects(tmp_path):
    address = RbdAddress("image", conf=str(tmp_path / "none.conf"))
    for _ in range(2):
        begin(address)
        with pytest.raises(InvalidInput, match=r"none\.conf"):
            connect(address)
