"""What the service asks before it asks the driver: who is it, may they, and which snapshot is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blockdiff.csi.server.call import Call


class Target(NamedTuple):
    """A snapshot as the driver knows it: its handle, the secrets to read it, and its volume's handle where known."""

    handle: str
    secrets: Mapping[str, str] = {}
    volume: str = ""


class User(NamedTuple):
    """Who asks. ``name`` is for the log; the rest is the business of the gate that made it."""

    name: str
    info: Mapping[str, object] = {}


class Gate(Protocol):
    """Kubernetes, or what stands in for it. Everything refused is a StatusError."""

    needs_token: bool

    def admit(self, token: str, namespace: str, driver: str, call: Call) -> User:
        """The user, who may get snapshots of the namespace."""

    def target(self, namespace: str, name: str, driver: str, call: Call) -> Target:
        """The snapshot of that name."""

    def check_base(self, handle: str, namespace: str, target: Target, user: User, driver: str, call: Call) -> None:
        """Raises StatusError if the user may not name this handle as the base."""
