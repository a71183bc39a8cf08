"""The name of a command that does not exist is told, with those that do, and what was meant."""

import pytest

from tests.fixtures.cli import within


@pytest.mark.parametrize(
    ("typed", "meant"), [("recipt", "receipt"), ("verfiy", "verify"), ("ledgr", "ledger"), ("zzz", None)]
)
def test_a_command_that_does_not_exist(typed, meant, tmp_path):
    done = within(typed, "x", cwd=tmp_path, expect=2)
    assert f"no command '{typed}': there are verify, diff" in done.stderr
    assert ("did you mean" in done.stderr) is (meant is not None)
    if meant is not None:
        assert done.stderr.endswith(f"; did you mean {meant}?\n")
