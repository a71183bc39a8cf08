"""The gate without Kubernetes: tokens of a file, client certificates, and names that are the driver's handles."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from blockdiff.csi.errors import StatusError
from blockdiff.csi.sidecar.gate import Target, User
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from blockdiff.csi.server.call import Call
    from blockdiff.csi.sidecar.grants import Grants

_TEMPLATE = re.compile(r"[^{}]*(\{namespace\}/[^{}]*)?\{name\}[^{}]*")  # the slash: no two pairs give one handle


class PlainGate:
    """``tokens`` and ``clients`` grant namespaces to tokens and to names in client certificates; both must if both are
    given. Without either, whoever the transport lets in may read all: a client certificate, or a socket's mode.

    ``handle`` makes the driver's handle of ``{namespace}`` and ``{name}``; with ``{namespace}`` in it no snapshot of
    another namespace can be named, neither as target nor as base.
    """

    def __init__(self, *, tokens: Grants | None = None, clients: Grants | None = None, handle: str = "{name}") -> None:
        self._tokens, self._clients = tokens, clients
        self._handle = handle
        self.needs_token = tokens is not None
        if not _TEMPLATE.fullmatch(handle):
            raise InvalidInput(
                f"{handle!r} is no template of a handle: it has {{name}} once, and may have {{namespace}}/ before it"
            )

    def admit(self, token: str, namespace: str, driver: str, call: Call) -> User:
        names = call.names
        user = User(names[0] if names else "token" if self._tokens is not None else "local")
        call.fields["user"] = user.name
        if self._tokens is not None:
            granted = self._tokens.namespaces(token)
            if granted is None:
                raise StatusError("UNAUTHENTICATED", "unauthenticated user")
            _check(granted, namespace)
        if self._clients is not None:
            found = [one for name in names if (one := self._clients.namespaces(name)) is not None]
            if not found:
                raise StatusError("UNAUTHENTICATED", "unauthenticated user")
            _check(frozenset().union(*found), namespace)
        return user

    def target(self, namespace: str, name: str, driver: str, call: Call) -> Target:
        if "{namespace}" in self._handle:
            _check_plain(namespace, slashes=False)
            _check_plain(name, slashes=True)
        return Target(self._handle.replace("{namespace}", namespace).replace("{name}", name))

    def check_base(self, handle: str, namespace: str, target: Target, user: User, driver: str, call: Call) -> None:
        if "{namespace}" not in self._handle:
            return
        before, after = self._handle.replace("{namespace}", namespace).split("{name}")
        if not (handle.startswith(before) and handle.endswith(after) and len(handle) > len(before) + len(after)):
            raise StatusError("NOT_FOUND", f"base snapshot '{handle}' is not of the namespace '{namespace}'")
        _check_plain(handle, slashes=True)


def _check(granted: frozenset[str], namespace: str) -> None:
    if namespace not in granted and "*" not in granted:
        raise StatusError(
            "PERMISSION_DENIED",
            f"user does not have permissions to perform the operation: the namespace '{namespace}' was not granted",
        )


def _check_plain(name: str, *, slashes: bool) -> None:
    """No way out of a namespace by a name."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or (len(parts) > 1 and not slashes) or "\0" in name:
        raise StatusError("INVALID_ARGUMENT", f"'{name}' is no name of a snapshot or namespace")
