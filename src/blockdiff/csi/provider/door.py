"""Who may ask, where the transport alone does not say it: tokens in the metadata of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.csi.errors import StatusError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockdiff.csi.sidecar.grants import Grants

KEY = "authorization"
SCHEME = "bearer "


class Door:
    """``tokens`` grant sources by their names (``*``: all, also one without a name); without it whoever the transport
    lets in may read all.
    """

    def __init__(self, tokens: Grants | None = None) -> None:
        self._tokens = tokens

    def admit(self, metadata: Iterable[Any]) -> frozenset[str]:
        """The names that were granted. StatusError for a token that is missing or wrong."""
        if self._tokens is None:
            return frozenset("*")
        granted = self._tokens.namespaces(_token(metadata))
        if granted is None:
            raise StatusError("UNAUTHENTICATED", "a token is needed in the metadata: authorization: Bearer TOKEN")
        return granted

    def check(self, metadata: Iterable[Any], *snapshot_ids: str) -> None:
        """StatusError unless all of these may be read."""
        granted = self.admit(metadata)
        if "*" in granted:
            return
        for snapshot_id in snapshot_ids:
            name, slash, _ = snapshot_id.partition("/")
            if not slash or name not in granted:
                raise StatusError("PERMISSION_DENIED", f"the snapshot {snapshot_id!r} is of no source that was granted")


def _token(metadata: Iterable[Any]) -> str:
    values = [str(value) for key, value in metadata if key == KEY]
    # of two, nobody can say which one was checked elsewhere
    if len(values) != 1 or not values[0].lower().startswith(SCHEME):
        return ""
    return values[0][len(SCHEME) :].strip()
