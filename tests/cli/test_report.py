"""``blockdiff report`` as a command: files in, one file out, and nothing overwritten that is not ours."""

import hashlib
import json
import os
import stat

import pytest

from tests.fixtures.cli import blockdiff, within
from tests.report.making import G, report, text_of

SIZE = 1 << 20


@pytest.fixture
def place(tmp_path):
    (tmp_path / "r.json").write_bytes(text_of(report([(0, G)], SIZE)))
    (tmp_path / "same.json").write_bytes(text_of(report([], SIZE, started_at="2026-12-01T00:00:00.000Z")))
    return tmp_path


def test_a_page(place):
    os.umask(mask := os.umask(0o022))
    done = within("report", "r.json", "same.json", "-o", "p.html", cwd=place, expect=0)
    assert (done.stdout, done.stderr) == ("", "")
    text = (place / "p.html").read_text()
    assert "<h1>data and data.img</h1>" in text
    assert text.index("r.json") > 0
    assert stat.S_IMODE((place / "p.html").stat().st_mode) == 0o666 & ~mask
    assert [path.name for path in place.iterdir() if path.name.startswith(".")] == []


def test_from_and_to_pipes(place):
    text = (place / "r.json").read_text()
    done = blockdiff("report", "-", "-o", "-", "--title", "A & B", stdin=text, expect=0)
    assert "<title>A &amp; B</title>" in done.stdout
    assert within("report", "-", "-", "-o", "-", stdin=text).returncode == 2


def test_a_page_is_overwritten_and_nothing_else(place):
    words = ("report", "r.json", "-o", "p.html")
    within(*words, cwd=place, expect=0)
    within(*words, cwd=place, expect=0)
    (place / "p.html").write_text("<html>mine</html>")
    done = within(*words, cwd=place, expect=2)
    assert "is not overwritten without --force" in done.stderr
    assert (place / "p.html").read_text() == "<html>mine</html>"
    within(*words, "--force", cwd=place, expect=0)
    for name in (".", "r.json/x", "none/p.html"):
        assert within("report", "r.json", "-o", name, cwd=place).returncode in (2, 3)
    (place / "link").symlink_to("r.json")
    assert within("report", "r.json", "-o", "link", "--force", cwd=place).returncode == 2
    assert json.loads((place / "r.json").read_text())


def test_what_cannot_be_read(place):
    assert "cannot read none.json" in within("report", "none.json", "-o", "p.html", cwd=place, expect=2).stderr
    assert "cannot read ." in within("report", ".", "-o", "p.html", cwd=place, expect=2).stderr
    (place / "cut.json").write_bytes((place / "r.json").read_bytes()[:-9])
    done = within("report", "r.json", "cut.json", "-o", "p.html", cwd=place, expect=2)
    assert "cut.json:1:" in done.stderr
    assert not (place / "p.html").exists()
    assert within("report", "r.json", cwd=place).returncode == 2
    assert within("report", "-o", "p.html", cwd=place).returncode == 2
    assert "too many" in within("report", *["r.json"] * 1001, "-o", "p.html", cwd=place, expect=2).stderr


def test_ranges_are_shared_out_from_the_newest(place):
    for day in (1, 2, 3):
        value = report([(i * 2 * G, G) for i in range(10)], SIZE, started_at=f"2026-01-0{day}T00:00:00.000Z")
        (place / f"{day}.json").write_bytes(text_of(value))
    words = ("report", "2.json", "3.json", "1.json", "--max-ranges", "14", "-o", "-")
    text = within(*words, cwd=place, expect=0).stdout
    data = json.loads(text.split('<script type="application/json" id="data">')[1].split("</script>")[0])
    assert [run["ranges"]["count"] for run in data] == [0, 4, 10]
    assert [run["ranges"]["listed"] for run in data] == [10, 10, 10]


def test_the_receipt(place):
    (place / "a").write_bytes(b"a" * 9000)
    (place / "b").write_bytes(b"a" * 9000)
    done = within("verify", "a", "b", "-o", "json", "--receipt", "receipt.json", cwd=place, expect=0)
    (place / "with.json").write_text(done.stdout)
    words = ("report", "with.json", "r.json", "--receipt", "receipt.json", "-o", "-")
    text = within(*words, cwd=place, expect=0).stdout
    assert "Its SHA-256 is named by with.json." in text
    assert hashlib.sha256((place / "receipt.json").read_bytes()).hexdigest() in text
    assert "nobody: it is unsigned" in text
    other = within("report", "r.json", "--receipt", "receipt.json", "-o", "-", cwd=place, expect=0).stdout
    assert "None of these reports names its SHA-256." in other
    assert within("report", "r.json", "--receipt", "r.json", "-o", "-", cwd=place).returncode == 2


def test_words_that_are_no_text(place):
    name = os.fsdecode(b"\xff.json")
    os.rename(place / "r.json", place / name)
    done = blockdiff("report", os.fsencode(name), "-o", "p.html", "--title", b"\xfe", cwd=place, expect=0)
    assert done.stderr == ""
    assert "<h1>?</h1>" in (place / "p.html").read_text()
    assert b"cannot read" in blockdiff("report", b"\xfd", "-o", "q", cwd=place, expect=2).stderr.encode()
