"""Names of the next snapshot: the facts as vectors, and properties that hold for every pattern."""

import contextlib
import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.pool.lxd.nextname import determine_next_snapshot_name, next_index
from blockdiff.pool.lxd.template import PatternError, render

NOW = dt.datetime(2026, 11, 21, 16, 50, 9, 123456, tzinfo=ZoneInfo("Europe/Berlin"))
DATE = "{{ creation_date|date:'2006-01-02_15-04-05' }}"


def name(pattern, *existing, now=NOW, **options):
    config = {} if pattern is None else {"snapshots.pattern": pattern}
    return determine_next_snapshot_name("vol", config, existing, now, **options)


@pytest.mark.parametrize(
    ("pattern", "existing", "wanted"),
    [
        (None, (), "snap0"),
        (None, ("snap0",), "snap1"),
        (None, ("vol/snap0", "vol/snap7"), "snap8"),
        ("", ("snap3",), "snap4"),  # the original's volumes: an empty name
        ("snap%d", ("snap0", "snap2", "other9"), "snap3"),
        ("%d", ("3", "4x", "x5"), "5"),
        ("a%db", ("a3b", "a9", "a5bc", "a7c"), "a6b"),
        ("a%d5", ("a15", "a1 5"), "a05"),  # all digits belong to the number
        (DATE, (), "2026-11-21_16-50-09"),
        (DATE, ("2026-11-21_16-50-09",), "2026-11-21_16-50-09-0"),
        (DATE, ("2026-11-21_16-50-09", "2026-11-21_16-50-09-0"), "2026-11-21_16-50-09-1"),
        (DATE, ("2026-11-21_16-50-09", "2026-11-21_16-50-09-4x"), "2026-11-21_16-50-09-5"),
        (DATE + "-%d", ("2026-11-21_16-50-09-1", "2026-11-20_16-50-09-7"), "2026-11-21_16-50-09-2"),
        ("fixed", ("fixed",), "fixed-0"),
        ("fixed", ("fixed-3",), "fixed"),
        # sscanf
        ("s%d", ("s+3",), "s4"),
        ("s%d", ("s 3",), "s4"),
        ("s%d", ("s-3",), "s0"),
        ("s%d", ("s-1", "s-3"), "s0"),
        ("s%d", ("s-0",), "s1"),
        ("s%d", ("s007",), "s8"),
        ("s%d", ("S9", "xs9"), "s0"),
        ("s%d", ("s٣",), "s0"),
        ("s%d", ("s9223372036854775807",), "s9223372036854775808"),
        ("s%d", ("s9223372036854775807", "s9223372036854775808"), "s9223372036854775809"),
        ("s%d", ("s9223372036854775808",), "s0"),
        ("s%d", ("s99999999999999999999",), "s0"),
        ("s%d", ("s" + "9" * 9999,), "s0"),
        # percent signs stay what they are
        ("a%%b", (), "a%%b"),
        ("50%%-%d", ("50%%-3",), "50%%-4"),
        ("50%-%d", ("50%-3",), "50%-4"),
        ("%%d", ("%0",), "%1"),
        ("100%", ("100%",), "100%-0"),
        ("a.b%d", ("axb3",), "a.b0"),
        # templates
        ("a{# comment #}b", (), "ab"),
        ('{{ creation_date|date:"Jan"|upper }}%d', ("NOV4",), "NOV5"),
        ("{{ creation_date|time:'15' }}", (), "16"),
        ("{{creation_date|date:'Mon'|lower}}", (), "sat"),
        ("{{ 'snap'|capfirst|safe }}", (), "Snap"),
        ("{{ creation_date|date:'2006-01-02'|cut:'-' }}", (), "20261121"),
        ("x {{- creation_date|date:'-0700' -}} y", (), "x+0100y"),
        ("{{ \"{{ creation_date|date:'2006' }}\" }}", (), "2026"),
        ("{{ 'a\\\\b' }}", (), "a\\b"),
        ("{{ creation_date|date:'%d' }}", ("4",), "5"),
        ("}}{", (), "}}{"),
    ],
)  # fmt: skip
def test_vectors(pattern, existing, wanted):
    assert name(pattern, *existing) == wanted


def test_the_default_is_the_callers():
    assert name(None, "auto4", default="auto%d") == "auto5"
    assert name("", "auto4", default="auto%d") == "auto5"


