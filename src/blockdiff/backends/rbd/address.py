"""What an ``rbd:`` URL says: ``rbd:[pool/[namespace/]]image[@snapshot][?conf=&id=&keyring=&cluster=...]``. Pure."""

from __future__ import annotations

import string
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from blockdiff.locator import Locator

FORM = "rbd:[POOL/[NAMESPACE/]]IMAGE[@SNAPSHOT]"
_ORDINARY = str.maketrans("", "", string.ascii_letters + string.digits + "_-.")
_OPTIONS = ("conf", "id", "keyring", "cluster", "image-id", "timeout")
_SHOWN = (("conf", "conf"), ("id", "user"), ("keyring", "keyring"), ("cluster", "cluster"), ("image-id", "image_id"))


@dataclass(frozen=True, slots=True)
class RbdAddress:
    """Where an image is. Empty strings mean: not said, so Ceph's own configuration decides.

    ``image_id`` names an image also in the trash; ``image`` is then empty. ``timeout`` (seconds) bounds how long one
    request may stay without an answer; 0 means the default.
    """

    image: str
    pool: str = ""
    namespace: str = ""
    snapshot: str = ""
    conf: str = ""
    user: str = ""
    keyring: str = ""
    cluster: str = ""
    image_id: str = ""
    timeout: float = 0.0

    def at(self, snapshot: str) -> RbdAddress:
        """The same image at a snapshot (empty: its head)."""
        return replace(self, snapshot=snapshot)

    def __str__(self) -> str:
        """The URL; it holds no secrets, for keys are in files."""
        parts = [self.pool, self.namespace] if self.namespace else [self.pool] if self.pool else []
        name = "/".join(_quoted(part) for part in [*parts, self.image])
        text = f"rbd:{name}" + (f"@{_quoted(self.snapshot)}" if self.snapshot else "")
        options = [f"{key}={_quoted(value, '/:.,@')}" for key, field in _SHOWN if (value := getattr(self, field))]
        return text + ("?" + "&".join(options) if options else "")


def parse_address(locator: Locator) -> RbdAddress:
    """The parts of an ``rbd:`` URL; names may be percent-encoded. Raises InvalidInput, which says what to type."""
    name, _, query = locator.rest.partition("?")
    if name.startswith("//"):
        raise InvalidInput(f"{locator.text!r} names a host: write {FORM}, and the cluster as ?conf=FILE")
    options = _options(query, locator.text)
    path, at, snapshot = name.partition("@")
    if at and (not snapshot or "@" in snapshot or "/" in snapshot):
        raise InvalidInput(f"{locator.text!r} names no snapshot after the @: write {FORM}")
    parts = [_unquoted(part) for part in path.split("/")]
    if len(parts) > 3 or not all(parts[:-1]):
        raise InvalidInput(f"{locator.text!r} is not of the form {FORM}")
    image, image_id = parts[-1], options.get("image-id", "")
    if bool(image) == bool(image_id):
        what = "names an image twice" if image else "names no image"
        raise InvalidInput(f"{locator.text!r} {what}: write {FORM}, or rbd:[POOL/[NAMESPACE/]]?image-id=ID")
    return RbdAddress(
        image=image,
        pool=parts[0] if len(parts) > 1 else "",
        namespace=parts[1] if len(parts) > 2 else "",
        snapshot=_unquoted(snapshot),
        conf=options.get("conf", ""),
        user=options.get("id", ""),
        keyring=options.get("keyring", ""),
        cluster=options.get("cluster", ""),
        image_id=image_id,
        timeout=_seconds(options.get("timeout", ""), locator.text),
    )


def _options(query: str, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in query.split("&") if query else []:
        key, equals, value = item.partition("=")
        if key not in _OPTIONS or not equals or not value:
            known = ", ".join(f"{name}=" for name in _OPTIONS)
            raise InvalidInput(f"{item!r} in {text!r} is no option of an rbd: URL: known are {known}")
        if key in found:
            raise InvalidInput(f"{key}= stands twice in {text!r}")
        found[key] = _unquoted(value)
    return found


def _seconds(value: str, text: str) -> float:
    try:
        seconds = float(value or 0)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise InvalidInput(f"timeout={value} in {text!r} is no number of seconds from 0 to 86400")
    return seconds


def _quoted(name: str, safe: str = ":.,+=~!$ ") -> str:
    if name.translate(_ORDINARY):
        from urllib.parse import quote  # seldom needed, and slow to load

        return quote(name, safe=safe)
    return name


def _unquoted(text: str) -> str:
    if "%" in text:
        from urllib.parse import unquote

        return unquote(text)
    return text
