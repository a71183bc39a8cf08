"""From one language of schedules to another: exactly, or not at all. Pure.

A rule that a language has no words for may say the same in another form, such as a day of the year as a date. What is
written in the end is read again, and has to be due at the same times and to keep the same.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

from blockdiff.errors import InvalidInput
from blockdiff.retention.keep import GFS, KeepAge, KeepAny, KeepDays, Retention
from blockdiff.schedule.calendar import Calendar, Every, Minutely
from blockdiff.schedule.form import forms, sample
from blockdiff.schedule.language import Context
from blockdiff.schedule.place import Place, place_of
from blockdiff.schedule.words import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from blockdiff.schedule.language import Language, Parsed
    from blockdiff.schedule.rule import Rule


def convert(rules: Sequence[Rule], to: Language) -> Parsed:
    """What says the same in another language. Raises InvalidInput that names the rule, and why it cannot be said."""
    chosen = [_sayable(rule, to) for rule in rules]
    written = to.from_rules(chosen)
    meant = {_meaning(rule) for rule in to.parse(str(written), Context()).rules()}
    for rule, said in zip(rules, chosen, strict=True):
        if _meaning(rule) not in meant:
            why = "does not say when it begins" if isinstance(said.calendar, Every) else "would mean something else"
            raise InvalidInput(f"{to.name} cannot say {_named(rule)}: its text {why}")
    if len(meant) > len({_meaning(rule) for rule in rules}):
        raise InvalidInput(f"{to.name} would say more than {', '.join(map(_named, rules))}")
    return written


def equivalents(rule: Rule) -> Iterator[Rule]:
    """The rule itself, and others that are due at the same times and keep the same."""
    for keep in _keeps(rule.keep):
        for calendar in forms(rule.calendar, place_of(rule.zone)):
            yield replace(rule, calendar=calendar, keep=keep)
            if rule.zone is not dt.UTC and _is_utc(calendar, place_of(rule.zone)):
                yield replace(rule, calendar=calendar, zone=dt.UTC, keep=_in_zone(keep, rule.zone))


def _sayable(rule: Rule, to: Language) -> Rule:
    """The first equivalent that a language can say. Raises the error of the rule itself if there is none."""
    first = None
    for candidate in equivalents(rule):
        try:
            to.from_rules([candidate])
        except InvalidInput as error:
            first = first or error
        else:
            return candidate
    assert first is not None
    raise first


def _named(rule: Rule) -> str:
    return quoted(rule.name or str(rule.calendar))


def _meaning(rule: Rule) -> tuple[object, ...]:
    """Equal for rules that say the same: when, how long, where to."""
    return sample(rule.calendar, rule.zone), _kept(rule), rule.destination, rule.options


def _kept(rule: Rule) -> Retention | None:
    """Retention in one form, with the zone that it goes by."""
    keep = _in_zone(rule.keep, rule.zone)
    if isinstance(keep, KeepDays):
        keep = KeepAge(days=keep.days, zone=keep.zone)
    return replace(keep, days=keep.days + 7 * keep.weeks, weeks=0) if isinstance(keep, KeepAge) else keep


def _in_zone(keep: Retention | None, zone: dt.tzinfo) -> Retention | None:
    """The same retention, for a rule of another zone."""
    match keep:
        case KeepAny(members):
            return KeepAny(tuple(_in_zone(member, zone) for member in members))  # type: ignore[misc]
        case KeepDays() | KeepAge() | GFS():
            return replace(keep, zone=zone) if keep.zone is None else keep
    return keep


def _keeps(keep: Retention | None) -> Iterator[Retention | None]:
    yield keep
    match keep:
        case KeepDays(days, zone):
            yield KeepAge(days=days, zone=zone)
        case KeepAge(0, 0, weeks, days, 0, 0, 0, zone):
            yield KeepDays(7 * weeks + days, zone)


def _is_utc(calendar: Calendar, place: Place) -> bool:
    """Whether a calendar is due at the same times by the clocks of UTC."""
    return isinstance(calendar, Minutely | Every) or (place.is_fixed and place.offset(0) == 0)
