"""The public surface is a list: ``blockdiff.__all__`` names what there is, and everything there is."""

import subprocess
import sys
import types

import blockdiff


def test_every_listed_name_can_be_imported():
    for name in blockdiff.__all__:
        assert getattr(blockdiff, name) is not None, name


def test_the_list_is_sorted_and_has_no_doubles():
    assert len(blockdiff.__all__) == len(set(blockdiff.__all__))
    assert sorted(blockdiff.__all__, key=str.casefold) == sorted(dir_names(), key=str.casefold)


def dir_names():
    """What dir() shows to a user, without modules and private names."""
    names = [name for name in dir(blockdiff) if not name.startswith("_") and name != "annotations"]
    names = [
        name
        for name in names
        if not isinstance(getattr(blockdiff, name), types.ModuleType) or name in blockdiff.__all__
    ]
    return names + [name for name in blockdiff.__all__ if name.startswith("__")]


def test_star_import_gives_the_list():
    names = {}
    exec("from blockdiff import *", names)
    names.pop("__builtins__")
    assert set(names) == set(blockdiff.__all__)


def test_a_wrong_name_is_an_attribute_error():
    assert not hasattr(blockdiff, "no_such_name")


def test_importing_the_package_is_light():
    code = "import sys, blockdiff; print(*sorted({'numpy', 'rich', 'asyncio', 'grpc', 'msgspec'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []
