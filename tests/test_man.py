"""Manual pages are made from the command line itself: each command has one, with every option, and man can read it."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

SCRIPT = Path(__file__).parent.parent / "scripts/gen_man.py"
pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="scripts/ is not here (an installed wheel is tested)")


@pytest.fixture(scope="module")
def gen_man():
    spec = importlib.util.spec_from_file_location("gen_man", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("man")
    subprocess.run([sys.executable, SCRIPT, path], check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def command_line(gen_man):
    root = gen_man.root_command()
    context = click.Context(root, info_name="blockdiff")
    return [("blockdiff", root), *((f"blockdiff-{name}", sub) for name, sub in gen_man.commands(root, context))]


def test_every_command_has_a_page(directory, command_line):
    assert {path.stem for path in directory.iterdir()} >= {name for name, _ in command_line}
    assert {f"blockdiff-{name}" for name in ("verify", "diff", "map", "copy", "apply", "merge", "audit")} <= {
        name for name, _ in command_line
    }


def test_every_option_is_on_its_page(directory, command_line):
    for name, command in command_line:
        text = (directory / f"{name}.1").read_text().replace("\\-", "-")
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert max(parameter.opts, key=len) in text, (name, parameter.opts)


def test_man_reads_them_without_a_warning(directory):
    if not shutil.which("man"):
        pytest.skip("man is not installed")
    for path in directory.iterdir():
        command = ["man", "--warnings=w", "-E", "UTF-8", "-l", "-Tutf8", path]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={"MANWIDTH": "100", "PATH": "/usr/bin:/bin"}
        )
        assert (done.returncode, done.stderr) == (0, ""), path
        assert "EXIT STATUS" in re.sub(".\b", "", done.stdout)  # bold is overstruck


def test_text_is_escaped(gen_man):
    assert gen_man.roff(".dot\n'quote' a\\b -x") == "\\&.dot\n\\(aqquote\\(aq a\\eb \\-x"
