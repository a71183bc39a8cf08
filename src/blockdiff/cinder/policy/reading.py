"""What the metadata of a volume says of policies, and what is wrong with it. Nothing of SnapSentry's is passed over."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff.cinder.policy import value
from blockdiff.cinder.policy.key import KNOWN, MANAGED, OLD_DAY, START_DAY, SUFFIXES, accepted, is_ours, key_of, kind_of
from blockdiff.cinder.policy.model import KINDS
from blockdiff.cinder.policy.volume import Policies
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from blockdiff.cinder.policy.model import Policy


TOLD = 20
"""How many faults an error tells of; a volume with more has other troubles."""


class Fault(NamedTuple):
    """One thing that is wrong: ``key`` as it is spelt there, and the ``kind`` of policy that cannot be used for it.

    An empty ``kind`` is no policy in particular.
    """

    key: str
    reason: str
    kind: str = ""

    def __str__(self) -> str:
        return f"{value.shown(self.key)[1:-1]}: {self.reason}"


class Reading(NamedTuple):
    """The policies that can be used, and all faults. A policy with a fault is not among the former."""

    policies: Policies
    faults: tuple[Fault, ...]

    def doubtful(self, kind: str) -> bool:
        """Whether nobody can say what the policy of a kind is: a fault is its own, or of none in particular."""
        return any(fault.kind in (kind, "") for fault in self.faults)


def read_metadata(metadata: Mapping[str, object], *, original: bool = False) -> Reading:
    """The policies of a volume's metadata, and what is wrong with the others. Keys of others are not looked at.

    ``original`` takes its meaning where it differs: numbers with a prefix, the monthly day of one key only; a policy
    without ``enabled``, a volume without ``managed`` and keys that nobody knows count for nothing; the type of
    retention is always ``time``.
    """
    reader = _Reader(original)
    for key, text in metadata.items():
        if is_ours(key):
            reader.take(key, text)
    return reader.reading()


def parse_metadata(metadata: Mapping[str, object], *, original: bool = False) -> Policies:
    """The policies of a volume's metadata. Raises InvalidInput with all faults."""
    found = read_metadata(metadata, original=original)
    if found.faults:
        raise InvalidInput("\n".join([*map(str, found.faults[:TOLD]), *more(found.faults)]))
    return found.policies


def more(faults: Sequence[Fault]) -> list[str]:
    """That there are more faults than an error tells of; nothing if there are not."""
    return [f"... and {len(faults) - TOLD} more"] if len(faults) > TOLD else []


class _Found(NamedTuple):
    """A value, and its key as it is spelt."""

    key: str
    text: str


class _Reader:
    """Collects the keys of one volume."""

    def __init__(self, original: bool) -> None:
        self._original = original
        self._found: dict[str, _Found] = {}
        self._faults: list[Fault] = []
        number = partial(value.number, original=original)
        self._readers: dict[str, tuple[str, Callable[[str], Any]]] = {
            "enabled": ("enabled", value.boolean),
            "retention-days": ("retention", lambda text: value.retention(number(text), 0)),
            "retention-type": ("retention_type", (lambda _: value.TIME) if original else value.retention_type),
            "timezone": ("timezone", value.zone_name),
            "interval-hours": ("interval", lambda text: value.interval(number(text))),
            "start-time": ("start", value.start_time),
            "start-day-of-week": ("weekday", value.weekday),
            "start-day-of-month": ("day", lambda text: value.day_of_month(number(text))),
        }

    def take(self, key: str, text: object) -> None:
        """Notes a key, or what is wrong with it."""
        name = key.lower()
        if name not in KNOWN and name != MANAGED:
            if not self._original:
                hint = f": {accepted(key)}" if len(self._faults) < TOLD else ""  # to look for one takes its time
                self._fault(key, f"this key is not known{hint}")
        elif not isinstance(text, str):
            self._fault(key, f"invalid value {value.shown(repr(text))[1:-1]}; must be a text")
        elif (other := self._found.get(name)) is None or (self._original and key == name):
            self._found[name] = _Found(key, text)
        elif other.text != text and not (self._original and other.key == name):
            first = f"{value.shown(other.text)} as {other.key}"
            self._fault(key, f"it is given twice, {first} and {value.shown(text)} as {key}: remove one")

    def reading(self) -> Reading:
        """What all keys together say."""
        managed = self._value(MANAGED, (lambda text: text == "true") if self._original else value.boolean)
        found = {kind: one for kind in SUFFIXES if (one := self._policy(kind))}
        enabled = [key_of(kind, "enabled") for kind, one in found.items() if one.enabled]
        if enabled and MANAGED not in self._found and not self._original:
            self._fault(MANAGED, f"it is missing, but {enabled[0]} is true: write true, or false for all policies")
        faulty = {fault.kind for fault in self._faults}
        usable: dict[str, Any] = {kind: one for kind, one in found.items() if kind not in faulty}
        return Reading(Policies(managed=managed, **usable), tuple(self._faults))

    def _policy(self, kind: str) -> Policy | None:
        """The policy of a kind; None if nothing is said of it, or nothing that can be read."""
        keys = {suffix: key_of(kind, suffix) for suffix in SUFFIXES[kind]}
        if kind == "monthly" and not self._original:
            keys["start-day-of-month"] = self._day_key()
        if not any(key in self._found for key in keys.values()):
            return None
        if keys["enabled"] not in self._found:
            if not self._original:
                self._fault(keys["enabled"], f"it is missing, but there is {self._first(keys)}: write true or false")
            return None
        fields = {}
        for suffix, key in keys.items():
            if key in self._found:
                name, read = self._readers[suffix]
                fields[name] = self._value(key, read)
        return None if None in fields.values() else KINDS[kind](**fields)

    def _day_key(self) -> str:
        """The key of the day of the month, of which there are two."""
        if OLD_DAY not in self._found:
            return START_DAY
        if START_DAY in self._found:
            old, new = self._found[OLD_DAY].text, self._found[START_DAY].text
            if old != new:
                self._fault(OLD_DAY, f"it is {value.shown(old)}, but {START_DAY} is {value.shown(new)}: remove one")
            return START_DAY
        return OLD_DAY

    def _first(self, keys: Mapping[str, str]) -> str:
        return next(self._found[key].key for key in keys.values() if key in self._found)

    def _value(self, key: str, read: Callable[[str], Any]) -> Any:
        """The value of a key; None if it is not there, or cannot be read."""
        if key not in self._found:
            return None
        try:
            return read(self._found[key].text)
        except InvalidInput as error:
            self._fault(self._found[key].key, str(error))
            return None

    def _fault(self, key: str, reason: str) -> None:
        self._faults.append(Fault(key, reason, kind_of(key)))
