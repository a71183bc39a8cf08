"""What an ``nbd:`` URL says, as libnbd and QEMU spell it (doc/uri.md of NetworkBlockDevice/nbd). Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from blockdiff.locator import Locator

FORM = "nbd://HOST[:PORT][/EXPORT] or nbd+unix:///[EXPORT]?socket=PATH"
PORT = 10809  # IANA's
BITMAP = "qemu:dirty-bitmap:"
MAX_NAME = 4096  # bytes of an export's name
MAX_CONNECTIONS = 8
_OPTIONS = (
    "socket",
    "bitmap",
    "meta",
    "timeout",
    "connections",
    "tls-certificates",
    "tls-hostname",
    "tls-psk-file",
    "tls-username",
)
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AUTHORITY = re.compile(r"(?:([^@/?]*)@)?(\[[^\]]*\]|[^:@/?\[\]]*)(?::([0-9]*))?")


class NbdAddress(NamedTuple):
    """Where an export is. ``socket`` is the path of a unix socket, else ``host`` and ``port`` say it.

    ``context`` is a metadata context that is to be listed (empty: the export's data). ``timeout`` (seconds) is how long
    a server may be silent, ``connections`` how many to open at most; 0 means the default.
    """

    tls: bool = False
    host: str = ""
    port: int = PORT
    socket: str = ""
    export: str = ""
    context: str = ""
    timeout: float = 0.0
    connections: int = 0
    certificates: str = ""
    hostname: str = ""
    psk_file: str = ""
    username: str = ""

    def __str__(self) -> str:
        """The URL, without what is only about the way there: it holds no secrets."""
        from urllib.parse import quote

        scheme = ("nbds" if self.tls else "nbd") + ("+unix" if self.socket else "")
        where = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port != PORT and not self.socket else ""
        name = quote(self.export, safe="/:.,+=~!$@")
        text = f"{scheme}://{where}{port}/{name}"
        options = [f"socket={quote(self.socket, safe='/:.,@+')}"] if self.socket else []
        if self.context.startswith(BITMAP):
            options.append(f"bitmap={quote(self.context.removeprefix(BITMAP), safe=':.,')}")
        elif self.context:
            options.append(f"meta={quote(self.context, safe=':.,')}")
        return text + ("?" + "&".join(options) if options else "")

    @property
    def identity(self) -> tuple[str, str, int, str]:
        """Equal for two spellings of one export."""
        import os

        if self.socket:
            return ("nbd", os.path.realpath(self.socket), 0, self.export)
        return ("nbd", self.host, self.port, self.export)


def parse_address(locator: Locator) -> NbdAddress:
    """The parts of an NBD URL; names may be percent-encoded. Raises InvalidInput, which says what to type."""
    text = locator.text
    unix = locator.scheme.endswith("+unix")
    rest, _, query = locator.rest.partition("?")
    if "#" in locator.rest:
        raise InvalidInput(f"{text!r} holds a #, which ends a URL: write %23")
    _refuse_bytes(text)
    options = _options(query, text)
    if not rest.startswith("//") and not (unix and not rest):
        raise InvalidInput(f"{text!r} is not of the form {FORM}")
    authority, slash, path = rest[2:].partition("/")
    if "/" not in rest[2:]:
        slash = ""
    export = _unquoted(path if slash else "", text)
    if len(export.encode()) > MAX_NAME:
        raise InvalidInput(f"the name of the export in {text[:100]!r}... has more than {MAX_NAME} bytes")
    user, host, port = _authority(authority, text)
    socket = options.get("socket", "")
    if unix and not socket:
        raise InvalidInput(f"{text!r} names no socket: write nbd+unix:///[EXPORT]?socket=PATH")
    if socket and not unix:
        raise InvalidInput(f"{text!r} has a socket and is not nbd+unix: write nbd+unix:///[EXPORT]?socket=PATH")
    if unix and (host or ":" in authority):
        raise InvalidInput(f"{text!r} names a host and a socket: write nbd+unix:///[EXPORT]?socket=PATH")
    if not unix and not host:
        raise InvalidInput(f"{text!r} names no host: write {FORM}")
    tls = locator.scheme.startswith("nbds")
    _check_tls(tls, options, user, text)
    return NbdAddress(
        tls=tls,
        host=host,
        port=port,
        socket=socket,
        export=export,
        context=_context(options, text),
        timeout=_number(options, "timeout", 86400, text),
        connections=int(_number(options, "connections", MAX_CONNECTIONS, text)),
        certificates=options.get("tls-certificates", ""),
        hostname=options.get("tls-hostname", ""),
        psk_file=options.get("tls-psk-file", ""),
        username=options.get("tls-username", "") or user,
    )


def _authority(authority: str, text: str) -> tuple[str, str, int]:
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise InvalidInput(f"{authority!r} in {text!r} is no [USER@]HOST[:PORT]")
    user, host, port = found.groups()
    number = int(port[:9]) if port else PORT  # so long a port is none anyway, and Python refuses to read thousands
    if not 0 < number < 65536:
        raise InvalidInput(f"{port[:20]} in {text[:200]!r} is no port: they are 1 to 65535")
    return _unquoted(user or "", text), _unquoted(host.strip("[]"), text), number


def _options(query: str, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in re.split("[&;]", query) if query else []:
        key, equals, value = item.partition("=")
        key = _unquoted(key, text)
        if key not in _OPTIONS or not equals or not value:
            known = ", ".join(f"{name}=" for name in _OPTIONS)
            raise InvalidInput(f"{item!r} in {text!r} is no option of an NBD URL: known are {known}")
        if key in found:
            raise InvalidInput(f"{key}= stands twice in {text!r}")
        found[key] = _unquoted(value, text)
    return found


def _context(options: dict[str, str], text: str) -> str:
    if "bitmap" in options and "meta" in options:
        raise InvalidInput(f"{text!r} names a bitmap and a context: write one of bitmap= and meta=")
    if "bitmap" in options:
        return BITMAP + options["bitmap"]
    context = options.get("meta", "")
    if context == "base:allocation":
        raise InvalidInput(f"{text!r}: base:allocation says what is allocated, which blockdiff map shows without meta=")
    return context


def _check_tls(tls: bool, options: dict[str, str], user: str, text: str) -> None:
    asked = [f"{key}=" for key in options if key.startswith("tls-")] + ([f"{user}@"] if user else [])
    if asked and not tls:
        raise InvalidInput(f"{asked[0]} in {text!r} is of TLS: write nbds: or nbds+unix:")
    if "tls-psk-file" in options and ("tls-certificates" in options or "tls-hostname" in options):
        raise InvalidInput(f"{text!r} names certificates and a key: write one of them")
    if user and "tls-username" in options:
        raise InvalidInput(f"{text!r} names two users: write USER@ or tls-username=")


def _number(options: dict[str, str], key: str, most: int, text: str) -> float:
    value = options.get(key, "")
    if not value:
        return 0.0
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value) or not 0 < float(value) <= most:
        raise InvalidInput(f"{key}={value} in {text!r} is no number up to {most}")
    if key == "connections" and "." in value:
        raise InvalidInput(f"{key}={value} in {text!r} is no whole number")
    return float(value)


def _refuse_bytes(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{text!r} is not UTF-8, as names of NBD are") from error


def _unquoted(value: str, text: str) -> str:
    if "%" not in value:
        return value
    from urllib.parse import unquote

    if _BAD_PERCENT.search(value):
        raise InvalidInput(f"{value!r} in {text!r} has a % that no two hexadecimal digits follow: write %25")
    try:
        plain = unquote(value, errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{value!r} in {text!r} is not UTF-8") from error
    if "\0" in plain:
        raise InvalidInput(f"{value!r} in {text!r} holds a NUL character")
    return plain
