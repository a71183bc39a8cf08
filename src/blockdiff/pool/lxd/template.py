"""The templates of ``snapshots.pattern``: text with ``{{ creation_date|date:'2006-01-02' }}`` in it.

The original gives them to Pongo2, a template engine like Django's. Here there are the variable ``creation_date``, texts
in quotes, some filters, and comments; everything else is an error. Nothing loops, so the time is that of the length.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, NamedTuple

from blockdiff.pool.fault import fault
from blockdiff.pool.lxd.layout import write_time
from blockdiff.schedule.spot import ScheduleError, Spot

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSES = 3  # what is written may be a template again
LONGEST = 4096  # characters; no name is longer than 255
_STRING = "2006-01-02 15:04:05.999999999 -0700 MST"  # how Go writes a time that nobody formats
_VARIABLE = "creation_date"
_BANNED = ("extends", "import", "include", "ssi")
_OPEN = re.compile(r"\{\{-?|\{%-?|\{#")
_TOKEN = re.compile(
    r"""[ \t]*(?:(?P<end>-?\}\})|(?P<name>[A-Za-z_]\w*)|(?P<number>\d+)|(?P<mark>[|:])"""
    r"""|(?P<quote>["'])(?P<text>(?:\\["\\]|(?!(?P=quote))[^\\])*)(?P=quote))""",
    re.ASCII,
)


class PatternError(ScheduleError):
    """A pattern that is none, or that gives no name."""


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    length: int

    def spot(self, whole: str) -> Spot:
        return Spot(whole, self.start, self.start + self.length)


def render(pattern: str, creation_date: dt.datetime) -> str:
    """What a template gives, rendered again while it has templates in it. Raises PatternError."""
    if len(pattern) > LONGEST:
        raise PatternError(f"a pattern of {len(pattern)} characters is too long: {LONGEST} at most")
    text = pattern
    for _ in range(PASSES):
        text = "".join(_pieces(text, creation_date))
        if "{{" not in text and "{%" not in text:
            return text
    raise PatternError("Recursion limit reached while rendering template")


def _pieces(whole: str, time: dt.datetime) -> Iterator[str]:
    at, trim = 0, False
    while opening := _OPEN.search(whole, at):
        text = whole[at : opening.start()]
        text = text.lstrip() if trim else text
        yield text.rstrip() if opening[0].endswith("-") else text
        trim = False
        if opening[0] == "{#":
            at = _comment(whole, opening.start())
        elif opening[0].startswith("{%"):
            raise _tag(whole, opening.start(), opening.end())
        else:
            value, end = _expression(whole, opening.end(), time)
            yield _shown(value)
            at, trim = end.start + end.length, end.text.startswith("-")
    yield whole[at:].lstrip() if trim else whole[at:]


def _comment(whole: str, start: int) -> int:
    end = whole.find("#}", start + 2)
    if end < 0 or "\n" in whole[start:end]:
        raise fault(PatternError, Spot(whole, start, start + 2), "Single-line comment not closed.")
    return end + 2


def _tag(whole: str, start: int, end: int) -> PatternError:
    match = re.compile(r"\s*(\w*)", re.ASCII).match(whole, end)
    name = match[1] if match else ""
    spot = Spot(whole, start, match.end() if match else end)
    if name in _BANNED:
        return fault(PatternError, spot, f"Usage of tag '{name}' is not allowed (sandbox restriction active).")
    return fault(PatternError, spot, f"no tag '{name}' here: accepted is {{{{ {_VARIABLE}|FILTER }}}}")


def _tokens(whole: str, at: int) -> Iterator[_Token]:
    while True:
        match = _TOKEN.match(whole, at)
        if match is None:
            raise fault(PatternError, Spot(whole, at, at + 1), _unread(whole, at))
        kind = match.lastgroup or ""
        kind = "text" if match["text"] is not None else kind
        text = match[kind]
        start = match.start("quote") if kind == "text" else match.start(kind)
        yield _Token(kind, text, start, match.end() - start)
        at = match.end()


def _unread(whole: str, at: int) -> str:
    rest = whole[at:].lstrip(" \t")
    if not rest:
        return "the template is not closed: }} is wanted"
    if rest[0] in "\"'":
        return 'the text is not closed, or has an escape that is neither \\" nor \\\\'
    if rest[0] == "\n":
        return "Newline not allowed within tag/variable."
    return f"nothing is known about {rest[0]!r} here: accepted is {{{{ {_VARIABLE}|FILTER }}}}"


def _expression(whole: str, at: int, time: dt.datetime) -> tuple[dt.datetime | str, _Token]:
    """The value of what stands between the braces, and their end."""
    tokens = _tokens(whole, at)
    value = _operand(next(tokens), whole, time)
    token = next(tokens)
    while token.kind != "end":
        if token.text != "|" or token.kind != "mark":
            raise fault(PatternError, token.spot(whole), "| and a filter, or }} is wanted")
        name, argument = next(tokens), None
        if name.kind != "name":
            raise fault(PatternError, name.spot(whole), f"a filter is wanted: {', '.join(_FILTERS)}")
        token = next(tokens)
        if token.kind == "mark" and token.text == ":":
            argument = _operand(next(tokens), whole, time)
            token = next(tokens)
        try:
            value = _filtered(value, name.text, argument)
        except PatternError as error:
            raise fault(PatternError, Spot(whole, name.start, token.start).stripped(), error.reason) from None
    return value, token


def _operand(token: _Token, whole: str, time: dt.datetime) -> dt.datetime | str:
    if token.kind == "text":
        return re.sub(r'\\(["\\])', r"\1", token.text)
    if token.kind == "name" and token.text == _VARIABLE:
        return time
    reason = f"no variable {token.text!r}: accepted are {_VARIABLE} and texts in quotes"
    raise fault(PatternError, token.spot(whole), reason)


def _shown(value: dt.datetime | str) -> str:
    return value if isinstance(value, str) else write_time(value, _STRING)


_FILTERS = ("date", "time", "upper", "lower", "capfirst", "cut", "safe")
_ARGUMENTS = ("date", "time", "cut")


def _filtered(value: dt.datetime | str, name: str, argument: dt.datetime | str | None) -> dt.datetime | str:
    if name not in _FILTERS:
        raise PatternError(f"Filter '{name}' does not exist: accepted are {', '.join(_FILTERS)}")
    if (name in _ARGUMENTS) is (argument is None):
        wanted = f"needs a text: {name}:'TEXT'" if argument is None else "takes no text"
        raise PatternError(f"{name} {wanted}")
    if name in ("date", "time"):
        if not isinstance(value, dt.datetime):
            raise PatternError("Filter input argument must be of type 'time.Time'.")
        return write_time(value, _shown(argument or ""))
    text = _shown(value)
    if name == "cut":
        return text.replace(_shown(argument or ""), "")
    if name == "capfirst":
        return text[:1].upper() + text[1:]
    return {"upper": text.upper, "lower": text.lower}.get(name, lambda: value)()
