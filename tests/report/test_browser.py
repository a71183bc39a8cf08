"""The page in a real Chromium: what people see, point at and type, and that it says nothing to anybody."""

import random
import re

import pytest

from blockdiff._fast import Extents
from tests.fixtures.cli import within
from tests.report.making import G, many, report, text_of, write_big

pytestmark = pytest.mark.slow

SIZE = 256 << 30
HOLES = [(64 << 30, 64 << 30)]
BAD = [(10 << 30, 1 << 20, 1), ((20 << 30) + 512 * 1024, 65536, 3)]
LEFT = [(250 << 30, 6 << 30)]


def differences():
    without = Extents([(a, n) for a, n, *_ in [*BAD[:1], *BAD[1:]]]) | Extents(HOLES) | Extents(LEFT)
    return many(3000, SIZE) - without


@pytest.fixture(scope="module")
def found():
    return [tuple(extent) for extent in differences()]


@pytest.fixture(scope="module")
def page(found, tmp_path_factory):
    place = tmp_path_factory.mktemp("page")
    (place / "old.json").write_bytes(text_of(report([], SIZE, holes=HOLES, started_at="2026-11-20T02:00:00.000Z")))
    (place / "new.json").write_bytes(text_of(report(found, SIZE, holes=HOLES, bad=BAD, left_out=LEFT)))
    within("report", place / "new.json", place / "old.json", "-o", place / "page.html", expect=0)
    return place / "page.html"


