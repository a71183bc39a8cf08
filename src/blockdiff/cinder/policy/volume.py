"""The policies of one volume, and the metadata that says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from blockdiff.cinder.policy.key import MANAGED, OLD_DAY, START_DAY, key_of
from blockdiff.cinder.policy.model import KINDS
from blockdiff.errors import InvalidInput
from blockdiff.schedule.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blockdiff.cinder.policy.model import Daily, Express, Monthly, Policy, Weekly


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The policies of one volume; None is one that it says nothing of. Raises InvalidInput for one in the wrong place.

    ``managed`` is the switch of all of them, None if the volume does not have it. ``str()`` is the canonical text.
    """

    managed: bool | None = True
    express: Express | None = None
    daily: Daily | None = None
    weekly: Weekly | None = None
    monthly: Monthly | None = None

    def __post_init__(self) -> None:
        for kind, of in KINDS.items():
            if not isinstance(getattr(self, kind), of | None):
                raise InvalidInput(f"no {kind} policy: {getattr(self, kind)!r}")

    @property
    def every(self) -> tuple[Policy, ...]:
        """All that there are, in the order in which the original works through them."""
        return tuple(one for one in (self.express, self.daily, self.weekly, self.monthly) if one is not None)

    @property
    def active(self) -> tuple[Policy, ...]:
        """Those that are enabled; none if the volume is not managed."""
        return tuple(one for one in self.every if one.enabled and self.managed)

    @property
    def never(self) -> tuple[str, ...]:
        """The kinds of those that are switched off; no rule stands for them."""
        return tuple(one.kind for one in self.every if one not in self.active)

    def to_metadata(self) -> dict[str, str]:
        """The keys and values, sorted by key: all that a policy has, its defaults too."""
        found = {} if self.managed is None else {MANAGED: "true" if self.managed else "false"}
        for one in self.every:
            found |= {key_of(one.kind, suffix): text for suffix, text in one.texts.items()}
        return dict(sorted(found.items()))

    def to_json(self) -> bytes:
        """The metadata as a JSON object."""
        return msgspec.json.encode(self.to_metadata())

    def rules(self) -> tuple[Rule, ...]:
        """When snapshots are due and how long they are kept: one rule for each active policy."""
        return tuple(Rule(one.calendar, zone=one.zone, keep=one.keep, name=one.kind) for one in self.active)

    def __str__(self) -> str:
        return "\n".join(f"{key}={text}" for key, text in self.to_metadata().items())


def merged(metadata: Mapping[str, str], policies: Policies) -> dict[str, str]:
    """The metadata with these policies in it; other keys stay as they are, also those of other policies.

    Other spellings of the keys that are written go away, so that none contradicts.
    """
    written = policies.to_metadata()
    gone = set(written) | ({OLD_DAY} if START_DAY in written else set())
    return {**{key: text for key, text in metadata.items() if key.lower() not in gone}, **written}
