import sys
import types

import pytest

import blockdiff
from blockdiff.engine import registry
from blockdiff.errors import BlockdiffError, InvalidInput
from blockdiff.testing import MemoryDevice
from tests.fixtures.cli import blockdiff as command

BACKEND = """
from blockdiff.testing import MemoryDevice

def open_device(locator, **options):
    return MemoryDevice(locator.rest.encode(), url=locator.text)
"""


@pytest.fixture(autouse=True)
def own_table(monkeypatch):
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(registry, "_modules", dict(registry._modules))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package of a third party, as pip would leave it."""
    (tmp_path / "thirdparty_disk.py").write_text(BACKEND)
    info = tmp_path / "thirdparty_disk-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty-disk\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[blockdiff.backends]\nthirdparty = thirdparty_disk\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("thirdparty_disk", None)


def module():
    made = types.ModuleType("own")
    made.open_device = lambda locator, **options: MemoryDevice(locator.rest.encode(), url=locator.text)
    return made


def test_entry_points(installed):
    device = blockdiff.open_device("thirdparty:hello")
    assert (device.url, device.size) == ("thirdparty:hello", 5)
    assert "thirdparty" in registry.schemes()
    assert not blockdiff.verify("thirdparty:hello", "thirdparty:world").identical


def test_entry_points_on_the_command_line(installed, tmp_path):
    import os

    path = f"{installed}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = {**os.environ, "PYTHONPATH": path}
    command("verify", "thirdparty:same", "thirdparty:same", expect=0, env=environment)
    assert "4 bytes differ" in command("verify", "thirdparty:same", "thirdparty:sane", expect=1, env=environment).stdout


def test_entry_points_are_not_looked_for_without_need(monkeypatch, tmp_path):
    def never():
        raise AssertionError("looked for entry points")

    monkeypatch.setattr(registry, "_entry_points", never)
    (tmp_path / "a").write_bytes(b"A")
    blockdiff.open_device(tmp_path / "a").close()
    blockdiff.register("mine", module())
    blockdiff.open_device("mine:x").close()


def test_register():
    blockdiff.register("mine", module())
    assert blockdiff.open_device("mine:abc").size == 3
    assert registry.schemes() == sorted({*registry.schemes(), "file", "mine"})


def test_register_by_name(installed):
    blockdiff.register("other", "thirdparty_disk")
    assert blockdiff.open_device("other:abc").url == "other:abc"


@pytest.mark.parametrize("scheme", ["file", "mine"])
def test_a_scheme_is_taken_once(scheme):
    if scheme == "mine":
        blockdiff.register("mine", module())
    with pytest.raises(InvalidInput, match="already registered"):
        blockdiff.register(scheme, module())


def test_unknown_scheme():
    with pytest.raises(InvalidInput) as caught:
        blockdiff.open_device("nosuch:disk")
    assert "unknown scheme 'nosuch'" in str(caught.value)
    assert "file:" in str(caught.value)
    assert "./nosuch:" in str(caught.value)


def test_a_broken_backend_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "broken_disk.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    blockdiff.register("broken", "broken_disk")
    with pytest.raises((ImportError, BlockdiffError), match="no_such_library"):
        blockdiff.open_device("broken:x")


def test_a_file_with_a_colon(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:b").write_bytes(b"abc")
    for name in ("./a:b", "file:a:b", f"file:{tmp_path}/a:b", f"file://{tmp_path}/a:b", tmp_path / "a:b"):
        with blockdiff.open_device(name) as device:
            assert device.size == 3
