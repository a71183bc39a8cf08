"""The page of the server and the server know the same options and defaults."""

import re
from pathlib import Path

import click
import pytest

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "csi/server.md"
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="docs/ is not here")


def options():
    from blockdiff.cli.serve.snapshot_metadata import command

    return {
        name: param
        for param in command.params
        if isinstance(param, click.Option) and not param.hidden
        for name in param.opts
    }


def rows():
    return re.findall(r"^\| `(--[\w-]+)[^|]*\| (.*) \|$", PAGE.read_text(), re.MULTILINE)


def test_every_option_is_documented():
    assert {name for name, _ in rows()} == set(options())


def test_numbers_that_are_documented_are_the_defaults():
    for name, text in rows():
        found = re.search(r"default `?([\d./:\w]+\w)`?", text)
        default = options()[name].default
        if found and default is not None and not isinstance(default, bool):
            assert str(default).rstrip("0").rstrip(".") in found[1] or found[1] in str(default), name
