"""Shells ask the program for completions: it answers, and says nothing else."""

import os
import shutil
import subprocess

import pytest

from tests.fixtures.cli import COMMAND, blockdiff


def completions(*words):
    """What the shell is given for the last word."""
    env = {**os.environ, "_BLOCKDIFF_COMPLETE": "bash_complete"}
    env |= {"COMP_WORDS": " ".join(["blockdiff", *words]), "COMP_CWORD": str(len(words))}
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=False, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        pytest.param(["ver"], "plain,verify", id="command"),
        pytest.param(["verify", "--keep-g"], "plain,--keep-going", id="option"),
        pytest.param(["verify", "--read", "dir"], "plain,direct", id="choice"),
        pytest.param(["verify", "disk"], "file,disk", id="first device"),
        pytest.param(["copy", "disk.img", "rep"], "file,rep", id="second device"),
        pytest.param(["audit", "a.img", "b"], "file,b", id="devices of audit"),
        pytest.param(["verify", "--extents", "ch"], "file,ch", id="list"),
    ],
)
def test_answers(words, answer):
    assert completions(*words) == [answer]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(shell):
    script = blockdiff("completion", shell, expect=0).stdout
    assert "_BLOCKDIFF_COMPLETE" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_an_unknown_shell_is_refused():
    assert "tcsh" in blockdiff("completion", "tcsh", expect=2).stderr
