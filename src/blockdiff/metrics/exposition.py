"""Prometheus' text exposition format, version 0.0.4: as much of it as our own files have.

https://prometheus.io/docs/instrumenting/exposition_formats/: a label's value escapes backslash, quote and newline, a
help text backslash and newline; a name's samples stand together, after one HELP and one TYPE.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from blockdiff.errors import InvalidInput


class Sample(NamedTuple):
    """One value. ``labels`` are in the order in which they are written."""

    labels: tuple[tuple[str, str], ...]
    value: float


class Family(NamedTuple):
    """A metric: its name, its kind (``counter`` or ``gauge``), what it means, and its samples."""

    name: str
    kind: str
    help: str
    samples: tuple[Sample, ...]


_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')
_SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[^"{}\n]|"(?:[^"\\\n]|\\[\\"n])*")*)\})? (\S+)')
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}
_UNESCAPED = {shown: char for char, shown in _ESCAPES.items()}


def write(families: list[Family]) -> bytes:
    """The text of these metrics, in UTF-8."""
    lines: list[str] = []
    for family in families:
        lines += (f"# HELP {family.name} {_help(family.help)}", f"# TYPE {family.name} {family.kind}")
        lines += (f"{family.name}{_labels(sample)} {number(sample.value)}" for sample in family.samples)
    return "".join(f"{line}\n" for line in lines).encode()


def read(text: str) -> dict[str, list[Sample]]:
    """The samples in a text, by name. Raises InvalidInput with the line that is no sample."""
    found: dict[str, list[Sample]] = {}
    if text and not text.endswith("\n"):
        raise InvalidInput("the last line is cut")
    for count, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        match = _SAMPLE.fullmatch(line)
        if match is None:
            raise InvalidInput(f"line {count} is no sample")
        name, labels, value = match.groups()
        found.setdefault(name, []).append(Sample(_read_labels(labels or "", count), _value(value, count)))
    return found


def number(value: float) -> str:
    """A value as Prometheus reads it: whole numbers without an exponent, however large."""
    return str(int(value)) if value == int(value) else repr(value)


def _labels(sample: Sample) -> str:
    parts = (f'{name}="{"".join(_ESCAPES.get(c, c) for c in _text(value))}"' for name, value in sample.labels)
    return f"{{{','.join(parts)}}}" if sample.labels else ""


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _text(value: str) -> str:
    """Names that are no UTF-8 are written in escapes: the format is UTF-8."""
    return value.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _read_labels(text: str, line: int) -> tuple[tuple[str, str], ...]:
    found, at = [], 0
    while at < len(text):
        match = _LABEL.match(text, at)
        if match is None:
            raise InvalidInput(f"line {line} has labels that are malformed")
        value = re.sub(r"\\.", lambda part: _UNESCAPED[part.group()], match.group(2))
        found.append((match.group(1), value))
        at = match.end()
    return tuple(found)


def _value(text: str, line: int) -> float:
    """A finite number that is not negative: ours are."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf") or "_" in text:
        raise InvalidInput(f"line {line} has the value {text[:40]!a}")
    return value