@pytest.mark.parametrize(
    ("pattern", "error"),
    [
        ("a%d%d", "Snapshot pattern may contain '%%d' only once"),
        ("a%d{{ creation_date|date:'%d' }}", "Snapshot pattern may contain '%%d' only once"),
        ("{{ creation_date }}", 'the name "2026-11-21 16:50:09.123456 +0100 CET" has " " in it'),
        ("a/b", 'has "/" in it'),
        ("a\tb", 'has "\\t" in it'),
        ("a\0b", r'has "\x00" in it'),
        ("a..b", "two in a row"),
        (".", "only dots"),
        ("..", "only dots"),
        ("{# nothing #}", 'the name "" is empty'),
        ("{{ ' ' }}", 'has " " in it'),
        ("{{ x }}", "no variable 'x': accepted are creation_date and texts in quotes"),
        ("{{ creation_date.Year }}", "nothing is known about '.' here"),
        ("{{ creation_date|date }}", "date needs a text: date:'TEXT'"),
        ("{{ creation_date|upper:'x' }}", "upper takes no text"),
        ("{{ creation_date|random }}", "Filter 'random' does not exist: accepted are date, time, upper"),
        ("{{ creation_date|date:3 }}", "no variable '3'"),
        ("{{ 'x'|date:'2006' }}", "Filter input argument must be of type 'time.Time'."),
        ("{{ creation_date", "the template is not closed"),
        ("{{ 'x }}", "the text is not closed"),
        ("{{ '\\n' }}", "has an escape that is neither"),
        ("{{", "the template is not closed"),
        ("{{}}", "no variable '}}'"),
        ("{{ creation_date | }}", "a filter is wanted"),
        ("{{ creation_date 'x' }}", "| and a filter, or }} is wanted"),
        ("{{ creation_date\n}}", "Newline not allowed"),
        ("{# x", "Single-line comment not closed."),
        ("{# x\n #}", "Single-line comment not closed."),
        ("{% for x in y %}", "no tag 'for' here"),
        ("{% now '2006' %}", "no tag 'now' here"),
        ("{%", "no tag '' here"),
        *(
            (f"{{% {tag} 'x' %}}", f"Usage of tag '{tag}' is not allowed")
            for tag in ("extends", "import", "include", "ssi")
        ),
        ("{{ \"{% include 'x' %}\" }}", "Usage of tag 'include' is not allowed"),
    ],
)  # fmt: skip
def test_errors(pattern, error):
    with pytest.raises(PatternError) as caught:
        name(pattern)
    assert error in str(caught.value)


def nested(depth):
    """A template that gives a template, so many times over."""
    text = "end"
    for _ in range(depth):
        text = '{{ "' + text.replace("\\", "\\\\").replace('"', '\\"') + '" }}'
    return text


def test_recursion_limit():
    assert [name(nested(depth)) for depth in range(4)] == ["end"] * 4
    with pytest.raises(PatternError, match=r"^Recursion limit reached while rendering template$"):
        name(nested(4))


def test_the_place_of_a_fault_is_shown():
    with pytest.raises(PatternError) as caught:
        name("snap-{{ creation_date|dat:'x' }}")
    assert caught.value.column == 23
    assert str(caught.value).endswith("    snap-{{ creation_date|dat:'x' }}\n" + " " * 26 + "^^^^^^^")


def test_names_of_other_volumes_are_refused():
    with pytest.raises(InvalidInput, match='"other/snap0" is no snapshot of "vol"'):
        name(None, "other/snap0")


def test_a_time_needs_a_zone():
    with pytest.raises(InvalidInput, match="no time zone"):
        name(None, now=dt.datetime(2024, 1, 1))


def test_long_patterns_are_refused():
    assert len(name("a" * 4096)) == 4096
    assert len(name("{{ 'a' }}" * 455)) == 455
    assert name("{{ 'a'" + "|upper" * 600 + " }}") == "A"
    with pytest.raises(PatternError, match="a pattern of 4097 characters is too long: 4096 at most"):
        name("a" * 4097)


@pytest.mark.parametrize(
    "part", ["{{ '", "{", "{{ creation_date|date:'2006'", "{# ", "{{ 'a'|cut:'' ", "{% ", '{{ "\\\\']
)
def test_much_of_what_is_broken(part):
    with pytest.raises(PatternError):
        name((part * 4096)[:4095] + "/")


patterns = st.lists(
    st.sampled_from(["a", "-", "%d", "%", "%%", "1", "{{ creation_date|date:'2006-01-02' }}", "{{ '%d' }}", " ", "x"])
).map("".join)
names = st.lists(st.text("a-%d012345x+", max_size=5))


@given(patterns, names)
def test_a_name_is_legal_and_never_taken(pattern, existing):
    try:
        found = name(pattern, *existing)
    except PatternError as error:
        assert "only once" in str(error) or "in it" in str(error)  # noqa: PT017
        return
    assert found
    assert found not in existing
    assert not set(found) & set(" /\n")


@given(st.text("ab-.", max_size=4), st.text("ab-.", max_size=4), st.sets(st.integers(0, 50)))
def test_the_index_is_one_more_than_the_largest(before, after, numbers):
    existing = [f"{before}{number}{after}" for number in numbers]
    assert next_index(f"{before}%d{after}", existing) == max(numbers, default=-1) + 1


@given(st.text())
def test_any_text_gives_a_name_or_an_error(pattern):
    with contextlib.suppress(PatternError):
        assert name(pattern)


@given(
    st.lists(
        st.sampled_from(
            ["{{", "}}", "{%", "%}", "{#", "#}", "'", '"', "\\", "|", ":", "date", "creation_date", " ", "-", "x", "\n"]
        )
    ).map("".join)
)
def test_any_broken_template_gives_text_or_an_error(pattern):
    try:
        render(pattern, NOW)
    except PatternError as error:
        assert str(error)  # noqa: PT017
