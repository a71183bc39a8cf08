"""Whatever stands in a text: it is read as what it says, or refused in words that help; never a crash or a hang."""

import contextlib
import os
import random
from itertools import islice

import pytest

from blockdiff.errors import BlockdiffError
from blockdiff.schedule.convert import convert
from blockdiff.schedule.language import LANGUAGES, language
from blockdiff.schedule.rule import due, next_tick, upcoming
from tests.fuzz.invent import HUGE, hostile, mutated, pieces
from tests.fuzz.parsers import NOW, PARSERS

ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "0"))
LONG = 4000  # characters of an error, beside what it shows of the text


def check(parser, text):
    try:
        parsed = parser.parse(text)
    except BlockdiffError as error:
        check_words(error, text)
        return False
    again = parser.write(parsed)
    if again is not None:
        found = (parser.reread or parser.parse)(again)
        assert parser.same(found) == parser.same(parsed), (text, again)
        assert parser.write(found) == again, (text, again)
    check_rules(parsed)
    return True


def check_words(error, text):
    words = str(error)
    assert words.strip(), text
    assert len(words) < LONG + 3 * min(len(text), 10_000), (text[:100], len(words))
    if getattr(error, "column", 0):
        assert 1 <= error.line <= text.count("\n") + 1, (text, words)
        assert 1 <= error.column <= max(map(len, text.split("\n"))) + 1, (text, words)
        assert "^" in words, (text, words)


def check_rules(parsed):
    if not hasattr(parsed, "rules"):
        return
    rules = ()
    with contextlib.suppress(BlockdiffError):
        rules = parsed.rules()
    for rule in rules[:3]:
        tick = next_tick(rule, NOW)
        assert tick is None or tick > NOW
        assert len(due(rule, NOW, NOW.replace(year=2027)).ticks) <= 1


def fuzz(parser, rounds, seed):
    chance = random.Random(f"{parser.name}-{seed}")
    words = pieces(parser.seeds)
    return sum(check(parser, mutated(chance, parser.seeds, words)) for _ in range(rounds))


@pytest.mark.parametrize("parser", PARSERS, ids=str)
def test_good_texts(parser):
    for seed in parser.seeds:
        if not parser.name.startswith(("name-", "snapper")):
            assert check(parser, seed)
    fuzz(parser, 300, 0)


def converted(parser, rounds, seed):
    """How many of what is read can be said in another language, each with the same next tick."""
    chance, done = random.Random(f"convert-{parser.name}-{seed}"), 0
    words = pieces(parser.seeds)
    for _ in range(rounds):
        text = mutated(chance, parser.seeds, words)
        for name in LANGUAGES:
            with contextlib.suppress(BlockdiffError):
                rules = parser.parse(text).rules()[:3]
                again = convert(rules, language(name)).rules()
                assert firsts(again) == firsts(rules), (text, name)
                done += bool(rules)
    return done


def firsts(rules):
    return [tick for tick, _ in islice(upcoming(rules, NOW), 1)]


@pytest.mark.parametrize("parser", [one for one in PARSERS if one.name in LANGUAGES], ids=str)
def test_conversions(parser):
    assert converted(parser, 100, 0)


@pytest.mark.slow
@pytest.mark.parametrize("parser", [one for one in PARSERS if one.name in LANGUAGES], ids=str)
def test_many_conversions(parser):
    assert converted(parser, 1000, 1)


@pytest.mark.slow
@pytest.mark.parametrize("parser", PARSERS, ids=str)
def test_many_texts(parser):
    fuzz(parser, ROUNDS or 2_000, 1)


@pytest.mark.slow
@pytest.mark.parametrize("parser", PARSERS, ids=str)
def test_hostile_texts(parser):
    for text in hostile(parser.seeds):
        assert len(text) < 30 * HUGE
        check(parser, text)
