"""What the URL of an image says: ``qcow2:PATH[?snapshot=NAME&bitmap=NAME&force-share=on]``, or a bare path with these.

Nothing is touched but for the look whether a file has a question mark in its own name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockdiff.backends.opening import printable
from blockdiff.backends.recognise import FORMATS, split_options
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from blockdiff.locator import Locator

_YES, _NO = ("on", "yes", "true", "1"), ("off", "no", "false", "0")


@dataclass(frozen=True, slots=True)
class ImageAddress:
    """``format`` is a scheme (qcow2, vmdk, ...), ``snapshot`` an internal one's name or id; empty strings: not said."""

    path: str
    format: str
    snapshot: str = ""
    bitmap: str = ""
    force_share: bool = False

    def __str__(self) -> str:
        """The URL, in text that any terminal takes."""
        options = [
            f"{key}={_quoted(value)}" for key, value in (("snapshot", self.snapshot), ("bitmap", self.bitmap)) if value
        ]
        return f"{self.format}:{printable(self.path)}" + (f"?{'&'.join(options)}" if options else "")


def parse_address(locator: Locator) -> ImageAddress:
    """The parts of an image's URL. Raises InvalidInput, which says what is known."""
    assert locator.scheme in FORMATS
    path, query = split_options(locator.rest)
    if not path:
        raise InvalidInput(f"{locator.text!r} names no file: write {locator.scheme}:PATH")
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{query!r} in {locator.text!r} is not UTF-8") from error
    if path.startswith("//"):
        path = path.removeprefix("//")
        if not path.startswith("/"):
            raise InvalidInput(
                f"{locator.text!r} names a host: write {locator.scheme}:PATH or {locator.scheme}:///PATH"
            )
    found: dict[str, str] = {}
    for item in query.split("&") if query else ():
        key, _, value = item.partition("=")
        if key in found:
            raise InvalidInput(f"{key}= stands twice in {locator.text!r}")
        found[key] = _unquoted(value)
        if not value:
            raise InvalidInput(f"{key}= in {locator.text!r} has no value")
    for key in ("snapshot", "bitmap"):
        if key in found and locator.scheme != "qcow2":
            raise InvalidInput(f"{key}= in {locator.text!r}: only qcow2 images have that")
    return ImageAddress(
        path,
        locator.scheme,
        found.get("snapshot", ""),
        found.get("bitmap", ""),
        _switch(found.get("force-share", "off"), locator.text),
    )


def _switch(value: str, text: str) -> bool:
    if value.lower() not in _YES + _NO:
        raise InvalidInput(f"force-share={value} in {text!r} is neither on nor off")
    return value.lower() in _YES


def _unquoted(text: str) -> str:
    if "%" in text:
        from urllib.parse import unquote

        return unquote(text)
    return text


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe=":/ ,@+=~")
