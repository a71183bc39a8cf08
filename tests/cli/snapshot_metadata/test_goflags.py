"""Flags as Go's package reads them. The expected texts are those of programs built with Go."""

import pytest

from blockdiff.cli.snapshot_metadata import goflags
from blockdiff.cli.snapshot_metadata.goflags import Flag, FlagError, HelpWanted

FLAGS = (
    Flag("namespace", "", "n"),
    Flag("max-results", "", kind="int", default=0),
    Flag("force", "", kind="bool", default=False),
    Flag("h", "", kind="bool", default=False),
)
NOTHING = {"namespace": "", "max-results": 0, "force": False, "h": False}


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ([], {}),
        (["-namespace", "x"], {"namespace": "x"}),
        (["--namespace", "x"], {"namespace": "x"}),
        (["-namespace=x"], {"namespace": "x"}),
        (["--namespace=x"], {"namespace": "x"}),
        (["-n", "x"], {"namespace": "x"}),
        (["--n=x"], {"namespace": "x"}),
        (["-n="], {"namespace": ""}),
        (["-n", "-force"], {"namespace": "-force"}),
        (["-n", "a=b", "-n=c=d"], {"namespace": "c=d"}),
        (["-force"], {"force": True}),
        (["-force=T", "-h=0"], {"force": True}),
        (["-force", "false", "-n", "x"], {"force": True}),
        (["-force=false"], {}),
        (["-max-results", "0x10"], {"max-results": 16}),
        (["-max-results=-5"], {"max-results": -5}),
        (["-n", "x", "--", "-force"], {"namespace": "x"}),
        (["-n", "x", "-", "-force"], {"namespace": "x"}),
        (["-n", "x", "positional", "-force"], {"namespace": "x"}),
        (["", "-force"], {}),
    ],
    ids=str,
)
def test_words(words, changed):
    assert goflags.parse(FLAGS, words) == {**NOTHING, **changed}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-x"], "flag provided but not defined: -x"),
        (["--x=1"], "flag provided but not defined: -x"),
        (["-nx"], "flag provided but not defined: -nx"),
        (["-n"], "flag needs an argument: -n"),
        (["--namespace"], "flag needs an argument: -namespace"),
        (["---n"], "bad flag syntax: ---n"),
        (["-=x"], "bad flag syntax: -=x"),
        (["--=x"], "bad flag syntax: --=x"),
        (["-max-results", "x"], 'invalid value "x" for flag -max-results: parse error'),
        (["-max-results="], 'invalid value "" for flag -max-results: parse error'),
        (["-max-results=1 "], 'invalid value "1 " for flag -max-results: parse error'),
        (["-max-results=a\tb\"'\\"], 'invalid value "a\\tb\\"\'\\\\" for flag -max-results: parse error'),
        (
            ["-max-results=9223372036854775808"],
            'invalid value "9223372036854775808" for flag -max-results: value out of range',
        ),
        (["-force=yes"], 'invalid boolean value "yes" for -force: parse error'),
        (["-force="], 'invalid boolean value "" for -force: parse error'),
    ],
    ids=str,
)
def test_errors(words, text):
    with pytest.raises(FlagError) as raised:
        goflags.parse(FLAGS, words)
    assert str(raised.value) == text


@pytest.mark.parametrize("word", ["-help", "--help", "-help=x", "--help="])
def test_help_that_nobody_defined(word):
    with pytest.raises(HelpWanted):
        goflags.parse(FLAGS, ["-n", "x", word])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("-0", 0), ("+7", 7), ("10", 10), ("1_000", 1000), ("0x_fF", 255), ("0X1_0", 16), ("0b101", 5),
        ("0o17", 15), ("017", 15), ("0_7", 7), ("-0x10", -16), ("9223372036854775807", (1 << 63) - 1),
        ("-9223372036854775808", -(1 << 63)),
    ],
)  # fmt: skip
def test_integers(text, value):
    assert goflags.integer(text) == value


@pytest.mark.parametrize(
    "text", ["", "+", "08", "1__0", "_1", "1_", "0x", "0x_", "1.0", "1e3", "١", " 1", "--1", "0b2"]
)
def test_no_integers(text):
    with pytest.raises(ValueError, match="parse error"):
        goflags.integer(text)


def test_quoting():
    assert goflags.quoted('a"b\\c\n\x01é\x7f\udcff\U000e0001') == '"a\\"b\\\\c\\n\\x01é\\x7f\\xff\\U000e0001"'


def test_description():
    text = goflags.described((Flag("b", "Two.", "z", default="x"), Flag("a", "One.", kind="int", default=5)))
    assert text == (
        '  -a int\n    \tOne. (default 5)\n  -b string\n    \tTwo. (default "x")\n'
        '  -z string\n    \tShort for -b. (default "x")\n'
    )
