"""What is shipped: an sdist that builds, and a wheel that holds the package and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TREE = ROOT / "src/blockdiff"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not TREE.is_dir(), reason="the source tree is not here (an installed wheel is tested)"),
]


def build(what, source, target):
    command = [sys.executable, "-m", "build", "--no-isolation", f"--{what}", "--outdir", target, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = Path(target).iterdir()
    return archive


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """Of a copy of the tree: two processes of tests cannot build in one."""
    copy = tmp_path_factory.mktemp("tree") / "blockdiff"
    shutil.copytree(
        ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "dist", "site", "*.egg-info"), symlinks=True
    )
    return build("sdist", copy, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def unpacked(sdist, tmp_path_factory):
    directory = tmp_path_factory.mktemp("unpacked")
    subprocess.run(["tar", "-xzf", sdist, "-C", directory], check=True)  # tarfile's filter is missing in Python 3.11.2
    (root,) = directory.iterdir()
    return root


def test_sdist_holds_every_source(unpacked):
    wanted = {
        path.relative_to(ROOT) for path in TREE.rglob("*") if path.suffix in {".py", ".pyx", ".pxi", ".pyi", ".h"}
    }
    wanted |= {Path(name) for name in ("LICENSE", "README.md", "pyproject.toml", "setup.py", "src/blockdiff/py.typed")}
    assert sorted(str(path) for path in wanted if not (unpacked / path).is_file()) == []


def test_sdist_holds_nothing_built(unpacked):
    built = [str(path) for path in unpacked.rglob("*") if path.suffix in {".so", ".c", ".o", ".pyc"}]
    assert [path for path in built if "/native/xxh3_" not in path] == []  # these are written by hand


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_wheel_from_the_sdist(unpacked, tmp_path):
    wheel = build("wheel", unpacked, tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert [name for name in names if name.startswith("blockdiff/_fast.") and name.endswith(".so")]
    wanted = {
        str(path.relative_to(TREE.parent))
        for path in TREE.rglob("*")
        if path.suffix in {".py", ".pyi", ".typed", ".html", ".css", ".js"}
    }
    assert wanted - set(names) == set()
    assert [name for name in names if name.endswith((".pyx", ".pxi", ".h", ".c"))] == []
    assert {name.split("/")[0] for name in names} == {"blockdiff", f"{wheel.name.split('-cp')[0]}.dist-info"}