def hover(browser, x, y):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    canvas = browser.driver.find_element(By.ID, "map")
    browser.run("arguments[0].scrollIntoView({block: 'center'})", canvas)
    width, height = canvas.size["width"], canvas.size["height"]
    ActionChains(browser.driver).move_to_element_with_offset(canvas, x - width // 2, y - height // 2).perform()
    return browser.text("#tip")


def rows(browser):
    script = "return [...document.querySelectorAll('.row')].map((r) => [...r.children].map((c) => c.textContent))"
    return [[cell.replace(",", "") for cell in row] for row in browser.run(script)]


def counted(browser, text):
    """Waits until the count of ranges says this."""
    browser.until("return document.getElementById('range-count').textContent.startsWith(arguments[0])", text)


def test_nothing_is_asked_for_and_nothing_complained_of(browser, page):
    browser.open(page)
    browser.keys("#map", "n")
    assert browser.logs() == ([], [f"file://{page}"])
    assert "Unreadable" in browser.text(".run:not([hidden]) h2")


def test_pointing_at_a_cell_tells_its_range(browser, page):
    browser.open(page)
    tip = hover(browser, 3, 3)
    assert re.match(r"0 to [\d,]+", tip)
    assert "equal" in tip
    assert browser.text("#tip b") == "0 to 134,217,728"
    hover(browser, 15, 3)
    assert browser.text("#tip b") == "134,217,728 to 268,435,456"
    assert browser.run("return getComputedStyle(document.getElementById('tip')).display") != "none"


def test_zooming_by_buttons_and_keys(browser, page):
    from selenium.webdriver.common.keys import Keys

    browser.open(page)
    whole = browser.text("#map-scale")
    assert "0 B to 256 GiB of 256 GiB" in whole
    browser.click("#zoom-in")
    closer = browser.text("#map-scale")
    assert closer != whole
    assert browser.run("return !document.querySelector('.strip:not([hidden]) .window').hidden")
    browser.keys("#map", "+", "+")
    assert browser.text("#map-scale") not in (whole, closer)
    browser.keys("#map", Keys.HOME)
    assert browser.text("#map-scale") == whole
    browser.keys("#map", Keys.ENTER, "-")
    assert browser.text("#map-scale") == whole


def test_keys_go_from_difference_to_difference(browser, page, found):
    from selenium.webdriver.common.keys import Keys

    browser.open(page)
    for _ in range(12):
        browser.keys("#map", "+")
    seen = []
    for _ in range(4):
        browser.keys("#map", "n")
        seen.append(int(re.search(r"Ranges: ([\d,]+) \+", browser.text("#map-status"))[1].replace(",", "")))
    assert seen == sorted(set(seen))
    assert set(seen) <= {offset for offset, *_ in found}
    browser.keys("#map", "p")
    assert f"Ranges: {seen[2]:,} +" in browser.text("#map-status")
    here = browser.text("#map-status")
    browser.keys("#map", Keys.ARROW_RIGHT)
    assert browser.text("#map-status") != here


def test_dragging_zooms_to_what_was_dragged_over(browser, page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    browser.open(page)
    hover(browser, 30, 30)
    canvas = browser.driver.find_element(By.ID, "map")
    ActionChains(browser.driver).move_to_element(canvas).click_and_hold().move_by_offset(60, 0).release().perform()
    assert "0 B to 256 GiB" not in browser.text("#map-scale")


def test_a_row_is_shown_in_the_map(browser, page, found):
    browser.open(page)
    browser.run("document.querySelectorAll('.row')[2].click()")
    offset, length, _ = found[2]
    assert f"{offset:,} + {length:,}" in browser.text("#map-status")
    assert "0 B to 256 GiB" not in browser.text("#map-scale")


@pytest.mark.parametrize(
    ("fields", "keep"),
    [
        ({"from": "16G"}, lambda o, n, k: o + n > 16 << 30),
        ({"from": "0x400000000", "to": "17 GiB"}, lambda o, n, k: o + n > 16 << 30 and o < 17 << 30),
        ({"least": "8K"}, lambda o, n, k: n >= 8192),
        ({"most": "4,096"}, lambda o, n, k: n <= 4096),
    ],
    ids=["from", "window", "large", "small"],
)
def test_filtering_by_offset_and_size(browser, page, found, fields, keep):
    browser.open(page)
    for name, value in fields.items():
        browser.keys(f"#{name}", value)
    wanted = [item for item in found if keep(*item)]
    counted(browser, f"{len(wanted):,} of {len(found):,}" if len(wanted) < len(found) else f"{len(found):,}")
    assert [(int(row[1]), int(row[3])) for row in rows(browser)[:5]] == [item[:2] for item in wanted[:5]]


def test_filtering_by_class_and_order(browser, page, found):
    browser.open(page)
    for kind in (16, 17, 18):
        browser.click(f"#classes input[value='{kind}']")
    wanted = [item for item in found if item[2] == 19]
    counted(browser, f"{len(wanted):,} of")
    assert {row[4] for row in rows(browser)} == {"bit-flip"}
    browser.click("#filter button[type=reset]")
    counted(browser, f"{len(found):,},")
    browser.keys("#order", "largest")
    largest = max(length for _, length, _ in found)
    browser.until("return document.querySelector('.row').children[3].textContent === arguments[0]", f"{largest:,}")


def test_what_is_no_size_is_marked_and_filters_nothing(browser, page, found):
    browser.open(page)
    browser.keys("#from", "many")
    browser.until("return document.getElementById('from').classList.contains('wrong')")
    counted(browser, f"{len(found):,},")


def test_only_what_the_map_shows(browser, page, found):
    browser.open(page)
    browser.click("#shown")
    browser.keys("#map", "+", "+", "+")
    scale = browser.text("#map-scale")
    browser.until("return document.getElementById('range-count').textContent.includes(' of ')")
    assert len(found) > int(browser.text("#range-count").split(" of ")[0].replace(",", "")), scale


def test_dark_and_light(browser, page):
    pixel = "return String(document.getElementById('map').getContext('2d').getImageData(2, 2, 1, 1).data)"
    background = "return getComputedStyle(document.body).backgroundColor"
    browser.open(page)
    light = browser.run(pixel), browser.run(background)
    browser.dark(True)
    browser.until("const [r] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g); return r < 60")
    browser.until(f"{pixel} !== arguments[0]", light[0])
    assert browser.run(background) != light[1]


def test_the_history_leads_to_older_runs(browser, page):
    browser.open(page)
    assert browser.run("return document.querySelectorAll('[data-history]').length") == 2
    browser.click("a[href='#run-0']")
    browser.until("return document.documentElement.dataset.ready === '0'")
    assert browser.text(".run:not([hidden]) h2") == "Identical"
    assert rows(browser) == []
    assert "No ranges are listed" in browser.text("#grid")
    assert "all equal" in browser.text("#map-status")
    browser.open(page, fragment="#run-0")
    assert browser.text(".run:not([hidden]) h2") == "Identical"


@pytest.mark.parametrize("width", [1280, 700, 400])
def test_it_fits(browser, page, width):
    browser.size(width, 900)
    browser.open(page)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    hidden = browser.run(
        "return [...document.querySelectorAll('.row')].filter((r) => r.scrollWidth > r.clientWidth + 1).length"
    )
    assert hidden == 0


def test_on_paper(browser, page, found):
    browser.open(page)
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run("return document.querySelectorAll('#paper tbody tr').length") == 201
    assert f"and {len(found) - 200:,} more" in browser.text("#paper")
    assert len(browser.driver.execute_cdp_cmd("Page.printToPDF", {})["data"]) > 1000


def test_a_browser_that_cannot_unpack_says_so(browser, page):
    command = {"source": "delete window.DecompressionStream"}
    script = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", command)
    try:
        browser.open(page, ready=False)
        browser.until("return !document.getElementById('trouble').hidden")
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    assert "DecompressionStream" in browser.text("#trouble")
    assert "Unreadable" in browser.text(".run:not([hidden]) h2")
    assert browser.run("return document.getElementById('ranges').hidden")
    assert browser.run("return document.querySelectorAll('.strip:not([hidden]) path').length") > 2


LOOK = """
const [ranges, done] = [arguments[0], arguments[1]];
const run = JSON.parse(document.getElementById('data').textContent).at(-1);
unpackRun(run).then((parts) => {
  const volume = new Volume(run, parts);
  done(ranges.map(([start, end]) => volume.look(start, end)));
});
"""


def test_what_the_map_says_of_any_part_is_true(browser, page, found):
    browser.open(page)
    dice = random.Random(2)
    parts = []
    for _ in range(400):
        unit = 4096 << dice.randrange(26)
        near = dice.choice(found)[0] if dice.random() < 0.7 else dice.randrange(SIZE)
        start = near // unit * unit
        parts.append((start, min(SIZE, start + unit * dice.choice([1, 1, 2, 8]))))
    sets = {"changed": Extents(found), "bad": Extents(BAD), "unverified": Extents(LEFT), "hole": Extents(HOLES)}
    states = ["equal", "zero", "hole", "changed", "bad", "unverified"]
    for (start, end), seen in zip(parts, browser.driver.execute_async_script(LOOK, parts), strict=True):
        told = dict(zip(states, seen["counts"], strict=True))
        truth = {name: part.clip(start, end).total() for name, part in sets.items()}
        assert sum(told.values()) == end - start
        assert (told["changed"], told["bad"]) == (truth["changed"], truth["bad"])
        assert told["unverified"] >= truth["unverified"]
        if not seen["vague"]:
            assert (told["unverified"], told["hole"]) == (truth["unverified"], truth["hole"])


def test_findings_of_a_triage_stand_beside_the_ranges(browser, tmp_path):
    found = [(0, 2 * G), (8 * G, G), (20 * G, G)]
    told = [
        {"offset": G, "length": G, "finding": "torn"},
        {"offset": 8 * G, "length": G, "finding": "stale", "history": "monday<b>.man", "file": "/etc/fstab"},
    ]
    (tmp_path / "r.json").write_bytes(text_of(report(found, 1 << 20, triage={"findings": [*told, 5, {"offset": "x"}]})))
    within("report", tmp_path / "r.json", "-o", tmp_path / "page.html", expect=0)
    browser.open(tmp_path / "page.html")
    classes = [row[4] for row in rows(browser)]
    assert classes == ["data: torn", "data: stale history monday<b>.man file /etc/fstab", "data"]


HOSTILE = "</script><script>hacked=1</script><img src=x onerror=hacked=1>\"'`${hacked=1}{{7*7}}\u2028\u202e<!--"


def test_hostile_names_are_text(browser, tmp_path):
    value = report([(0, G)], 1 << 20, warnings=[HOSTILE], error=HOSTILE, method=HOSTILE, method_refusal=HOSTILE)
    value["source"].update(url=HOSTILE, note=HOSTILE, made_of=[HOSTILE], read_path=HOSTILE)
    value["bytes_by_class"] = {HOSTILE: G}
    value["skipped"] = [{"reason": HOSTILE, "bytes": 0}]
    value["triage"] = {HOSTILE: HOSTILE, "list": [{HOSTILE: HOSTILE}], "x": [HOSTILE, {HOSTILE: [HOSTILE]}]}
    value["triage"]["findings"] = [{"offset": 0, "length": G, "finding": HOSTILE, HOSTILE: HOSTILE}]
    value["started_at"] = HOSTILE
    value[HOSTILE[:20]] = {"a": HOSTILE}
    path = tmp_path / "a&b<script>hacked=1<script>.json"
    path.write_bytes(text_of(value))
    within("report", path, path, "--title", HOSTILE, "-o", tmp_path / "page.html", expect=0)
    browser.open(tmp_path / "page.html")
    assert browser.run("return typeof hacked") == "undefined"
    assert browser.logs() == ([], [f"file://{tmp_path}/page.html"])
    assert browser.text("h1") == HOSTILE
    assert browser.text(".sides code") == HOSTILE
    assert browser.run("return document.querySelectorAll('img, iframe, object, embed').length") == 0
    assert browser.run("return document.scripts.length") == 2


def test_a_million_differences(browser, tmp_path):
    found = many(1_000_000)
    write_big(tmp_path / "big.json", found, 1 << 40)
    within("report", tmp_path / "big.json", "-o", tmp_path / "big.html", expect=0)
    assert (tmp_path / "big.html").stat().st_size < 5_000_000
    browser.open(tmp_path / "big.html")
    counted(browser, f"{len(found):,},")
    from selenium.webdriver.common.keys import Keys

    browser.keys("#grid", Keys.END)
    last = found[len(found) - 1]
    assert rows(browser)[-1][:2] == [str(len(found)), str(last.offset)]
    assert browser.run("return document.querySelectorAll('.row').length") < 60
    browser.run("document.getElementById('grid').scrollTop = 3000000")
    browser.until("return !document.querySelector('.row').textContent.startsWith('999')")
    middle = [row for row in rows(browser) if row[0]]
    assert all(found[int(row[0]) - 1].offset == int(row[1]) for row in middle)
    browser.keys("#from", "512G")
    late = len(found.clip(512 << 30, 1 << 40))
    counted(browser, f"{late:,} of {len(found):,}")
    browser.keys("#map", "+", "+", "n")
    assert "Ranges:" in browser.text("#map-status")
    assert browser.logs()[0] == []
