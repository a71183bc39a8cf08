"""Ceph's libraries are loaded when an rbd: URL is used, and what is wrong with them is said."""

import subprocess
import sys

import pytest

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
