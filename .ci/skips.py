"""skips.py JUNIT_XML ALLOWED: fail when a test was skipped that CI should run. ALLOWED has one test id a line."""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

report, allow_list = map(Path, sys.argv[1:])
lines = (line.split("#")[0].strip() for line in allow_list.read_text().splitlines())
allowed = {line for line in lines if line}
skipped = {
    f"{case.get('classname')}::{case.get('name')}": case.find("skipped").get("message", "")
    for case in ET.parse(report).iter("testcase")
    if case.find("skipped") is not None and case.find("skipped").get("type") != "pytest.xfail"
}
wrong = {test: reason for test, reason in skipped.items() if test not in allowed}
for test, reason in sorted(wrong.items()):
    print(f"skipped, which CI does not allow: {test}: {reason}")
sys.exit(bool(wrong))
