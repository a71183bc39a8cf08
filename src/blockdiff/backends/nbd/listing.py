"""What a server exports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.backends.nbd.address import parse_address
from blockdiff.backends.nbd.connect import Lost, connect, export_facts, list_contexts, list_exports
from blockdiff.errors import BlockdiffError, RemoteError

if TYPE_CHECKING:
    from blockdiff.backends.nbd.address import NbdAddress
    from blockdiff.locator import Locator


def list_volumes(locator: Locator) -> list[dict[str, Any]]:
    """The exports of a server: name, url, size (bytes), read_only, description and contexts.

    Where the server does not tell about one of them, size and read_only are None, and there are no contexts.
    Raises RemoteError.
    """
    address = parse_address(locator)._replace(context="", export="")
    try:
        return [_facts(address._replace(export=name), said) for name, said in list_exports(address)]
    except Lost as error:
        raise RemoteError(f"cannot connect to {address}: {error}") from error


def _facts(address: NbdAddress, description: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": address.export, "url": str(address), "size": None, "read_only": None}
    facts.update(description=description, contexts=[])
    try:
        export = export_facts(address)
        if not export.size:  # nbd-server knows it only when the export is opened
            link, export = connect(address, [])
            link.close()
        facts.update(size=export.size, read_only=export.read_only, description=description or export.description)
        facts["contexts"] = list_contexts(address)
    except (Lost, BlockdiffError):
        return facts
    return facts
