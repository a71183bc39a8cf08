"""The dashboard and the alerts name only metrics that verify writes, and labels that these have."""

import json
import re

import pytest
import yaml

from blockdiff.metrics.run import Past, Run, text
from tests.deploy.conftest import ROOT

DASHBOARD = json.loads((ROOT / "grafana/blockdiff-verify.json").read_text())
RULES = yaml.safe_load((ROOT / "prometheus/blockdiff-rules.yml").read_text())
RUN = Run("a", "b", 0, 1.0, unverified=0, mismatch=0, duration=1.0, oldest=1.0, never=0)
TEXT = text(RUN, Past()).decode()
EXIST = set(re.findall(r"^(\w+)\{", TEXT, re.MULTILINE))
LABELS = {"source", "target", "reason"}
PANELS = DASHBOARD["panels"]
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
EXPRESSIONS += [rule["expr"] for rule in ALERTS]
EXPRESSIONS += [item["definition"] for item in DASHBOARD["templating"]["list"] if "definition" in item]
WORDS = {"time", "increase", "absent", "and", "unless", "label_values", "d"} | LABELS


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_queries_name_what_exists(expression):
    plain = re.sub(r'"[^"]*"', "", expression)
    names = set(re.findall(r"[a-zA-Z_]\w*", plain))
    assert names - WORDS <= EXIST
    assert names & EXIST
    for opening, closing in ("()", "{}", "[]"):
        assert plain.count(opening) == plain.count(closing)


def test_every_metric_is_on_the_dashboard():
    shown = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])
    assert {name for name in EXIST if name not in shown} == {"blockdiff_verify_identical"}


def test_the_page_describes_every_metric():
    page = (ROOT.parent / "docs/metrics.md").read_text()
    assert set(re.findall(r"^\| `(blockdiff_verify_\w+)` \|", page, re.MULTILINE)) == EXIST


def test_panels_stand_beside_each_other():
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    taken = set()
    for panel in PANELS:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_the_dashboard_fetches_from_the_chosen_source():
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
    assert "http" not in json.dumps(DASHBOARD)


def test_alerts_have_names_and_words():
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)
    for rule in ALERTS:
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        words = " ".join(rule["annotations"].values())
        assert set(re.findall(r"\$labels\.(\w+)", words)) <= LABELS


def value(name):
    return float(re.search(rf"^{name}\{{[^}}]*\}} (\S+)", TEXT, re.MULTILINE).group(1))


def test_a_failure_fires():
    """The numbers that the rules compare are those that a failed run leaves."""
    failed = text(Run("a", "b", 3, 1e9), Past("a", "b", 0, 5e8)).decode()
    assert 'blockdiff_verify_exit_code{source="a",target="b"} 3\n' in failed
    assert 'blockdiff_verify_last_success_timestamp_seconds{source="a",target="b"} 500000000\n' in failed
    assert 1e9 - 5e8 > 2 * 86400
