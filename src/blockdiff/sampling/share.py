"""Shares as people write them, kept exact."""

from __future__ import annotations

import re
from fractions import Fraction

from blockdiff.errors import InvalidInput

_SHARE = re.compile(r"\s*([0-9]{1,20})(?:\.([0-9]{1,20}))?\s*(%?)\s*", re.ASCII)
_DIGITS = 6


def parse_share(text: str, what: str = "share") -> Fraction:
    """A share from ``5%``, ``0.01%`` or ``0.05``, exactly as written.

    A number without a percent sign is a share of 1, and must be below 1: ``5`` could mean two things. Raises
    InvalidInput naming ``what``.
    """
    match = _SHARE.fullmatch(text)
    if match is None:
        raise InvalidInput(f"{what} {text[:40]!r} is not a share: write a percentage, such as 5% or 0.01%")
    whole, fraction, percent = (part or "" for part in match.groups())
    value = Fraction(int(whole + fraction), 10 ** len(fraction))
    if not percent and value >= 1:
        raise InvalidInput(f"{what} {text.strip()!r} could mean two things: write {text.strip()}%, or a share below 1")
    value = value / 100 if percent else value
    if not 0 < value <= 1:
        raise InvalidInput(f"{what} {text.strip()!r} is not a share: it must be above 0% and at most 100%")
    return value


def format_share(value: Fraction) -> str:
    """A percentage without loss, where decimals can write it, else to some digits: ``0.01%``."""
    percent = value * 100
    for digits in range(24):
        if (percent * 10**digits).denominator == 1:
            return f"{_decimal(int(percent * 10**digits), digits)}%"
    return f"{_decimal(int(percent * 10**_DIGITS), _DIGITS)}%"


def _decimal(number: int, digits: int) -> str:
    text = str(number).rjust(digits + 1, "0")
    return text if not digits else f"{text[:-digits]}.{text[-digits:]}"


def format_chance(value: float) -> str:
    """A probability for people, cut and never rounded up: 0.99999 is ``99.99%``, and only what is sure is ``100%``.

    Small ones have two digits that count.
    """
    if value >= 1:
        return "100%"
    exact = Fraction(repr(value)) * 100  # as it is written: 0.99 is a little less, in binary
    digits = 2
    while exact and exact * 10**digits < 10 and digits < 12:
        digits += 1
    return f"{_decimal(int(exact * 10**digits), digits)}%"
