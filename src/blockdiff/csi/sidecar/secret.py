"""Which Secret the driver is given for a snapshot: parameters of its class, with what they may refer to filled in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME_KEY = "csi.storage.k8s.io/snapshotter-secret-name"
NAMESPACE_KEY = "csi.storage.k8s.io/snapshotter-secret-namespace"
_REFERENCE = re.compile(r"\$(?:\$|\{([^{}]*)\})")
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL.pattern}(?:\.{_LABEL.pattern})*")


class Reference(NamedTuple):
    """A Secret's place."""

    namespace: str
    name: str


def secret_of(parameters: Mapping[str, str], *, content: str, namespace: str, snapshot: str) -> Reference | None:
    """The Secret that a VolumeSnapshotClass's parameters name, None if they name none. Raises InvalidInput.

    The namespace may refer to ``${volumesnapshotcontent.name}`` and ``${volumesnapshot.namespace}``; the name to
    ``${volumesnapshot.name}`` as well.
    """
    name, place = parameters.get(NAME_KEY), parameters.get(NAMESPACE_KEY)
    if name is None and place is None:
        return None
    if name is None or place is None:
        raise InvalidInput(f"{NAME_KEY} and {NAMESPACE_KEY} go together: one of them is missing")
    if not name or not place:
        raise InvalidInput(f"{NAME_KEY} and {NAMESPACE_KEY} must not be empty")
    values = {"volumesnapshotcontent.name": content, "volumesnapshot.namespace": namespace}
    resolved = Reference(
        _resolve(place, values, NAMESPACE_KEY), _resolve(name, {**values, "volumesnapshot.name": snapshot}, NAME_KEY)
    )
    if not _LABEL.fullmatch(resolved.namespace):
        raise InvalidInput(f"{place!r} resolves to {resolved.namespace!r}, which is no name of a namespace")
    if not _SUBDOMAIN.fullmatch(resolved.name):
        raise InvalidInput(f"{name!r} resolves to {resolved.name!r}, which is no name of a secret")
    return resolved


def _resolve(template: str, values: Mapping[str, str], key: str) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] is None:
            return "$"
        if match[1] not in values:
            raise InvalidInput(f"{key} refers to {match[0]!r}: it can refer to {', '.join(values)}")
        return values[match[1]]

    return _REFERENCE.sub(value, template)
