"""Which keys of a configuration changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class ConfigDiff(NamedTuple):
    """``changed`` keys, sorted. ``user_only`` if there are some, and each begins with ``user.``: nothing to act on."""

    changed: tuple[str, ...]
    user_only: bool


def config_diff(old: Mapping[str, str], new: Mapping[str, str]) -> ConfigDiff:
    """What changed from one configuration to the other. A key that is missing has the empty value."""
    changed = tuple(sorted(key for key in old.keys() | new.keys() if old.get(key, "") != new.get(key, "")))
    return ConfigDiff(changed, bool(changed) and all(key.startswith("user.") for key in changed))
