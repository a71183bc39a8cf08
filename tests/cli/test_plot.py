"""The block map in a terminal: every byte in the legend, the worst in sight, and only what the terminal can show."""

import os
import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockdiff.cli.plot import ALLOCATED, FOUND, Style, plot, style_of
from blockdiff.units import format_size
from tests.fixtures.cli import COMMAND, blockdiff, within

PLAIN = Style(unicode=False, colour=False, columns=80)
UNICODE = Style(unicode=True, colour=False, columns=80)


def drawn(cells, size, cell, states=FOUND, style=PLAIN):
    *rows, legend = [line[12:] for line in plot(cells, size, cell, states, style)]
    if rows:
        legend = rows.pop()
    return "".join(rows), legend


@st.composite
def maps(draw):
    cell = draw(st.integers(1, 50))
    runs = []
    for _ in range(draw(st.integers(0, 12))):
        cuts = sorted(draw(st.lists(st.integers(0, cell), min_size=5, max_size=5)))
        counts = [b - a for a, b in zip([0, *cuts], [*cuts, cell], strict=True)]
        runs.append((draw(st.integers(1, 200)), counts))
    return runs, sum(number for number, _ in runs) * cell, cell


@settings(max_examples=40)
@given(maps(), st.sampled_from([10, 80, 139, 140, 400]))
def test_the_worst_of_every_cell_is_in_sight(made, columns):
    runs, size, cell = made
    marks, legend = drawn(runs, size, cell, style=PLAIN._replace(columns=columns))
    cells = [counts for number, counts in runs for _ in range(number)]
    assert not cells or len(marks) <= 128 * 24
    joined = -(-len(cells) // len(marks)) if marks else 1
    for at, mark in enumerate(marks):
        part = cells[at * joined : (at + 1) * joined]
        first = next(i for i in range(6) if any(counts[i] for counts in part))
        assert mark == FOUND[first].plain
    for i, state in enumerate(FOUND):
        total = sum(counts[i] for counts in cells)
        assert (f"{state.plain} {state.name} {format_size(total)}" in legend) is (total > 0)


def test_heights_are_shares():
    cells = [(1, [0, share, 0, 100 - share, 0, 0]) for share in (0, 1, 13, 50, 99, 100)]
    assert drawn(cells, 600, 100, style=UNICODE)[0] == "░▁▂▅██"


def test_colours_are_told_once_for_neighbours():
    cells = [(3, [10, 0, 0, 0]), (1, [5, 5, 0, 0]), (2, [0, 0, 10, 0])]
    marks, _ = drawn(cells, 60, 10, ALLOCATED, UNICODE._replace(colour=True))
    assert marks == "\033[34m███\033[0m\033[34;46m▅\033[0m\033[90m··\033[0m"


@pytest.mark.parametrize(
    ("env", "terminal", "encoding", "unicode", "colour"),
    [
        ({"TERM": "xterm"}, True, "utf-8", True, True),
        ({"TERM": "xterm"}, False, "utf-8", True, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, "utf-8", True, False),
        ({"TERM": "dumb"}, True, "utf-8", True, False),
        ({"TERM": "xterm"}, True, "ascii", False, True),
        ({}, True, "latin-1", False, False),
        ({}, True, "no-such", False, False),
    ],
)
def test_what_a_terminal_can_show(env, terminal, encoding, unicode, colour):
    style = style_of(env, terminal=terminal, encoding=encoding)
    assert (style.unicode, style.colour) == (unicode, colour)


@pytest.fixture
def images(tmp_path):
    with open(tmp_path / "a", "wb") as file:
        file.truncate(100_000)
        file.write(bytes(range(1, 251)) * 100)
    content = bytearray((tmp_path / "a").read_bytes())
    content[5000] ^= 1
    (tmp_path / "b").write_bytes(content)
    return tmp_path


def test_map_plot(images):
    done = within("map", "--plot", "--zeroes", "a", cwd=images, expect=0)
    lines = done.stdout.splitlines()
    assert re.fullmatch(r" +0 B  [█#]+[▅░·.0▇▄▃▂▁]*", lines[0])
    assert "100,000 bytes" in lines[-1]
    assert "data 28.0 KiB" in done.stdout
    empty = images / "empty"
    empty.touch()
    assert "empty" in within("map", "--plot", empty, expect=0).stdout


def test_map_plot_says_what_was_not_looked_at(images):
    done = within("map", "--plot", "--offset", "8K", "--length", "8K", "a", cwd=images, expect=0)
    assert "? not looked at" in done.stdout
    assert "8.0 KiB" in done.stdout


def test_verify_plot(images):
    done = within("verify", "--plot", "a", "b", cwd=images, expect=1)
    assert "changed 4.0 KiB" in done.stdout
    done = within("verify", "--plot", "--offset", "64K", "a", "b", cwd=images, expect=0)
    assert "unverified 64.0 KiB" in done.stdout
    assert "changed" not in done.stdout


@pytest.mark.parametrize("command", [("map", "a"), ("verify", "a", "b")], ids=["map", "verify"])
@pytest.mark.parametrize("other", [("-q",), ("-o", "json"), ("-o", "table")], ids=["quiet", "json", "table"])
def test_it_is_for_people(images, command, other):
    done = within(command[0], "--plot", *other, *command[1:], cwd=images, expect=2)
    assert "--plot is for people" in done.stderr
    assert done.stdout == ""


def test_it_does_not_go_with_pairs(images):
    (images / "plan").write_text("[]")
    assert "--pairs and --plot" in within("verify", "--plot", "--pairs", "plan", cwd=images, expect=2).stderr


def test_plain_ascii_where_the_locale_has_no_more(images):
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [*COMMAND, "verify", "--plot", "a", "b"], cwd=images, env=env, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout.isascii()
    assert b"# changed 4.0 KiB" in done.stdout
    assert "changed" in blockdiff("verify", "--plot", images / "a", images / "b", expect=1).stdout
