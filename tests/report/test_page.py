"""The page as text: what it says, what it lets run, and that it is one file."""

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockdiff.report import tree
from blockdiff.report.page import DETAILED, duration, render
from blockdiff.report.reading import in_order, read_report
from blockdiff.report.verdict import judge
from tests.report.making import G, report, text_of

SIZE = 1 << 20


def run_of(name="r.json", **changes):
    found = changes.pop("found", [(0, G)])
    return read_report(io.BytesIO(text_of(report(found, SIZE, **changes))), name, limit=1000)


def page(*runs, **options):
    return render(in_order(runs), title=options.pop("title", "T"), made_at="2026", **options).decode()


class Reader(HTMLParser):
    """Every element with its attributes, and the texts of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.raw, self._tag = [], [], {}, ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._tag = tag

    def handle_endtag(self, tag):
        self._tag = ""

    def handle_data(self, data):
        if self._tag in ("script", "style"):
            self.raw.setdefault(self._tag, []).append(data)
        else:
            self.texts.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def test_only_our_script_and_style_may_run():
    seen = Reader(page(run_of()))
    (policy,) = [meta["content"] for meta in seen.all("meta") if "http-equiv" in meta]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    script = "".join(seen.raw["script"][1:])
    for name, text in (("script-src", script), ("style-src", "".join(seen.raw["style"]))):
        assert rules[name] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert [attrs.get("type") for attrs in seen.all("script")] == ["application/json", None]
    assert not [attrs for _, attrs in seen.elements if "style" in attrs or any(key.startswith("on") for key in attrs)]


def test_nothing_is_fetched():
    seen = Reader(page(run_of()))
    links = [attrs[key] for _, attrs in seen.elements for key in ("src", "href", "action", "data") if key in attrs]
    assert [link for link in links if not link.startswith(("#", "data:,"))] == []
    for text in (*seen.raw["script"], *seen.raw["style"]):
        assert not re.search(r"https?:|//[a-z]|@import|url\(|fetch\(|XMLHttp|WebSocket|import\(|innerHTML|eval", text)


HOSTILE = "</script><script>alert(1)</script><!--'\"&<img src=x onerror=alert(1)>{{7*7}}{% raw %}\u2028"


@settings(max_examples=30)
@given(st.sampled_from([HOSTILE, "]]>", "\0\x1b[2J", "</style>", "&lt;b&gt;"]) | st.text(max_size=30))
def test_whatever_a_report_says_is_text(text):
    changes = {"warnings": [text], "error": text, "complete": False, "method": text, "started_at": text}
    value = report([(0, G)], SIZE, **changes)
    value["source"].update(url=text, note=text, made_of=[text], read_path=text)
    value |= {"bytes_by_class": {text: 1}, "triage": {text: [{text: text}], "x": {text: text}}}
    value["skipped"] = [{"reason": text, "bytes": 1}]
    run = read_report(io.BytesIO(text_of(value)), text or "r", limit=10)
    plain = Reader(page(run_of()))
    shown = page(run, run, title=text, receipt={"note": text, "facts": {text: text}, "text": text})
    seen = Reader(shown)
    assert len(seen.all("script")) == len(plain.all("script"))
    assert len(seen.all("style")) == 1
    assert not seen.all("img")
    assert {name for name, _ in seen.elements} <= {name for name, _ in plain.elements} | {
        "ul", "a", "table", "tr", "td", "th", "thead", "tbody", "rect", "pre", "details", "summary", "code", "li"
    }  # fmt: skip
    json.loads(seen.raw["script"][0])


def test_the_newest_run_is_open_and_the_oldest_are_lines():
    runs = [run_of(f"r{i}.json", started_at=f"2026-01-{i + 1:02}T00:00:00.000Z") for i in range(DETAILED + 3)]
    seen = Reader(page(*reversed(runs)))
    sections = [attrs for attrs in seen.all("section") if "data-run" in attrs]
    assert [int(attrs["data-run"]) for attrs in sections] == list(range(3, DETAILED + 3))
    assert [attrs["data-run"] for attrs in sections if "hidden" not in attrs] == [str(DETAILED + 2)]
    lines = [int(attrs["data-history"]) for attrs in seen.all("tr") if "data-history" in attrs]
    assert lines == list(reversed(range(DETAILED + 3)))
    assert len(json.loads(seen.raw["script"][0])) == DETAILED


def test_one_run_has_no_history():
    assert 'id="history"' not in page(run_of())


NOTHING = {"found": [], "identical": False}
REPAIRED = {"planned": False, "remaining_ranges": 0, "remaining_bytes": 0}
VERDICTS = {
    "identical": ({"found": []}, "good", "Identical"),
    "different": ({}, "changed", "Different"),
    "unreadable": ({"bad": [(G, G)]}, "bad", "Unreadable"),
    "unreadable only": ({"found": [], "bad": [(G, G)]}, "bad", "Unreadable"),
    "failed": ({"complete": False, "error": "EIO"}, "doubt", "Not finished"),
    "first": ({"complete": False}, "doubt", "Not finished"),
    "listed": ({"found": [], "left_out": [(0, G)]}, "good", "Identical in the listed ranges"),
    "window": ({"found": [], "offset": 0, "length": G}, "good", "Identical in the range"),
    "sample": ({**NOTHING, "complete": False, "sample": {}}, "doubt", "No difference found in the sample"),
    "in the sample": ({"complete": False, "sample": {}}, "changed", "Different"),
    "failed sample": ({**NOTHING, "complete": False, "error": "x", "sample": {}}, "doubt", "Not finished"),
    "budget": ({**NOTHING, "complete": False, "ledger": {}}, "doubt", "No difference found in the part that was read"),
    "repaired": ({"identical": True, "repair": REPAIRED}, "good", "Repaired, and proved identical"),
    "repaired in a list": (
        {"identical": True, "repair": REPAIRED, "left_out": [(7 * G, G)]},
        "good", "Repaired, and proved identical in the listed ranges",
    ),
    "skipped for a new reason": (
        {"found": [], "skipped": [{"reason": "later", "bytes": G}]}, "doubt", "Not proved identical"
    ),
    "planned": ({"repair": {**REPAIRED, "planned": True}}, "changed", "Different"),
    "recheck": ({"found": [], "identical": False, "recheck": {}}, "doubt", "No confirmed difference"),
    "neither": ({"found": [], "identical": False}, "doubt", "Not proved identical"),
    "audit": ({"found": [], "command": "audit", "correct": True}, "good", "The list is correct"),
    "bad audit": ({"command": "audit", "correct": False}, "changed", "The list misses changed blocks"),
    "audit without a word": ({"command": "audit"}, "doubt", "Not judged"),
    "copy": ({"found": [], "command": "copy", "verified": True}, "good", "Copied, and proved identical"),
    "listed copy": ({**NOTHING, "command": "copy", "verified": True}, "good", "Copied, and read back"),
    "plain copy": ({"found": [], "command": "copy", "identical": False}, "doubt", "Copied, not verified"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "tone", "title"), VERDICTS.values(), ids=VERDICTS)
def test_verdicts(changes, tone, title):
    run = run_of(**changes)
    verdict = judge(run)
    assert (verdict.tone, verdict.title) == (tone, title)
    assert title in page(run)
    if "dentical" in verdict.word and "copied" not in verdict.word:
        assert run.facts.identical


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 s"),
        (9.99, "9.99 s"),
        (59.94, "59.9 s"),
        (60, "1 min 00 s"),
        (3725, "1 h 02 min"),
        (4e6, "1,111 h 06 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_whatever_else_a_report_says_is_shown():
    value = {"a_bytes": 4096, "list": [{"x": 1}, {"y": None}], "deep": {"er": [1, {"z": True}]}, "none": {}, "f": 0.5}
    got = {entry.name: entry for entry in tree.entries(value)}
    assert got["A bytes"].text == "4,096 (4.0 KiB)"
    assert got["List"].table == tree.Table(["X", "Y"], [["1", ""], ["", "not known"]], 0)
    assert got["Deep"].entries[0].text == "1, Z: yes"
    summary = tree.entries({"sums": {"torn": {"n": 1}, "stale": {"n": 2}}})[0]
    assert summary.table == tree.Table(["Sums", "N"], [["torn", "1"], ["stale", "2"]], 0)
    assert (got["None"].text, got["F"].text) == ("none", "0.5")
    many = tree.entries({"rows": [{"n": i} for i in range(1000)]})[0].table
    assert (len(many.rows), many.left_out) == (tree.MAX_ROWS, 1000 - tree.MAX_ROWS)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_any_value_is_shown(value):
    assert isinstance(tree.entries(value), list)
